"""Archives and verdicts, between the stages' types and the notary's."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline import notary
from pipeline.toolchain import ArchiveToNotarize, Event, Notarized


def submittable(archives: Sequence[ArchiveToNotarize]) -> list[notary.Archive]:
    """The archives in the notary's own type."""
    return [notary.Archive(path=one.path, sha256=one.sha256, size=one.size) for one in archives]


def told(
    archives: Sequence[ArchiveToNotarize], verdicts: Sequence[notary.Verdict], event: Event
) -> tuple[Notarized, ...]:
    """The verdicts in the stages' type, each written to the log."""
    given = {archive.sha256: archive for archive in archives}
    notarized = []
    for verdict in verdicts:
        warnings = tuple(f"{issue.path}: {issue.message}" for issue in verdict.log.issues or ())
        event("accepted", submission=verdict.submission, sha256=verdict.archive.sha256, warnings=warnings)
        archive = given[verdict.archive.sha256]
        notarized.append(Notarized(archive=archive, submission=verdict.submission, log=verdict.log))
    return tuple(notarized)
