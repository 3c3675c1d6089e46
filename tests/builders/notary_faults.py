"""A table of faults: each lever of the services, and what the release says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from pipeline.errors import (
    CredentialsError,
    NotaryPending,
    NotaryRejected,
    ReleaseError,
    ServiceUnavailable,
    VerificationError,
)
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
    Case(name="upload-504-of-a-gateway", arrange=fault(UPLOAD, answers.GATEWAY_TIMEOUT)),
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
