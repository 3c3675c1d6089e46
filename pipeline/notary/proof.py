"""The proof that Apple accepted exactly these bytes: the log's ticketContents joined to the code hashes that we signed.

A code hash names the code, whatever its place in the archive: a ticket that lists it covers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.errors import VerificationError
from pipeline.notary.log import NotaryLog
from pipeline.notary.wire import NotaryStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlisted:
    """A slice that the ticket does not cover."""

    path: str
    arch: str
    cdhash: str
    listed: tuple[str, ...]
    """Code hashes that the log lists for this path and architecture instead."""


def unlisted(log: NotaryLog, expected: Mapping[str, Mapping[str, str]]) -> tuple[Unlisted, ...]:
    """The slices that Apple did not list.

    `expected`: path inside the archive (of a bundle: the bundle's) → architecture → cdhash in 40 hex digits.
    """
    entries = [one for one in log.ticket_contents or () if one.digest_algorithm == "SHA-256" and one.arch is not None]
    covered = {(one.arch, one.cdhash) for one in entries}
    return tuple(
        Unlisted(
            path=path,
            arch=arch,
            cdhash=cdhash,
            # A path in the log begins with the archive's name.
            listed=tuple(one.cdhash for one in entries if one.arch == arch and one.path.partition("/")[2] == path),
        )
        for path, slices in expected.items()
        for arch, cdhash in slices.items()
        if (arch, cdhash.lower()) not in covered
    )


def verify_listed(log: NotaryLog, expected: Mapping[str, Mapping[str, str]]) -> None:
    """Raises VerificationError unless the log is whole, says Accepted, and lists every slice of `expected`."""
    where = f"notary log of {log.submission}"
    if not log.is_whole:
        raise VerificationError(
            f"the log is not whole, so it proves nothing (missing: {', '.join(log.missing) or 'it was cut'})",
            where=where,
            remedy="run again: it is fetched anew; if it stays so, Apple has changed its logs",
        )
    if log.answer is not NotaryStatus.ACCEPTED:
        raise VerificationError(f"the log says {log.status}, not Accepted", where=where)
    missing = unlisted(log, expected)
    if missing:
        lines = [
            f"{one.path} ({one.arch}) {one.cdhash}"
            + (f"; listed there: {', '.join(one.listed)}" if one.listed else "; nothing listed there")
            for one in missing
        ]
        raise VerificationError(
            "the notary accepted the archive without these slices, which its ticket does not cover:\n    "
            + "\n    ".join(lines),
            where=where,
            remedy="a warning in the log may say why; make the archive anew and notarize that",
        )
