"""stapler(1): asks the rehearsal's ticket service. On a bare Mach-O file it ends as its generation, a lever, did."""

from __future__ import annotations

from pathlib import Path

from doubles.bench import Job
from pipeline import disk, tickets
from pipeline.errors import ReleaseError
from pipeline.rehearsal import Rehearsal


def act(job: Job) -> int:
    if len(job.words) < 2 or job.words[0] not in ("staple", "validate"):
        job.say("Usage: stapler [-q] [-v] staple|validate path")
        return 64
    path = Path(job.words[-1])  # of several the last alone
    job.tell(f"Processing: {path}")
    if not path.exists():
        return 66
    if path.is_file():
        return _bare(job, path)
    return _staple(job, path) if job.words[0] == "staple" else _validate(job, path)


def _bare(job: Job, path: Path) -> int:
    if job.bench.lever("stapler") != "old":
        return 66
    job.tell("The staple and validate action failed! Error 73.")
    return 73


def _staple(job: Job, path: Path) -> int:
    job.tell(f"Processing: {path}")
    place = path / "Contents" / "CodeResources"
    with Rehearsal(job.bench.rehearsal, job.host) as rehearsal:
        try:
            found = disk.verify_path(path, anchors=rehearsal.services.anchors)
        except ReleaseError:
            job.tell(f"{path.name} is not signed.")
            return 66
        cdhash = found[0].cdhash
        client = tickets.TicketClient(job.host.http, job.host.clock, str(rehearsal.services.tickets_url))
        ticket = client.lookup([cdhash])[cdhash]
    if ticket is None:
        job.tell(
            f'CloudKit query for {path.name} (2/{cdhash}) failed due to "Record not found".',
            f"Could not find base64 encoded ticket in response for 2/{cdhash}",
            "The staple and validate action failed! Error 65.",
        )
        return 65
    if place.is_symlink() or job.bench.lever("stapler-cannot-write"):
        if place.exists():
            place.unlink()  # the real one takes the old ticket away first
        job.tell("The staple and validate action failed! Error 73.")
        return 73
    place.write_bytes(ticket)
    job.tell("The staple and validate action worked!")
    return 0


def _validate(job: Job, path: Path) -> int:
    if tickets.stapled_ticket(path) is None:
        job.tell(f"{path.name} does not have a ticket stapled to it.")
        return 65
    job.tell("The validate action worked!")
    return 0
