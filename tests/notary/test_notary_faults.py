"""A table of faults: each lever of the services, what the release says, and that everything was uploaded once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from builders.notary_desk import Desk

from pipeline.errors import (
    CredentialsError,
    NotaryPending,
    NotaryRejected,
    ReleaseError,
    ServiceUnavailable,
    VerificationError,
)
from pipeline.notary import APPLE_POLICY, NotaryStatus, notarize
from pipeline.rehearsal import Answer, CutAnswer, CutRequest, Endpoint, Levers, Status, answers
from pipeline.rehearsal.levers import Fault

ALWAYS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fault, and what comes of it: None is an accepted release."""

    name: str
    arrange: Callable[[Levers], object]
    ends: type[ReleaseError] | None = None
    words: tuple[str, ...] = ()
    is_uploaded: bool = True
    """Have the services the archive whole when the run ends?"""
    is_over: bool = False
    """The verdict stands: with the fault gone, another run says the same."""
    sleeps: timedelta = timedelta(0)
    """At least so long was waited."""


def fault(endpoint: Endpoint, what: Fault, *, at: int = 1, times: int = 1) -> Callable[[Levers], object]:
    return lambda levers: levers.schedule(endpoint, what, at=at, times=times)


def both(*arrangements: Callable[[Levers], object]) -> Callable[[Levers], object]:
    def arrange(levers: Levers) -> None:
        for one in arrangements:
            one(levers)

    return arrange


def lever(**values: object) -> Callable[[Levers], object]:
    def arrange(levers: Levers) -> None:
        for name, value in values.items():
            setattr(levers, name, value)

    return arrange


def address(url: str) -> Answer:
    document = {"data": {"attributes": {"developerLogUrl": url}, "id": "x", "type": "submissionsLog"}, "meta": {}}
    return answers.json_answer(document)


SUBMIT, LIST, STATUS = Endpoint.SUBMIT, Endpoint.LIST, Endpoint.STATUS
UPLOAD, LOG, DOCUMENT = Endpoint.UPLOAD, Endpoint.LOG_ADDRESS, Endpoint.LOG_DOCUMENT

