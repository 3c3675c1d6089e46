"""Tickets: what an accepted submission gets, and the service that hands it out, in CloudKit's shapes."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import requests
from builders.notary_user import NotaryUser
from builders.zips import zip_of

from pipeline.host import Host
from pipeline.rehearsal import Endpoint, Levers, Rehearsal, Status
from pipeline.rehearsal.answers import throttled
from pipeline.tickets import TicketClient, parse_ticket, verify_ticket


def lookup(rehearsal: Rehearsal, *names: str) -> requests.Response:
    assert rehearsal.services.tickets_url is not None
    asked = {"records": [{"recordName": name} for name in names]}
    return requests.post(rehearsal.services.tickets_url, json=asked, timeout=60)


@pytest.fixture
def cdhashes(user: NotaryUser, universal: bytes, dylib: bytes) -> list[str]:
    """Of an accepted submission, by its log; the library is in it twice."""
    log = user.judge(zip_of({"tool": universal, "one.dylib": dylib, "two.dylib": dylib}))
    return [entry["cdhash"] for entry in log["ticketContents"]]


def record(rehearsal: Rehearsal, cdhash: str) -> dict[str, Any]:
    (found,) = lookup(rehearsal, f"2/2/{cdhash}").json()["records"]
    return dict(found)


def test_a_ticket_lists_every_code_object_once(rehearsal: Rehearsal, cdhashes: list[str]) -> None:
    """Each slice of the submission, without repeats, signed by a chain to the root that stands where Apple's stands."""
    assert len(cdhashes) == 4
    raw = base64.b64decode(record(rehearsal, cdhashes[0])["fields"]["signedTicket"]["value"])
    ticket = verify_ticket(raw, rehearsal.services.anchors.ticket_roots)
    assert {one.hash for one in ticket.hashes} == set(cdhashes)
    assert len(ticket.hashes) == 3
    assert {one.type for one in ticket.hashes} == {2}
    assert ticket.flags == 0
    assert ticket.time <= rehearsal.state.submissions()[0].created.replace(year=2100)


def test_the_ticket_is_laid_out_like_apples(rehearsal: Rehearsal, cdhashes: list[str]) -> None:
    """Header, two certificates, a body of 24 + 21 n bytes, a signature field of 72: as in six real tickets."""
    (raw,) = rehearsal.state.tickets()
    assert raw[:8] == b"s8ch\x01\0\0\0"
    certificates, body = int.from_bytes(raw[8:12], "little"), int.from_bytes(raw[12:16], "little")
    assert body == 24 + 21 * 3
    assert len(raw) == 16 + certificates + body + 72
    assert raw[16 + certificates :][:8] == b"g8tk\x02\0\x14\0"
    assert len(parse_ticket(raw).certificates) == 2


def test_a_record_has_cloudkits_shape(rehearsal: Rehearsal, cdhashes: list[str]) -> None:
    """The fields of a captured answer, HTTP 200."""
    answer = lookup(rehearsal, f"2/2/{cdhashes[0]}")
    assert answer.status_code == 200
    (found,) = answer.json()["records"]
    assert set(found) == {
        "recordName",
        "recordType",
        "fields",
        "pluginFields",
        "recordChangeTag",
        "created",
        "modified",
        "deleted",
    }
    assert found["recordType"] == "DeveloperIDTicket"
    assert found["fields"]["signedTicket"]["type"] == "BYTES"
    assert set(found["created"]) == {"timestamp", "userRecordName", "deviceID"}


def test_several_records_in_one_request(rehearsal: Rehearsal, cdhashes: list[str]) -> None:
    """Each is answered by itself; one that is not there is an error inside of a 200."""
    unknown = "2/2/" + "0" * 40
    names = [f"2/2/{cdhashes[0]}", unknown, f"2/2/{cdhashes[1]}", "nonsense", f"2/1/{cdhashes[0]}"]
    answer = lookup(rehearsal, *names)
    assert answer.status_code == 200
    records = answer.json()["records"]
    assert [one["recordName"] for one in records] == names
    assert ["fields" in one for one in records] == [True, False, True, False, False]
    assert records[1] == {"recordName": unknown, "reason": "Record not found", "serverErrorCode": "NOT_FOUND"}


def test_our_client_reads_what_is_served(rehearsal: Rehearsal, cdhashes: list[str], host: Host) -> None:
    """The client of the release finds every ticket in one request."""
    assert rehearsal.services.tickets_url is not None
    found = TicketClient(host.http, host.clock, rehearsal.services.tickets_url).lookup(cdhashes)
    assert set(found) == set(cdhashes)
    (raw,) = rehearsal.state.tickets()
    assert set(found.values()) == {raw}
    assert rehearsal.levers.seen(Endpoint.TICKET) == 1


def test_a_refused_submission_has_no_ticket(user: NotaryUser, rehearsal: Rehearsal, thin: bytes) -> None:
    """Invalid and Rejected leave nothing at the ticket service."""
    assert user.judge(zip_of({"tool": thin + bytes(8)}))["status"] == "Invalid"
    rehearsal.levers.verdict = Status.REJECTED
    assert user.judge(zip_of({"tool": thin}))["status"] == "Rejected"
    assert list(rehearsal.state.tickets()) == []


def test_a_ticket_that_comes_late(rehearsal: Rehearsal, cdhashes: list[str]) -> None:
    """Two lookups of a record find nothing, the third does; another record has its own count."""
    rehearsal.levers.tickets_late = 2
    assert ["fields" in record(rehearsal, cdhashes[0]) for _ in range(4)] == [False, False, True, True]
    assert "fields" not in record(rehearsal, cdhashes[1])


def test_a_revoked_ticket(rehearsal: Rehearsal, cdhashes: list[str]) -> None:
    """Flags 1, and as well signed as any other."""
    rehearsal.levers.tickets_revoked = True
    raw = base64.b64decode(record(rehearsal, cdhashes[0])["fields"]["signedTicket"]["value"])
    assert verify_ticket(raw, rehearsal.services.anchors.ticket_roots).revoked


def test_a_throttled_lookup(rehearsal: Rehearsal, cdhashes: list[str]) -> None:
    """The whole answer is the error, with the seconds to wait."""
    rehearsal.levers.schedule(Endpoint.TICKET, throttled(7), times=2)
    for _ in range(2):
        answer = lookup(rehearsal, f"2/2/{cdhashes[0]}")
        assert (answer.json()["serverErrorCode"], answer.json()["retryAfter"]) == ("THROTTLED", 7)
    assert "fields" in record(rehearsal, cdhashes[0])


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"records": 1}', b'{"records": [{}]}', b"{" * 100_000])
def test_a_request_of_another_shape(rehearsal: Rehearsal, body: bytes) -> None:
    """400 with CloudKit's code for it."""
    assert rehearsal.services.tickets_url is not None
    answer = requests.post(rehearsal.services.tickets_url, data=body, timeout=60)
    assert (answer.status_code, answer.json()["serverErrorCode"]) == (400, "BAD_REQUEST")


def test_tickets_outlive_the_process(folder: Any, host: Host, thin: bytes) -> None:
    """A later rehearsal over the same folder serves the ticket that an earlier one made."""
    with Rehearsal(folder, host, Levers()) as first:
        log = NotaryUser(services=first.services).judge(zip_of({"tool": thin}))
    with Rehearsal(folder, host) as second:
        assert "fields" in record(second, log["ticketContents"][0]["cdhash"])
