"""The developer log of a submission, in the shape of the public ones."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pipeline.rehearsal.answers import iso_milliseconds
from pipeline.rehearsal.inspection import CodeObject, Issue, Report
from pipeline.rehearsal.state import Status, Submission

_SUMMARIES = {
    Status.ACCEPTED: ("Ready for distribution", 0),
    Status.INVALID: ("Archive contains critical validation errors", 4000),
    Status.REJECTED: (
        "Team is not yet configured for notarization. Please contact Developer Programs Support at "
        "developer.apple.com under the topic Development and Technical / Other Development or Technical Questions.",
        7000,
    ),
}
_ALGORITHMS = {1: "SHA-1", 2: "SHA-256", 3: "SHA-256", 4: "SHA-384"}


def write_log(
    submission: Submission, status: Status, report: Report, *, sha256: str, without: Collection[str] = ()
) -> dict[str, Any]:
    """The document. `ticketContents` is null unless accepted, `issues` null where there are none or the team is at
    fault.

    `without`: CDHashes that it leaves out.
    """
    summary, code = _SUMMARIES[status]
    contents = [_content(one) for one in report.contents if one.cdhash.hex() not in without]
    issues = [_issue(one) for one in report.issues]
    return {
        "logFormatVersion": 1,
        "jobId": submission.id,
        "status": status.value,
        "statusSummary": summary,
        "statusCode": code,
        "archiveFilename": submission.name,
        "uploadDate": iso_milliseconds(submission.uploaded or submission.created),
        "sha256": sha256,
        "ticketContents": contents if status is Status.ACCEPTED else None,
        "issues": None if status is Status.REJECTED else issues or None,
    }


def _content(one: CodeObject) -> dict[str, Any]:
    return {
        "path": one.path,
        "digestAlgorithm": _ALGORITHMS[one.hash_type],
        "cdhash": one.cdhash.hex(),
        "arch": one.architecture,
    }


def _issue(one: Issue) -> dict[str, Any]:
    return {
        "severity": one.severity.value,
        "code": None,
        "path": one.path,
        "message": one.message,
        "docUrl": one.explanation,
        "architecture": one.architecture,
    }
