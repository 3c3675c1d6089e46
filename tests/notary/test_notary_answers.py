"""What the notary's refusals mean: bodies as they were seen in public, each with its kind of error and its words."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import CredentialsError, ReleaseError, ServiceUnavailable
from pipeline.host import Response
from pipeline.notary.answers import NotThere, check, retry_after
from pipeline.notary.waiting import Throttled

NOW = datetime(2026, 11, 21, 6, 15, tzinfo=UTC)
DATE = "Sat, 21 Nov 2026 06:15:00 GMT"


def error(status: str, code: str, title: str, detail: str) -> bytes:
    return json.dumps({"errors": [{"status": status, "code": code, "title": title, "detail": detail}]}).encode()


AGREEMENT = error(
    "403",
    "FORBIDDEN.REQUIRED_AGREEMENTS_MISSING_OR_EXPIRED",
    "A required agreement is missing or has expired.",
    "This request requires an in-effect agreement that has not been signed or has expired.",
)
PROVIDER = error("403", "FORBIDDEN.MISSING_PROVIDER", "This provider does not exist.", "This provider does not exist.")
ROLE = error(
    "403",
    "FORBIDDEN_ERROR",
    "This request is forbidden for security reasons",
    "The API key in use does not allow this request",
)
UNAUTHENTICATED = b"Unauthenticated\n\nRequest ID: 4LBNFD32YYRMV2263S4YLLG2ZE.0.0\n"
NO_LOG = error(
    "404",
    "NOT_FOUND",
    "The specified resource does not exist",
    "There is no resource of type 'submissionsLog' with id 'b014d72f-17b6-45ac-abdf-8f39b9241c58'",
)
LIMIT = error("429", "RATE_LIMIT", "Too many requests", "Exceeded hourly limit of requests. Try again later.")
DIGEST = error(
    "400",
    "BAD_REQUEST",
    "Improperly formatted request",
    "Provided sha256 digest of the submission must be a 64-digit hexadecimal string",
)
AKAMAI = (
    b"<HTML><HEAD>\n<TITLE>Bad Request</TITLE>\n</HEAD><BODY>\n<H1>Bad Request</H1>\n"
    b"Your browser sent a request that this server could not understand.<P>\n</BODY></HTML>\n"
)
GATEWAY = b"<HTML><HEAD><TITLE>Gateway Timeout</TITLE></HEAD><BODY>Correlation Key: X</BODY></HTML>"
INTERNAL = b"Internal Server Error\n\nRequest ID: X\nPlease try again at a later time.\n"


def answer(status: int, body: bytes, **headers: str) -> Response:
    # The content type lies in the real service too: nothing may depend on it.
    return Response(
        status=status, headers={"content-type": "application/octet-stream", "date": DATE} | headers, body=body
    )


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, UNAUTHENTICATED, CredentialsError, ["Unauthenticated", "issuer", "key id"]),
        (403, AGREEMENT, CredentialsError, ["agreement", "Account Holder"]),
        (403, PROVIDER, CredentialsError, ["provider does not exist", "issuer"]),
        (403, ROLE, CredentialsError, ["forbidden", "role Developer"]),
        (404, NO_LOG, NotThere, ["submissionsLog"]),
        (404, b"", NotThere, ["404"]),
        (429, LIMIT, Throttled, ["hourly limit"]),
        (400, DIGEST, ReleaseError, ["64-digit"]),
        (400, AKAMAI, ReleaseError, ["Bad Request"]),
        (409, b"{}", ReleaseError, ["409"]),
        (418, b"\xff\xfe", ReleaseError, ["418"]),
        (500, INTERNAL, ServiceUnavailable, ["Internal Server Error"]),
        (500, b"", ServiceUnavailable, ["500"]),
        (504, GATEWAY, ServiceUnavailable, ["Gateway Timeout"]),
        (302, b"", ServiceUnavailable, ["redirect", "proxy"]),
    ],
)
def test_a_refusal_has_its_kind_and_its_words(
    status: int, body: bytes, kind: type[ReleaseError], words: list[str]
) -> None:
    """Each refusal that has been seen raises the one kind that says what to do, in words."""
    with pytest.raises(ReleaseError) as refused:
        check(answer(status, body), "GET https://notary.example/", NOW)
    assert type(refused.value) is kind
    for word in words:
        assert word.lower() in str(refused.value).lower()


def test_four_ways_of_being_refused_are_told_apart() -> None:
    """401, a missing agreement, a missing provider and a narrow role have four different remedies."""
    remedies = set()
    for status, body in ((401, UNAUTHENTICATED), (403, AGREEMENT), (403, PROVIDER), (403, ROLE)):
        with pytest.raises(CredentialsError) as refused:
            check(answer(status, body), "x", NOW)
        remedies.add(refused.value.remedy)
    assert len(remedies) == 4
    assert None not in remedies


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (timedelta(minutes=7), "7 min ahead of"),
        (timedelta(hours=-3), "3 h 00 min behind"),
        (timedelta(seconds=40), "40 s ahead of"),
    ],
)
def test_a_wrong_clock_is_named_as_the_cause(ahead: timedelta, words: str) -> None:
    """A 401 to a machine whose clock is off tells how far, by the Date header."""
    with pytest.raises(CredentialsError) as refused:
        check(answer(401, UNAUTHENTICATED), "x", NOW + ahead)
    assert words in (refused.value.remedy or "")


def test_a_right_clock_is_not_blamed() -> None:
    """Within half a minute the clock is not what is wrong."""
    for seconds in (-30, 0, 30):
        with pytest.raises(CredentialsError) as refused:
            check(answer(401, UNAUTHENTICATED), "x", NOW + timedelta(seconds=seconds))
        assert "clock is" not in (refused.value.remedy or "")


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Sat, 99 Nov 2026 06:15:00 GMT", "Sat, 21 Nov 99999999999 06:15:00 GMT"]
)
def test_a_date_that_is_none_blames_nobody(date: str) -> None:
    """A Date header that cannot be read is as good as none."""
    with pytest.raises(CredentialsError) as refused:
        check(answer(401, UNAUTHENTICATED, date=date), "x", NOW)
    assert "clock is" not in (refused.value.remedy or "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120", timedelta(minutes=2)),
        ("0", timedelta(0)),
        ("Sat, 21 Nov 2026 06:20:00 GMT", timedelta(minutes=5)),
        ("Sat, 21 Nov 2026 06:10:00 GMT", timedelta(0)),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("9" * 400, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, expected: timedelta | None) -> None:
    """Both forms of RFC 9110 are read; anything else is none."""
    assert retry_after(answer(429, LIMIT, **{"retry-after": text}), NOW) == expected


@given(st.integers(300, 599), st.binary(max_size=300), st.text("A0,: GMT", max_size=40))
def test_no_refusal_raises_anything_else(status: int, body: bytes, header: str) -> None:
    """Whatever is in a body or a header, the error is ours and its text is one line that a terminal can show."""
    with pytest.raises(ReleaseError) as refused:
        check(answer(status, body, date=header, **{"retry-after": header}), "x", NOW)
    assert refused.value.message.isprintable()
