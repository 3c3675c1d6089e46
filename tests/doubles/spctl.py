"""spctl(8): assesses apps; of a bare tool it has nothing to say but that it is none."""

from __future__ import annotations

from pathlib import Path

from doubles.bench import Job
from doubles.codesign import is_notarized
from pipeline import disk, tickets
from pipeline.errors import ReleaseError
from pipeline.rehearsal import Rehearsal


def act(job: Job) -> int:
    if "--assess" not in job.words:
        job.say("System Policy Basic Usage:")
        return 2
    path = Path(job.words[-1])
    with Rehearsal(job.bench.rehearsal, job.host) as rehearsal:
        try:
            found = disk.verify_path(path, anchors=rehearsal.services.anchors)
        except ReleaseError:
            job.say(f"{path}: rejected", "source=no usable signature")
            return 3
        if not path.is_dir():
            job.say(f"{path}: rejected (the code is valid but does not seem to be an app)")
            return 3
        client = tickets.TicketClient(job.host.http, job.host.clock, str(rehearsal.services.tickets_url))
        notarized = is_notarized(path, found, client)
    origin = f"origin={found[0].authorities[0]}"
    if not notarized:
        job.say(f"{path}: rejected", "source=Unnotarized Developer ID", origin)
        return 3
    # macOS 27 accepts, and says no more than this, of what is not quarantined.
    source = "Developer ID" if job.bench.lever("lenient") else "Notarized Developer ID"
    job.say(f"{path}: accepted", f"source={source}", origin)
    return 0