CASES = [
    # The submission is begun.
    Case(name="submit-500", arrange=fault(SUBMIT, answers.INTERNAL_ERROR)),
    Case(name="submit-504", arrange=fault(SUBMIT, answers.GATEWAY_TIMEOUT, times=2)),
    Case(name="submit-cut-request", arrange=fault(SUBMIT, CutRequest(at=10))),
    Case(name="submit-answer-lost", arrange=fault(SUBMIT, CutAnswer(at=0))),
    Case(name="submit-answer-lost-thrice", arrange=fault(SUBMIT, CutAnswer(at=0), times=3)),
    Case(name="submit-answer-cut-in-the-head", arrange=fault(SUBMIT, CutAnswer(at=30))),
    Case(name="submit-answer-cut-in-the-body", arrange=fault(SUBMIT, CutAnswer(at=400))),
    Case(name="submit-answer-is-html", arrange=fault(SUBMIT, Answer(status=200, body=b"<html>proxy</html>"))),
    Case(name="submit-429", arrange=fault(SUBMIT, answers.RATE_LIMITED), sleeps=timedelta(minutes=5)),
    Case(name="submit-429-for-10-min", arrange=fault(SUBMIT, answers.rate_limited(600)), sleeps=timedelta(minutes=10)),
    Case(
        name="submit-429-for-long",
        arrange=fault(SUBMIT, answers.rate_limited(7200), times=ALWAYS),
        ends=NotaryPending,
        words=("limit", "2 h", "run the same command again"),
        is_uploaded=False,
    ),
    Case(
        name="submit-400",
        arrange=fault(SUBMIT, answers.BODY_IN_GET, times=ALWAYS),
        ends=ReleaseError,
        words=("400",),
        is_uploaded=False,
    ),
    Case(
        name="submit-401",
        arrange=fault(SUBMIT, answers.UNAUTHENTICATED, times=ALWAYS),
        ends=CredentialsError,
        words=("Unauthenticated", "issuer"),
        is_uploaded=False,
    ),
    Case(
        name="submit-403-agreement",
        arrange=fault(SUBMIT, answers.AGREEMENT_MISSING, times=ALWAYS),
        ends=CredentialsError,
        words=("agreement", "Account Holder"),
        is_uploaded=False,
    ),
    Case(
        name="submit-403-provider",
        arrange=fault(SUBMIT, answers.PROVIDER_MISSING, times=ALWAYS),
        ends=CredentialsError,
        words=("provider", "issuer"),
        is_uploaded=False,
    ),
    Case(
        name="submit-500-always",
        arrange=fault(SUBMIT, answers.INTERNAL_ERROR, times=ALWAYS),
        ends=ServiceUnavailable,
        words=("500",),
        is_uploaded=False,
    ),
    Case(
        name="submit-answer-lost-and-list-500",
        arrange=both(fault(SUBMIT, CutAnswer(at=0)), fault(LIST, answers.INTERNAL_ERROR, times=2)),
    ),
    Case(
        name="submit-answer-lost-and-list-429",
        arrange=both(fault(SUBMIT, CutAnswer(at=0)), fault(LIST, answers.rate_limited(60))),
        sleeps=timedelta(minutes=1),
    ),
    # The archive is uploaded.
    Case(name="upload-cut-at-the-first-byte", arrange=fault(UPLOAD, CutRequest(at=0))),
    Case(name="upload-cut-in-the-middle", arrange=fault(UPLOAD, CutRequest(at=60), times=3)),
    Case(name="upload-answer-lost", arrange=fault(UPLOAD, CutAnswer(at=0))),
    Case(name="upload-answer-lost-often", arrange=fault(UPLOAD, CutAnswer(at=0), times=4)),
    Case(name="upload-500", arrange=fault(UPLOAD, answers.S3_INTERNAL_ERROR)),
    Case(name="upload-503", arrange=fault(UPLOAD, answers.S3_SLOW_DOWN, times=2)),
    Case(name="upload-token-expired-once", arrange=fault(UPLOAD, answers.EXPIRED_TOKEN)),
    Case(
        name="upload-token-expired-in-the-middle",
        arrange=both(fault(UPLOAD, CutRequest(at=60)), fault(UPLOAD, answers.EXPIRED_TOKEN, at=2)),
    ),
    Case(name="upload-key-unknown-once", arrange=fault(UPLOAD, answers.UNKNOWN_ACCESS_KEY)),
    Case(name="upload-damaged-on-the-way", arrange=fault(UPLOAD, answers.CONTENT_HASH_MISMATCH)),
    Case(
        name="upload-token-expired-always",
        arrange=lever(upload_credentials_live=timedelta(0)),
        ends=ServiceUnavailable,
        words=("as soon as it was given", "clock"),
        is_uploaded=False,
    ),
    Case(
        name="upload-signature-refused",
        arrange=fault(UPLOAD, answers.SIGNATURE_MISMATCH, times=ALWAYS),
        ends=CredentialsError,
        words=("SignatureDoesNotMatch", "proxy"),
        is_uploaded=False,
    ),
    Case(
        name="upload-clock",
        arrange=fault(UPLOAD, answers.TIME_TOO_SKEWED, times=ALWAYS),
        ends=CredentialsError,
        words=("RequestTimeTooSkewed", "clock"),
        is_uploaded=False,
    ),
    Case(
        name="upload-500-always",
        arrange=fault(UPLOAD, answers.S3_INTERNAL_ERROR, times=ALWAYS),
        ends=ServiceUnavailable,
        words=("500", "InternalError"),
        is_uploaded=False,
    ),
    # The wait.
    Case(name="status-slow", arrange=lever(polls_in_progress=20), sleeps=timedelta(minutes=15)),
    Case(name="status-500", arrange=fault(STATUS, answers.INTERNAL_ERROR, times=5)),
    Case(name="status-504", arrange=fault(STATUS, answers.GATEWAY_TIMEOUT, times=5)),
    Case(name="status-cut", arrange=fault(STATUS, CutAnswer(at=10), times=3)),
    Case(name="status-is-html", arrange=fault(STATUS, Answer(status=200, body=b"<html>"), times=2)),
    Case(name="status-404-at-first", arrange=fault(STATUS, answers.not_found("submissions", "x"), times=3)),
    Case(name="status-429", arrange=fault(STATUS, answers.RATE_LIMITED, times=2), sleeps=timedelta(minutes=10)),
    Case(
        name="status-429-with-retry-after",
        arrange=fault(STATUS, answers.rate_limited(700)),
        sleeps=timedelta(seconds=700),
    ),
    Case(
        name="status-429-for-hours",
        arrange=fault(STATUS, answers.rate_limited(7200), times=ALWAYS),
        ends=NotaryPending,
        words=("hourly limit", "run the same command again"),
    ),
    Case(
        name="status-in-progress-for-ever",
        arrange=lever(polls_in_progress=ALWAYS),
        ends=NotaryPending,
        words=("In Progress", "run the same command again"),
        sleeps=timedelta(minutes=30),
    ),
    Case(
        name="status-undocumented",
        arrange=lever(status_text="Postponed"),
        ends=NotaryPending,
        words=('"Postponed"', "not documented"),
        sleeps=timedelta(minutes=30),
    ),
    Case(
        name="status-500-for-ever",
        arrange=fault(STATUS, answers.INTERNAL_ERROR, times=ALWAYS),
        ends=ServiceUnavailable,
        words=("500", "run the same command again"),
        sleeps=timedelta(minutes=30),
    ),
    Case(
        name="status-404-for-ever",
        arrange=fault(STATUS, answers.not_found("submissions", "x"), times=ALWAYS),
        ends=CredentialsError,
        words=("does not know submission", "key of the team"),
    ),
    Case(
        name="status-401",
        arrange=fault(STATUS, answers.UNAUTHENTICATED, times=ALWAYS),
        ends=CredentialsError,
        words=("Unauthenticated",),
    ),
    Case(
        name="status-403-in-the-middle",
        arrange=both(lever(polls_in_progress=5), fault(STATUS, answers.AGREEMENT_MISSING, at=3, times=ALWAYS)),
        ends=CredentialsError,
        words=("Account Holder",),
    ),
    # The log and the verdict.
    Case(name="log-late", arrange=lever(log_late=5)),
    Case(name="log-early", arrange=lever(log_early=True, polls_in_progress=ALWAYS)),
    Case(name="log-address-500", arrange=fault(LOG, answers.INTERNAL_ERROR, times=3)),
    Case(name="log-address-429", arrange=fault(LOG, answers.rate_limited(90)), sleeps=timedelta(seconds=90)),
    Case(name="log-document-403", arrange=fault(DOCUMENT, answers.ACCESS_DENIED, times=2)),
    Case(name="log-document-cut", arrange=fault(DOCUMENT, CutAnswer(at=300), times=2)),
    Case(name="log-document-is-html", arrange=fault(DOCUMENT, Answer(status=200, body=b"<html>"), times=2)),
    Case(
        name="log-late-for-ever",
        arrange=lever(log_late=ALWAYS),
        ends=NotaryPending,
        words=("Accepted, but its log", "run the same command again"),
    ),
    Case(
        name="log-elsewhere",
        arrange=fault(LOG, address("http://127.0.0.1:9/steal?Signature=tell-tale"), times=ALWAYS),
        ends=ServiceUnavailable,
        words=("not fetched",),
    ),
    Case(
        name="log-about-other-bytes",
        arrange=lever(log_sha256="ab" * 32),
        ends=VerificationError,
        words=("abababab", "not of"),
    ),
    Case(
        name="invalid",
        arrange=lever(verdict=Status.INVALID),
        ends=NotaryRejected,
        words=("Invalid: Archive contains critical validation errors",),
        is_over=True,
    ),
    Case(
        name="invalid-without-a-log",
        arrange=lever(verdict=Status.INVALID, log_late=ALWAYS),
        ends=NotaryRejected,
        words=("Invalid", "no log"),
        is_over=True,
    ),
    Case(
        name="rejected",
        arrange=lever(verdict=Status.REJECTED),
        ends=NotaryRejected,
        words=("Rejected: Team is not yet configured", "7000", "Developer Programs Support"),
        is_over=True,
    ),
]


