"""Every lever, seen from the client's side of the connection."""

from __future__ import annotations

import hashlib

import pytest
import requests
from builders.notary_user import NotaryUser
from builders.zips import zip_of

from pipeline.rehearsal import Answer, CutAnswer, CutRequest, Endpoint, Rehearsal, Status, answers

ARCHIVE = zip_of({"readme": b"no code"})
DIGEST = hashlib.sha256(ARCHIVE).hexdigest()


@pytest.fixture
def uploaded(user: NotaryUser) -> str:
    """The id of a submission that waits for its verdict."""
    grant = user.submit("a.zip", DIGEST)
    assert user.upload(grant, ARCHIVE).status_code == 200
    return grant.submission


def test_in_progress_for_some_polls(user: NotaryUser, rehearsal: Rehearsal, uploaded: str) -> None:
    """The verdict comes at the poll after the last that says In Progress, and the log only with it."""
    rehearsal.levers.polls_in_progress = 3
    assert user.call("GET", f"submissions/{uploaded}/logs").status_code == 404
    assert [user.status(uploaded) for _ in range(5)] == ["In Progress"] * 3 + ["Accepted"] * 2
    assert user.log(uploaded)["status"] == "Accepted"


def test_polls_before_the_upload_do_not_count(user: NotaryUser, rehearsal: Rehearsal) -> None:
    """The wait begins with the upload."""
    rehearsal.levers.polls_in_progress = 1
    grant = user.submit("a.zip", DIGEST)
    assert user.status(grant.submission) == "In Progress"
    user.upload(grant, ARCHIVE)
    assert [user.status(grant.submission) for _ in range(2)] == ["In Progress", "Accepted"]


@pytest.mark.parametrize(("verdict", "code"), [(Status.INVALID, 4000), (Status.REJECTED, 7000), (Status.ACCEPTED, 0)])
def test_a_verdict_by_lever(user: NotaryUser, rehearsal: Rehearsal, uploaded: str, verdict: Status, code: int) -> None:
    """Whatever the archive holds."""
    rehearsal.levers.verdict = verdict
    assert user.status(uploaded) == verdict.value
    assert user.log(uploaded)["statusCode"] == code


def test_a_status_that_nobody_knows(user: NotaryUser, rehearsal: Rehearsal, uploaded: str) -> None:
    """A text that no documentation lists."""
    rehearsal.levers.status_text = "On Hold"
    assert user.status(uploaded) == "On Hold"
    rehearsal.levers.status_text = None
    assert user.status(uploaded) == "Accepted"


def test_a_log_that_comes_late(user: NotaryUser, rehearsal: Rehearsal, uploaded: str) -> None:
    """Accepted already, and the log 404 two times more."""
    rehearsal.levers.log_late = 2
    assert user.status(uploaded) == "Accepted"
    codes = [user.call("GET", f"submissions/{uploaded}/logs").status_code for _ in range(3)]
    assert codes == [404, 404, 200]


def test_a_log_that_comes_early(user: NotaryUser, rehearsal: Rehearsal, uploaded: str) -> None:
    """The log is there while the status still says In Progress."""
    rehearsal.levers.log_early = True
    rehearsal.levers.polls_in_progress = 1
    assert user.log(uploaded)["status"] == "Accepted"
    assert [user.status(uploaded) for _ in range(2)] == ["In Progress", "Accepted"]


def test_a_log_about_another_archive(user: NotaryUser, rehearsal: Rehearsal, uploaded: str) -> None:
    """The digest in the log is not the submission's."""
    rehearsal.levers.log_sha256 = "0" * 64
    user.status(uploaded)
    assert user.log(uploaded)["sha256"] == "0" * 64


def test_a_log_that_leaves_a_slice_out(user: NotaryUser, rehearsal: Rehearsal, universal: bytes) -> None:
    """Accepted, and one CDHash neither in the log nor in the ticket."""
    whole = user.judge(zip_of({"tool": universal}))
    first, second = (entry["cdhash"] for entry in whole["ticketContents"])
    rehearsal.levers.log_leaves_out = frozenset({first})
    log = user.judge(zip_of({"tool": universal}))
    assert log["status"] == "Accepted"
    assert [entry["cdhash"] for entry in log["ticketContents"]] == [second]
    newest = next(iter(rehearsal.state.tickets()))
    assert bytes.fromhex(first) not in newest
    assert bytes.fromhex(second) in newest


BODIES: dict[str, tuple[Answer, int, str, str]] = {
    "401": (answers.UNAUTHENTICATED, 401, "text/plain", "Unauthenticated\n\nRequest ID: "),
    "403 agreement": (answers.AGREEMENT_MISSING, 403, "application/octet-stream", "REQUIRED_AGREEMENTS_MISSING"),
    "403 provider": (answers.PROVIDER_MISSING, 403, "application/octet-stream", "FORBIDDEN.MISSING_PROVIDER"),
    "403 role": (answers.ROLE_TOO_NARROW, 403, "application/octet-stream", "FORBIDDEN_ERROR"),
    "404": (answers.NO_SUCH_PATH, 404, "", ""),
    "429": (answers.RATE_LIMITED, 429, "application/octet-stream", "Exceeded hourly limit of requests"),
    "500": (answers.INTERNAL_ERROR, 500, "text/plain", "Please try again at a later time."),
    "504": (answers.GATEWAY_TIMEOUT, 504, "text/html", "Correlation Key"),
}


