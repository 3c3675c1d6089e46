"""The ticket service, in the shape of CloudKit's records/lookup, and the writer of the tickets it gives out.

The writer is the rehearsal's own, so that what the tickets room reads was not written by it. All numbers of a ticket
are little-endian; the format is the one read off published tickets:

    "s8ch" · u32 1 · u32 length of certificates · u32 length of body
    one DER SEQUENCE of the leaf and its issuer
    "g8tk" · u16 2 · u16 20 · u32 count · u32 flags · u64 Unix time · count of (u8 hash type, 20 bytes)
    72 bytes: DER ECDSA-SHA-256 by the leaf over all before, zero-filled
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from asn1crypto import core
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pipeline.rehearsal import answers
from pipeline.rehearsal.chains import KeyedChain
from pipeline.rehearsal.levers import Answer, Endpoint, Levers
from pipeline.rehearsal.server import Request
from pipeline.rehearsal.state import State

PATH = "/database/1/com.apple.gk.ticket-delivery/production/public/records/lookup"
SHA1, SHA256 = 1, 2
_REVOKED = 1
_HEADER = struct.Struct("<4sIII")
_BODY = struct.Struct("<4sHHIIQ")
_HASH_LENGTH = 20
_SIGNATURE_LENGTH = 72
_MOST_RECORDS = 200  # of one request, by the CloudKit Web Services reference
_NAME = re.compile(r"2/(?P<type>\d{1,3})/(?P<hash>[0-9a-f]{40})")


def write_ticket(hashes_: Sequence[tuple[int, bytes]], time: datetime, signer: KeyedChain, flags: int = 0) -> bytes:
    """A ticket for (hash type, 20 bytes) pairs, signed by the ticket chain's leaf."""
    assert isinstance(signer.key, ec.EllipticCurvePrivateKey)
    chain: bytes = core.SequenceOf([core.Any.load(der) for der in signer.chain[:-1]], spec=core.Any).dump()
    body = _BODY.pack(b"g8tk", 2, _HASH_LENGTH, len(hashes_), flags, int(time.timestamp()))
    body += b"".join(struct.pack("<B20s", kind, digest) for kind, digest in hashes_)
    signed = _HEADER.pack(b"s8ch", 1, len(chain), len(body)) + chain + body
    signature = signer.key.sign(signed, ec.ECDSA(hashes.SHA256()))
    return signed + signature.ljust(_SIGNATURE_LENGTH, b"\0")


def hashes_of(ticket: bytes) -> tuple[list[tuple[int, bytes]], datetime]:
    """What a ticket of ours lists, and its time."""
    start = _HEADER.size + _HEADER.unpack_from(ticket)[2]
    *_, count, _flags, seconds = _BODY.unpack_from(ticket, start)
    entries = struct.iter_unpack("<B20s", ticket[start + _BODY.size :][: count * (1 + _HASH_LENGTH)])
    return [(kind, digest) for kind, digest in entries], datetime.fromtimestamp(seconds, UTC)


class TicketService:
    def __init__(self, signer: KeyedChain, state: State, levers: Levers) -> None:
        self._signer = signer
        self._state = state
        self._levers = levers
        self._lookups: Counter[str] = Counter()

    def endpoint(self, method: str, path: str, query: str) -> Endpoint | None:
        return Endpoint.TICKET if (method, path) == ("POST", PATH) else None

    def answer(self, request: Request) -> Answer:
        if self.endpoint(request.method, request.path, request.query) is None:
            return answers.cloudkit({"serverErrorCode": "BAD_REQUEST", "reason": "BadRequestException"}, 400)
        try:
            records = json.loads(request.body.document())["records"]
            names = [str(record["recordName"]) for record in records]
        except (ValueError, KeyError, TypeError, RecursionError):
            return answers.cloudkit({"serverErrorCode": "BAD_REQUEST", "reason": "missing required field"}, 400)
        if len(names) > _MOST_RECORDS:
            return answers.cloudkit({"serverErrorCode": "BAD_REQUEST", "reason": "too many records"}, 400)
        tickets = [(ticket, *hashes_of(ticket)) for ticket in self._state.tickets()]
        return answers.cloudkit({"records": [self._record(name, tickets) for name in names]})

    def _record(self, name: str, tickets: list[tuple[bytes, list[tuple[int, bytes]], datetime]]) -> dict[str, object]:
        said = _NAME.fullmatch(name)
        wanted = (int(said["type"]), bytes.fromhex(said["hash"])) if said else None
        found = next((one for one in tickets if wanted in one[1]), None)
        if found is not None:
            self._lookups[name] += 1
        if found is None or self._lookups[name] <= self._levers.tickets_late:
            return {"recordName": name, "reason": "Record not found", "serverErrorCode": "NOT_FOUND"}
        ticket, listed, time = found
        if self._levers.tickets_revoked:
            ticket = write_ticket(listed, time, self._signer, _REVOKED)
        made = {
            "timestamp": int(time.timestamp() * 1000),
            "userRecordName": "_d28c74d2dbf1d3d0a5b6b4d4f8b1c0d1",
            "deviceID": "2",
        }
        return {
            "recordName": name,
            "recordType": "DeveloperIDTicket",
            "fields": {"signedTicket": {"value": base64.b64encode(ticket).decode(), "type": "BYTES"}},
            "pluginFields": {},
            "recordChangeTag": "rehearsal",
            "created": made,
            "modified": made,
            "deleted": False,
        }