def test_the_table_has_its_faults() -> None:
    """Each fault of the table has its own name."""
    assert len({case.name for case in CASES}) == len(CASES) >= 50


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_ends_well_or_in_words(desk: Desk, case: Case) -> None:
    """With the fault the release completes, or stops with its kind of error and words; nothing is uploaded twice."""
    archive = desk.archive()
    case.arrange(desk.levers)
    if case.ends is None:
        (verdict,) = desk.notarize([archive])
        assert verdict.status is NotaryStatus.ACCEPTED
    else:
        with pytest.raises(case.ends) as stopped:
            desk.notarize([archive])
        assert type(stopped.value) is case.ends
        for word in case.words:
            assert word in str(stopped.value)
    assert desk.clock.slept >= case.sleeps
    if case.is_uploaded:
        desk.demand_once(archive)
        desk.demand_no_leave_left()
    else:
        assert desk.uploaded() == []


@pytest.mark.parametrize("case", [case for case in CASES if case.ends], ids=lambda case: case.name)
def test_a_run_that_stopped_is_resumed_when_the_fault_is_gone(desk: Desk, case: Case) -> None:
    """After every stop the next run completes with one upload, or, where there is a verdict, says it again."""
    archive = desk.archive()
    case.arrange(desk.levers)
    with pytest.raises(ReleaseError) as stopped:
        desk.notarize([archive])
    _mend(desk.levers)
    if case.is_over:
        with pytest.raises(type(stopped.value)) as again:
            desk.notarize([archive])
        assert str(again.value) == str(stopped.value)
    elif case.name == "log-about-other-bytes":
        return  # the services have written that log
    else:
        desk.notarize([archive])
    desk.demand_once(archive)
    desk.demand_no_leave_left()