@pytest.mark.parametrize(("answer", "status", "kind", "words"), BODIES.values(), ids=BODIES.keys())
def test_the_real_error_bodies(
    user: NotaryUser, rehearsal: Rehearsal, uploaded: str, answer: Answer, status: int, kind: str, words: str
) -> None:
    """The second poll meets the error with its real body and content type; the others do not."""
    rehearsal.levers.polls_in_progress = 1
    rehearsal.levers.schedule(Endpoint.STATUS, answer, at=2)
    assert user.status(uploaded) == "In Progress"
    met = user.call("GET", f"submissions/{uploaded}")
    assert met.status_code == status
    assert met.headers.get("Content-Type", "") == kind
    assert words in met.text
    assert user.status(uploaded) == "Accepted"


def test_a_limit_that_says_how_long(user: NotaryUser, rehearsal: Rehearsal) -> None:
    """429 with Retry-After, for as many requests as asked."""
    rehearsal.levers.schedule(Endpoint.LIST, answers.rate_limited(120), times=2)
    met = [user.call("GET", "submissions") for _ in range(3)]
    assert [one.status_code for one in met] == [429, 429, 200]
    assert met[0].headers["Retry-After"] == "120"


def test_the_lost_answer_to_a_post(user: NotaryUser, rehearsal: Rehearsal) -> None:
    """The connection ends without a byte, and the submission was made all the same."""
    rehearsal.levers.schedule(Endpoint.SUBMIT, CutAnswer(at=0))
    with pytest.raises(requests.ConnectionError):
        user.submit("a.zip", DIGEST)
    (made,) = rehearsal.state.submissions()
    assert (made.name, made.is_uploaded) == ("a.zip", False)


@pytest.mark.parametrize("at", [1, 40, 200, 300])
def test_an_answer_that_is_cut(user: NotaryUser, rehearsal: Rehearsal, at: int) -> None:
    """In the status line, in the headers, in the body: never taken for a whole one."""
    rehearsal.levers.schedule(Endpoint.SUBMIT, CutAnswer(at=at))
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        user.submit("a.zip", DIGEST)
    assert len(rehearsal.state.submissions()) == 1


@pytest.mark.parametrize("at", [0, 1, 1_500_000])
def test_an_upload_that_is_cut(user: NotaryUser, rehearsal: Rehearsal, at: int) -> None:
    """At byte N of the upload the connection ends; nothing is stored, and the next try is."""
    data = bytes(3_000_000)
    grant = user.submit("a.zip", hashlib.sha256(data).hexdigest())
    rehearsal.levers.schedule(Endpoint.UPLOAD, CutRequest(at=at))
    with pytest.raises(requests.ConnectionError):
        user.upload(grant, data)
    assert not rehearsal.state.submissions()[0].is_uploaded
    assert user.upload(grant, data).status_code == 200
    assert rehearsal.state.submissions()[0].uploads == 1


def test_the_lost_answer_to_an_upload(user: NotaryUser, rehearsal: Rehearsal) -> None:
    """The object is stored and counted, and the client does not know."""
    grant = user.submit("a.zip", DIGEST)
    rehearsal.levers.schedule(Endpoint.UPLOAD, CutAnswer(at=0))
    with pytest.raises(requests.ConnectionError):
        user.upload(grant, ARCHIVE)
    assert rehearsal.state.submissions()[0].uploads == 1


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (answers.EXPIRED_TOKEN, 400, "ExpiredToken"),
        (answers.TIME_TOO_SKEWED, 403, "RequestTimeTooSkewed"),
        (answers.S3_INTERNAL_ERROR, 500, "InternalError"),
        (answers.S3_SLOW_DOWN, 503, "SlowDown"),
    ],
)
def test_errors_of_the_object_store(
    user: NotaryUser, rehearsal: Rehearsal, answer: Answer, status: int, code: str
) -> None:
    """XML with S3's code; nothing is stored."""
    grant = user.submit("a.zip", DIGEST)
    rehearsal.levers.schedule(Endpoint.UPLOAD, answer)
    met = user.upload(grant, ARCHIVE)
    assert met.status_code == status
    assert f"<Code>{code}</Code>" in met.text
    assert not rehearsal.state.submissions()[0].is_uploaded


def test_faults_count_from_when_they_are_scheduled(user: NotaryUser, rehearsal: Rehearsal) -> None:
    """`at` is the number of the request from then on, and several schedules live side by side."""
    levers = rehearsal.levers
    assert user.call("GET", "submissions").status_code == 200
    levers.schedule(Endpoint.LIST, answers.INTERNAL_ERROR, at=2)
    levers.schedule(Endpoint.LIST, answers.GATEWAY_TIMEOUT, at=3, times=2)
    codes = [user.call("GET", "submissions").status_code for _ in range(5)]
    assert codes == [200, 500, 504, 504, 200]
    assert levers.seen(Endpoint.LIST) == 6
