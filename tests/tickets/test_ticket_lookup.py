"""The lookup client against a service that speaks the real protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from fakes.clock import FakeClock
from fakes.ticket_service import TicketService

from pipeline.errors import ConfigurationError, ServiceUnavailable, StapleError
from pipeline.host import Http
from pipeline.tickets import LookupPolicy, TicketClient

ARM, INTEL = "a" * 40, "b" * 40


@pytest.fixture
def service() -> Iterator[TicketService]:
    with TicketService() as running:
        yield running


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def client(service: TicketService, clock: FakeClock) -> TicketClient:
    return TicketClient(Http(), clock, service.url)


def test_all_hashes_are_asked_for_at_once(service: TicketService, client: TicketClient, clock: FakeClock) -> None:
    """One request asks for every CDHash; what is there comes back as bytes, what is not as None, without a wait."""
    service.tickets[f"2/2/{ARM}"] = b"ticket"
    assert client.lookup([ARM, INTEL]) == {ARM: b"ticket", INTEL: None}
    assert service.requests == [[f"2/2/{ARM}", f"2/2/{INTEL}"]]
    assert clock.slept == timedelta(0)


def test_a_package_is_asked_for_by_its_type(service: TicketService, client: TicketClient) -> None:
    """A SHA-1 checksum is looked up as hash type 1."""
    service.tickets[f"2/1/{ARM}"] = b"ticket"
    assert client.lookup([ARM], hash_type=1) == {ARM: b"ticket"}


def test_upper_case_and_repeats_are_one_record(service: TicketService, client: TicketClient) -> None:
    """The service knows lower-case names; the answer has the names that were asked with."""
    service.tickets[f"2/2/{ARM}"] = b"ticket"
    assert client.lookup([ARM.upper(), ARM.upper()]) == {ARM.upper(): b"ticket"}
    assert service.requests == [[f"2/2/{ARM}"]]


def test_more_hashes_than_a_request_holds(service: TicketService, client: TicketClient) -> None:
    """More than 200 CDHashes are asked for in several requests, each once."""
    hashes = [f"{number:040x}" for number in range(450)]
    assert client.lookup(hashes) == dict.fromkeys(hashes)
    assert [len(names) for names in service.requests] == [200, 200, 50]


def test_throttled_records_are_asked_for_again(service: TicketService, client: TicketClient, clock: FakeClock) -> None:
    """A throttled record is asked for again, alone, after the pause that the service named."""
    service.tickets = {f"2/2/{ARM}": b"one", f"2/2/{INTEL}": b"two"}
    service.throttled_records, service.retry_after = 1, 17
    assert client.lookup([ARM, INTEL]) == {ARM: b"one", INTEL: b"two"}
    assert service.requests[1] == [f"2/2/{ARM}"]
    assert clock.slept == timedelta(seconds=17)


def test_a_throttled_request_is_made_again(service: TicketService, client: TicketClient, clock: FakeClock) -> None:
    """THROTTLED in place of records is obeyed likewise."""
    service.tickets[f"2/2/{ARM}"] = b"ticket"
    service.throttled_requests = 2
    assert client.lookup([ARM]) == {ARM: b"ticket"}
    assert clock.slept == timedelta(seconds=20)


@pytest.mark.parametrize("statuses", [[429], [500], [503, 504]])
def test_passing_trouble_is_waited_out(service: TicketService, client: TicketClient, statuses: list[int]) -> None:
    """429 and 5xx are asked again."""
    service.tickets[f"2/2/{ARM}"] = b"ticket"
    service.statuses = statuses
    assert client.lookup([ARM]) == {ARM: b"ticket"}


def test_a_cut_connection_is_tried_again(service: TicketService, client: TicketClient, clock: FakeClock) -> None:
    """A dropped connection is no answer; the next try gets one."""
    service.tickets[f"2/2/{ARM}"] = b"ticket"
    service.cut = 1
    assert client.lookup([ARM]) == {ARM: b"ticket"}
    assert clock.slept == timedelta(seconds=5)


def test_being_put_off_for_ever_ends(service: TicketService, client: TicketClient, clock: FakeClock) -> None:
    """A service that keeps throttling is unavailable after a bounded number of tries; that is not "no ticket"."""
    service.throttled_records = 10**6
    with pytest.raises(ServiceUnavailable, match="THROTTLED"):
        client.lookup([ARM])
    assert len(service.requests) == 5


def test_too_long_a_pause_is_refused(service: TicketService, client: TicketClient, clock: FakeClock) -> None:
    """A pause beyond the policy's longest is not slept through."""
    service.throttled_requests, service.retry_after = 1, 86400
    with pytest.raises(ServiceUnavailable, match="86400 s"):
        client.lookup([ARM])
    assert clock.slept == timedelta(0)


