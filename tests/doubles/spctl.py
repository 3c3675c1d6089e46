"""spctl(8): assesses apps; of a bare tool it has nothing to say but that it is none."""

from __future__ import annotations

from pathlib import Path

from doubles.bench import Job
from doubles.codesign import is_notarized
from pipeline import disk
from pipeline.errors import ReleaseError
from pipeline.identity import load_anchors


def act(job: Job) -> int:
    if "--assess" not in job.words:
        job.say("System Policy Basic Usage:")
        return 2
    path = Path(job.words[-1])
    try:
        found = disk.verify_path(path, anchors=load_anchors(job.host.files, job.bench.rehearsal / "anchors"))
    except ReleaseError:
        job.say(f"{path}: rejected", "source=no usable signature")
        return 3
    if not path.is_dir():
        job.say(f"{path}: rejected (the code is valid but does not seem to be an app)")
        return 3
    origin = f"origin={found[0].authorities[0]}"
    if not is_notarized(job, path, found):
        job.say(f"{path}: rejected", "source=Unnotarized Developer ID", origin)
        return 3
    # macOS 27 accepts, and says no more than this, of what is not quarantined.
    source = "Developer ID" if job.bench.lever("lenient") else "Notarized Developer ID"
    job.say(f"{path}: accepted", f"source={source}", origin)
    return 0
