"""Archives and verdicts, between the stages' types and the notary's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline import notary
from pipeline.host import Host
from pipeline.toolchain import ArchiveToNotarize, Event, Notarized


def submittable(archives: Sequence[ArchiveToNotarize], event: Event) -> list[notary.Archive]:
    """The archives in the notary's own type, each told to the log before anything is sent."""
    for one in archives:
        event("submitting", artifact=f"archives/{one.path.name}", sha256=one.sha256, size=one.size)
    return [notary.Archive(path=one.path, sha256=one.sha256, size=one.size) for one in archives]


def told(
    host: Host,
    folder: Path,
    archives: Sequence[ArchiveToNotarize],
    verdicts: Sequence[notary.Verdict],
    event: Event,
) -> tuple[Notarized, ...]:
    """The verdicts in the stages' type, each written to the log with the digests of its records in `folder`."""
    given = {archive.sha256: archive for archive in archives}
    records = notary.Records(host, folder)
    notarized = []
    for verdict in verdicts:
        warnings = tuple(f"{issue.path}: {issue.message}" for issue in verdict.log.issues or ())
        record = records.load(verdict.archive.sha256)
        kept = (records.path(verdict.archive.sha256), records.log_path(verdict.archive.sha256))
        event(
            "accepted",
            artifact=f"archives/{verdict.archive.path.name}",
            submission=verdict.submission,
            sha256=verdict.archive.sha256,
            warnings=warnings,
            times={str(state): when.isoformat() for state, when in record.times.items()} if record else {},
            records={path.name: host.files.sha256(path) for path in kept if path.is_file()},
        )
        archive = given[verdict.archive.sha256]
        notarized.append(Notarized(archive=archive, submission=verdict.submission, log=verdict.log))
    return tuple(notarized)