def test_a_pause_that_is_no_number_is_passed_over(service: TicketService, client: TicketClient) -> None:
    """A superscript two is a digit to Python, and no number."""
    service.throttled_requests, service.retry_after = 1, "²"  # type: ignore[assignment]
    assert client.lookup([ARM])


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"records": 1}',
        b'{"records": []}',
        b'{"records": [1]}',
        b"[" * 100_000,
        b'{"serverErrorCode": "BAD_REQUEST", "reason": "no"}',
        b'{"serverErrorCode": ["THROTTLED"]}',
        json.dumps({"records": [{"recordName": f"2/2/{ARM}"}]}).encode(),
        json.dumps({"records": [{"recordName": f"2/2/{ARM}", "serverErrorCode": "NEVER_SEEN"}]}).encode(),
        json.dumps({"records": [{"recordName": f"2/2/{ARM}", "fields": {"signedTicket": {"value": "!"}}}]}).encode(),
        json.dumps({"records": [{"recordName": f"2/2/{ARM}", "fields": {"signedTicket": {"value": 1}}}]}).encode(),
        json.dumps({"records": [{"recordName": f"2/2/{ARM}", "fields": None}]}).encode(),
    ],
)
def test_an_answer_not_understood_is_an_error(service: TicketService, client: TicketClient, answer: bytes) -> None:
    """What the client does not understand is never taken for "no ticket"."""
    service.answer = answer
    with pytest.raises(ServiceUnavailable):
        client.lookup([ARM])


def test_a_refusal_is_not_repeated(service: TicketService, client: TicketClient, clock: FakeClock) -> None:
    """A 4xx other than 429 fails at once."""
    service.statuses = [403]
    with pytest.raises(ServiceUnavailable, match="403"):
        client.lookup([ARM])
    assert clock.slept == timedelta(0)


@pytest.mark.parametrize("wrong", ["", "ab", "g" * 40, "a" * 64, "a" * 39 + "\n"])
def test_only_a_cdhash_is_looked_up(client: TicketClient, wrong: str) -> None:
    """Anything but 40 hex digits is refused before it is sent."""
    with pytest.raises(ConfigurationError):
        client.lookup([wrong])


def test_waiting_until_a_ticket_is_published(service: TicketService, client: TicketClient, clock: FakeClock) -> None:
    """Tickets that appear minutes after acceptance are waited for."""
    service.tickets[f"2/2/{ARM}"] = b"ticket"
    service.published_after = 4
    assert client.wait_for([ARM]) == {ARM: b"ticket"}
    assert clock.slept == timedelta(seconds=15 + 15 + 30 + 30)


def test_waiting_ends(service: TicketService, clock: FakeClock) -> None:
    """A ticket that never comes is a staple error, not a service that does not answer; it names what is missing."""
    service.tickets[f"2/2/{ARM}"] = b"ticket"
    policy = LookupPolicy(publication=(timedelta(seconds=30), timedelta(seconds=60)))
    client = TicketClient(Http(), clock, service.url, policy)
    with pytest.raises(StapleError, match=INTEL) as caught:
        client.wait_for([ARM, INTEL])
    assert ARM not in str(caught.value)
    assert clock.slept == timedelta(seconds=90)
    assert len(service.requests) == 3


def test_nobody_listens(clock: FakeClock) -> None:
    """A service that refuses connections is unavailable."""
    with TicketService() as gone:
        url = gone.url
    with pytest.raises(ServiceUnavailable):
        TicketClient(Http(), clock, url).wait_for([ARM])
