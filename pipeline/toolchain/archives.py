"""Archives and verdicts, between the stages' types and the notary's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline import notary
from pipeline.host import Host
from pipeline.toolchain import ArchiveToNotarize, Event, Notarized


def submittable(archives: Sequence[ArchiveToNotarize]) -> list[notary.Archive]:
    """The archives in the notary's own type."""
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
        kept = (records.path(verdict.archive.sha256), records.log_path(verdict.archive.sha256))
        event(
            "accepted",
            submission=verdict.submission,
            sha256=verdict.archive.sha256,
            warnings=warnings,
            records={path.name: host.files.sha256(path) for path in kept if path.is_file()},
        )
        archive = given[verdict.archive.sha256]
        notarized.append(Notarized(archive=archive, submission=verdict.submission, log=verdict.log))
    return tuple(notarized)