def _mend(levers: Levers) -> None:
    """The services at their best again."""
    healthy = Levers(verdict=levers.verdict)
    for name in ("polls_in_progress", "status_text", "log_late", "log_early", "log_sha256", "upload_credentials_live"):
        setattr(levers, name, getattr(healthy, name))
    levers.cancel_faults()


@pytest.mark.parametrize("case", [case for case in CASES if case.ends is None], ids=lambda case: case.name)
def test_a_fault_of_one_archive_does_not_harm_another(desk: Desk, case: Case) -> None:
    """With three archives in flight, a fault that passes leaves three accepted submissions, each uploaded once."""
    archives = [desk.archive(f"{name}.zip", name.encode()) for name in ("one", "two", "three")]
    case.arrange(desk.levers)
    assert [verdict.archive for verdict in desk.notarize(archives)] == archives
    desk.demand_once(*archives)
    desk.demand_no_leave_left()


def test_the_words_of_a_refusal_are_for_a_person(desk: Desk) -> None:
    """An Invalid archive is told as a table: path, slice, message, what to do."""
    log = {
        "logFormatVersion": 1,
        "status": "Invalid",
        "statusSummary": "Archive contains critical validation errors",
        "statusCode": 4000,
        "archiveFilename": "tool-1.0.zip",
        "uploadDate": "2026-11-21T06:15:00Z",
        "ticketContents": None,
        "issues": [
            {
                "severity": "error",
                "code": None,
                "path": "tool-1.0.zip/tool",
                "message": "The signature does not include a secure timestamp.",
                "docUrl": None,
                "architecture": "arm64",
            }
        ],
    }
    archive = desk.archive()
    desk.levers.verdict = Status.INVALID
    with pytest.raises(NotaryRejected):
        desk.notarize([archive])
    (submission,) = desk.uploaded()
    document = log | {"jobId": submission.id, "sha256": archive.sha256}
    (desk.records / f"{archive.sha256}.log.json").write_text(json.dumps(document))
    with pytest.raises(NotaryRejected) as told:
        desk.notarize([archive])
    rows = str(told.value).splitlines()
    row = next(line for line in rows if "secure timestamp" in line)
    assert "arm64" in row
    assert "error" in row
    assert rows[rows.index(row) - 1].strip() == "tool"
    assert "codesign --timestamp" in rows[rows.index(row) + 1]


def test_a_clock_that_is_off_is_told(desk: Desk) -> None:
    """A machine whose clock is ten minutes ahead gets 401, and reads why."""
    desk.levers.clock_skew = timedelta(minutes=-10)
    with pytest.raises(CredentialsError, match="clock is 10 min ahead"):
        desk.notarize([desk.archive()])


def test_services_that_are_gone_are_told(desk: Desk) -> None:
    """With nobody listening the run ends as unreachable, and has sent nothing."""
    services = desk.rehearsal.services
    assert services.notary is not None
    gone = replace(services.notary, base_url="http://127.0.0.1:9/notary/v2")
    archive = desk.archive()
    assert services.credentials is not None
    with pytest.raises(ServiceUnavailable, match="no answer"):
        notarize(desk.host(), gone, services.credentials, [archive], desk.records, APPLE_POLICY, timedelta(minutes=30))
    desk.notarize([archive])
    desk.demand_once(archive)
