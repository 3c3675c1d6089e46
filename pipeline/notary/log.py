"""The notary's developer log: what Apple's scanner found, and the code hashes that its ticket covers.

Parsing and building; its words for a person are in `report`. No document says which fields may be absent: copies that
people keep are often cut, so what is missing is told rather than refused, and what is not whole proves nothing.
https://developer.apple.com/documentation/security/resolving-common-notarization-issues
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import MalformedFile
from pipeline.notary.wire import NotaryStatus

# A log lists every code object of a submission; Apple advises against archives of thousands of files.
LARGEST_LIST = 200_000
_LONGEST_TEXT = 16 * 1024
# The header's fields, in the document's order and with its names.
_HEADER = (
    "logFormatVersion",
    "jobId",
    "status",
    "statusSummary",
    "statusCode",
    "archiveFilename",
    "uploadDate",
    "sha256",
    "ticketContents",
    "issues",
)
# Set by whoever keeps a copy that is known to be cut: the rest of such a log cannot be told from its fields.
_CUT = "_truncated"


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketEntry:
    """A code object that the ticket covers: `cdhash` in 40 hex digits, or a package's checksum (SHA-1)."""

    path: str
    digest_algorithm: str
    cdhash: str
    arch: str | None
    """None for a package or a disk image."""
    other: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    severity: str
    """"error" and "warning" are the two that are known."""
    path: str | None
    message: str
    architecture: str | None
    code: Any = None
    doc_url: str | None = None
    other: Mapping[str, Any] = field(default_factory=dict)
    """Fields that are not known here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotaryLog:
    """A log. A header field that the document lacks is None, and named in `missing`."""

    format_version: int | None
    submission: str | None
    status: str | None
    summary: str | None
    status_code: int | None
    archive: str | None
    uploaded: str | None
    """As written: ISO 8601, with or without milliseconds."""
    sha256: str | None
    """Of the archive."""
    ticket_contents: tuple[TicketEntry, ...] | None
    """None unless accepted."""
    issues: tuple[Issue, ...] | None
    missing: tuple[str, ...]
    """Names of the header's fields that the document does not have."""
    cut: bool
    """The copy says of itself that it was cut."""
    other: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        return not self.missing and not self.cut

    @property
    def answer(self) -> NotaryStatus | None:
        """The status, if it is one of the documented words."""
        return NotaryStatus(self.status) if self.status in {one.value for one in NotaryStatus} else None


def parse_log(data: bytes, where: str = "notary log") -> NotaryLog:
    """The log in a document. Raises MalformedFile for what is no JSON object, or has a field of the wrong kind."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        cut = not data.rstrip().endswith(b"}")
        reason = "it ends in the middle" if cut else "it is no JSON"
        raise MalformedFile(f"not a notary log: {reason}", where=where, remedy="fetch it again") from None
    if not isinstance(document, dict):
        raise MalformedFile("not a notary log: it is no JSON object", where=where)
    fields = _Fields(document, where)
    if not any(name in document for name in ("status", "statusSummary", "issues", "ticketContents")):
        raise MalformedFile("not a notary log: neither a status nor issues in it", where=where)
    return NotaryLog(
        format_version=fields.number("logFormatVersion"),
        submission=fields.text("jobId"),
        status=fields.text("status"),
        summary=fields.text("statusSummary"),
        status_code=fields.number("statusCode"),
        archive=fields.text("archiveFilename"),
        uploaded=fields.text("uploadDate"),
        sha256=fields.text("sha256"),
        ticket_contents=_entries(fields),
        issues=_issues(fields),
        missing=tuple(name for name in _HEADER if name not in document),
        cut=document.get(_CUT) is True,
        other=fields.rest(*_HEADER, _CUT),
    )


def build_log(log: NotaryLog) -> bytes:
    """The document that `parse_log` reads as this log."""
    values = {
        "logFormatVersion": log.format_version,
        "jobId": log.submission,
        "status": log.status,
        "statusSummary": log.summary,
        "statusCode": log.status_code,
        "archiveFilename": log.archive,
        "uploadDate": log.uploaded,
        "sha256": log.sha256,
        "ticketContents": None if log.ticket_contents is None else [_entry_json(one) for one in log.ticket_contents],
        "issues": None if log.issues is None else [_issue_json(one) for one in log.issues],
    }
    document = {name: value for name, value in values.items() if name not in log.missing} | dict(log.other)
    if log.cut:
        document[_CUT] = True
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


class _Fields:
    """One JSON object, its fields read by kind; what is absent or null is None."""

    def __init__(self, document: Mapping[str, Any], where: str) -> None:
        self.document = document
        self._where = where

    def text(self, name: str) -> str | None:
        value = self.document.get(name)
        if value is not None and (not isinstance(value, str) or len(value) > _LONGEST_TEXT):
            raise self._refused(name, f"no text of at most {_LONGEST_TEXT} characters")
        return value

    def needed(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise self._refused(name, "missing")
        return value

    def number(self, name: str) -> int | None:
        value = self.document.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise self._refused(name, "no whole number")
        return value

    def objects(self, name: str) -> list[_Fields] | None:
        value = self.document.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) > LARGEST_LIST:
            raise self._refused(name, f"no list of at most {LARGEST_LIST} entries")
        for number, entry in enumerate(value):
            if not isinstance(entry, dict):
                raise self._refused(f"{name}[{number}]", "no object")
        return [_Fields(entry, f"{self._where}: {name}[{number}]") for number, entry in enumerate(value)]

    def rest(self, *known: str) -> dict[str, Any]:
        return {key: value for key, value in self.document.items() if key not in known}

    def _refused(self, name: str, reason: str) -> MalformedFile:
        return MalformedFile(f"{name}: {reason}", where=self._where)


def _entries(fields: _Fields) -> tuple[TicketEntry, ...] | None:
    entries = fields.objects("ticketContents")
    return (
        None
        if entries is None
        else tuple(
            TicketEntry(
                path=one.needed("path"),
                digest_algorithm=one.needed("digestAlgorithm"),
                cdhash=one.needed("cdhash").lower(),
                arch=one.text("arch"),
                other=one.rest("path", "digestAlgorithm", "cdhash", "arch"),
            )
            for one in entries
        )
    )


def _entry_json(entry: TicketEntry) -> dict[str, Any]:
    arch = {} if entry.arch is None else {"arch": entry.arch}
    return {
        "path": entry.path,
        "digestAlgorithm": entry.digest_algorithm,
        "cdhash": entry.cdhash,
        **arch,
        **entry.other,
    }


def _issues(fields: _Fields) -> tuple[Issue, ...] | None:
    entries = fields.objects("issues")
    return (
        None
        if entries is None
        else tuple(
            Issue(
                severity=one.needed("severity"),
                path=one.text("path"),
                message=one.needed("message"),
                architecture=one.text("architecture"),
                code=one.document.get("code"),
                doc_url=one.text("docUrl"),
                other=one.rest("severity", "path", "message", "architecture", "code", "docUrl"),
            )
            for one in entries
        )
    )


def _issue_json(issue: Issue) -> dict[str, Any]:
    return {
        "severity": issue.severity,
        "code": issue.code,
        "path": issue.path,
        "message": issue.message,
        "docUrl": issue.doc_url,
        "architecture": issue.architecture,
        **issue.other,
    }
