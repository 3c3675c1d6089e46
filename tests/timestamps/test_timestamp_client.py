"""The time-stamp client against the rehearsal's authority, over real connections, with what can go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from asn1crypto import core, tsp
from builders.hosts import host_with
from fakes.clock import FakeClock

from pipeline.codesign.timestamp_token import parse_token, verify_token
from pipeline.errors import ReleaseError, ServiceUnavailable, SigningError
from pipeline.host import Host
from pipeline.identity import APPLE_ROOTS
from pipeline.rehearsal import Answer, CutAnswer, CutRequest, Endpoint, Rehearsal, TimestampFault
from pipeline.timestamps import APPLE_URL, RetryPolicy, TimestampClient

SIGNATURE = b"the signature of a SignerInfo"
TRIES = len(RetryPolicy().waits) + 1


@dataclass(frozen=True, kw_only=True)
class Bench:
    """An authority, a clock, a client, and what the client said and asked."""

    rehearsal: Rehearsal
    clock: FakeClock
    host: Host
    told: list[str]
    asked: list[str]

    def client(self, *, url: str | None = None, roots: tuple[bytes, ...] | None = None) -> TimestampClient:
        services = self.rehearsal.services
        address = url or services.timestamp_url
        assert address is not None
        return TimestampClient(
            self.host.http,
            self.clock,
            self.host.entropy,
            address,
            roots=roots or services.anchors.timestamp_roots,
            told=self.told.append,
        )

    def fault(self, fault: Answer | CutRequest | CutAnswer | TimestampFault, times: int = 1) -> None:
        self.rehearsal.levers.schedule(Endpoint.TIMESTAMP, fault, times=times)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rehearsal")


@pytest.fixture
def bench(folder: Path) -> Iterator[Bench]:
    clock, asked = FakeClock(), list[str]()
    host = host_with(clock, observe=lambda kind, subject: asked.append(subject) if kind == "http" else None)
    with Rehearsal(folder, host) as rehearsal:
        yield Bench(rehearsal=rehearsal, clock=clock, host=host, told=[], asked=asked)


def test_a_token_is_verified_and_for_this_signature(bench: Bench) -> None:
    """One request; the token is about the signature, at the authority's time, with a nonce."""
    encoded = bench.client().token(SIGNATURE)
    found = verify_token(encoded, SIGNATURE, bench.rehearsal.services.anchors.timestamp_roots)
    assert found.time == bench.clock.now()
    assert found.nonce is not None
    assert found.digest == "sha256"
    assert len(bench.asked) == 1
    assert bench.told == []


def test_each_request_has_a_nonce_of_its_own(bench: Bench) -> None:
    """So that an old answer cannot be played again."""
    client = bench.client()
    assert parse_token(client.token(SIGNATURE)).nonce != parse_token(client.token(SIGNATURE)).nonce


PASSING = [
    Answer(status=503),
    Answer(status=400),
    Answer(status=404),
    *(Answer(status=status) for status in (401, 403, 408, 409, 417, 429, 500, 502, 504, 507)),
    Answer(status=204),
    Answer(status=200),
    Answer(status=200, body=b"<html>welcome to the hotel</html>"),
    CutRequest(at=10),
    CutAnswer(at=0),
    CutAnswer(at=200),
    *TimestampFault,
]


@pytest.mark.parametrize("fault", PASSING, ids=repr)
def test_what_may_pass_is_asked_again(bench: Bench, fault: Answer | CutRequest | CutAnswer | TimestampFault) -> None:
    """Twice wrong, then right: a verified token, after the first two waits, and each failure was told."""
    bench.fault(fault, times=2)
    encoded = bench.client().token(SIGNATURE)
    assert verify_token(encoded, SIGNATURE, bench.rehearsal.services.anchors.timestamp_roots)
    assert bench.clock.slept == timedelta(seconds=6)
    assert len(bench.told) == 2
    assert len(bench.asked) == 3


LASTING: dict[str, tuple[Answer | CutAnswer | TimestampFault, type[ReleaseError]]] = {
    "answered 503 \\(service unavailable\\)": (Answer(status=503), ServiceUnavailable),
    "answered 400 \\(not permitted or supported\\)": (Answer(status=400), ServiceUnavailable),
    "answered with nothing": (Answer(status=200), ServiceUnavailable),
    "no answer": (CutAnswer(at=0), ServiceUnavailable),
    "none of a time-stamp authority": (Answer(status=200, body=b"<html></html>"), SigningError),
    "refused \\(status 2\\): system failure": (TimestampFault.REJECTED, SigningError),
    "its nonce is not ours": (TimestampFault.OTHER_NONCE, SigningError),
    "nonce is not ours": (TimestampFault.NO_NONCE, SigningError),
    "made for other data": (TimestampFault.OTHER_IMPRINT, SigningError),
    "signature does not hold": (TimestampFault.OTHER_SIGNER, SigningError),
}


@pytest.mark.parametrize("reason", LASTING)
def test_what_stays_wrong_ends_after_six_tries(bench: Bench, reason: str) -> None:
    """Each failure has its words and its kind; the waits are those of the policy; nothing unverified comes out."""
    fault, kind = LASTING[reason]
    bench.fault(fault, times=TRIES)
    with pytest.raises(kind, match=reason) as caught:
        bench.client().token(SIGNATURE)
    assert len(bench.asked) == TRIES == 6
    assert bench.clock.slept == timedelta(seconds=2 + 4 + 8 + 16 + 30)
    assert caught.value.where
    assert caught.value.remedy


@pytest.mark.parametrize("status", [301, 302, 405, 418])
def test_what_is_no_time_stamp_service_is_asked_once(bench: Bench, status: int) -> None:
    """A redirection or a status that no authority gives would be the same the next time."""
    bench.fault(Answer(status=status, headers={"Location": "http://example.com/"}))
    with pytest.raises(ServiceUnavailable, match=f"answered {status}"):
        bench.client().token(SIGNATURE)
    assert len(bench.asked) == 1


def test_a_request_that_the_authority_will_never_grant_is_asked_once(bench: Bench) -> None:
    """Rejection with bad algorithm (PKIFailureInfo bit 0), and the authority's own words."""
    info = tsp.PKIStatusInfo({"status": "rejection", "status_string": ["no way"], "fail_info": {"bad_alg"}})
    bench.fault(Answer(status=200, body=core.Sequence(contents=info.dump()).dump()))
    with pytest.raises(SigningError, match=r"refused \(status 2\): bad algorithm; .*no way"):
        bench.client().token(SIGNATURE)
    assert len(bench.asked) == 1


def test_a_token_of_another_authority_is_not_taken(bench: Bench) -> None:
    """The rehearsal's token leads nowhere where Apple's roots are asked for."""
    with pytest.raises(SigningError, match="none of the roots"):
        bench.client(roots=APPLE_ROOTS).token(SIGNATURE)


def test_nobody_there(bench: Bench) -> None:
    """A port where nothing listens: unavailable, after all tries."""
    with pytest.raises(ServiceUnavailable, match="no answer"):
        bench.client(url="http://127.0.0.1:9/ts01").token(SIGNATURE)
    assert bench.clock.slept == timedelta(seconds=60)


def test_apples_address() -> None:
    """Plain HTTP, the path of today."""
    assert APPLE_URL == "http://timestamp.apple.com/ts01"
