"""RFC 3161's two messages, pure: TimeStampReq and TimeStampResp (sections 2.4.1 and 2.4.2)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum

from pipeline.codesign import der
from pipeline.errors import MalformedFile, SigningError

# What Apple's client asks for, and Apple's tokens say.
APPLE_POLICY = "1.2.3.4.5.6"

_SHA256 = "2.16.840.1.101.3.4.2.1"
_GRANTED, _GRANTED_WITH_CHANGES = 0, 1


class Failure(IntEnum):
    """PKIFailureInfo, by bit; those that RFC 3161 has a use for."""

    BAD_ALGORITHM = 0
    BAD_REQUEST = 2
    BAD_DATA_FORMAT = 5
    TIME_NOT_AVAILABLE = 14
    UNACCEPTED_POLICY = 15
    UNACCEPTED_EXTENSION = 16
    ADDITIONAL_INFORMATION_NOT_AVAILABLE = 17
    SYSTEM_FAILURE = 25


# The authority's own trouble: the same request can be granted a moment later.
PASSING_FAILURES = frozenset({Failure.TIME_NOT_AVAILABLE, Failure.SYSTEM_FAILURE})


class Rejected(SigningError):
    """The authority said no; `failures` are its reasons, as far as it gave any."""

    def __init__(self, message: str, failures: frozenset[int]) -> None:
        super().__init__(message, remedy="run again; if it stays so, look at Apple's system status page")
        self.failures = failures


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A TimeStampReq for a SHA-256 imprint, certificates asked for."""

    imprint: bytes
    nonce: int
    policy: str | None = APPLE_POLICY


def build_request(request: Request) -> bytes:
    """TimeStampReq as DER; it always asks for the certificates."""
    policy = [] if request.policy is None else [der.build(der.OBJECT_IDENTIFIER, der.build_oid(request.policy))]
    return der.build(
        der.SEQUENCE,
        der.build_integer(1),
        der.build(der.SEQUENCE, _ALGORITHM, der.build(der.OCTET_STRING, request.imprint)),
        *policy,
        der.build_integer(request.nonce),
        der.build(der.BOOLEAN, b"\xff"),
    )


def parse_request(data: bytes) -> Request:
    """Read a request of the form that `build_request` writes. Raises MalformedFile for any other."""
    fields = list(der.parse_elements(der.parse(data).content))
    try:
        imprint = der.parse_elements(fields[1].content)[1].content
        policy = der.parse_oid(fields.pop(2).content) if fields[2].tag == der.OBJECT_IDENTIFIER else None
        request = Request(imprint=imprint, nonce=der.parse_integer(fields[2]), policy=policy)
    except IndexError as error:
        raise MalformedFile("time-stamp request: parts are missing") from error
    if len(imprint) != hashlib.sha256().digest_size or build_request(request) != data:
        raise MalformedFile("time-stamp request: not of the form used here")
    return request


def parse_response(data: bytes) -> bytes:
    """The token of a granted TimeStampResp, unverified (DER).

    Raises Rejected where the authority refused, MalformedFile for what is no answer of an authority.
    """
    if len(data) > _LARGEST_ANSWER:
        raise MalformedFile(f"time-stamp answer of {len(data)} bytes")
    outer = der.parse(data)
    parts = der.parse_elements(outer.content) if outer.tag == der.SEQUENCE else ()
    status = der.parse_elements(parts[0].content) if parts and parts[0].tag == der.SEQUENCE else ()
    if not status:
        raise MalformedFile("time-stamp answer: no status")
    code = der.parse_integer(status[0])
    if code not in (_GRANTED, _GRANTED_WITH_CHANGES):
        failures = frozenset(bit for part in status if part.tag == _BIT_STRING for bit in _bits(part.content))
        names = [_failure_name(bit) for bit in sorted(failures)]
        texts = [text for part in status if part.tag == der.SEQUENCE for text in _texts(part)]
        reason = "; ".join([*names, *texts]) or "no reason given"
        raise Rejected(f"the time-stamp authority refused (status {code}): {reason}", failures)
    if len(parts) != 2:
        raise MalformedFile("time-stamp answer: granted, and no token")
    return parts[1].encoded


_ALGORITHM = der.build(der.SEQUENCE, der.build(der.OBJECT_IDENTIFIER, der.build_oid(_SHA256)), der.build(der.NULL))
_BIT_STRING = 0x03
_LARGEST_ANSWER = 1024 * 1024


def _bits(content: bytes) -> list[int]:
    return [8 * index + bit for index, byte in enumerate(content[1:]) for bit in range(8) if byte & 0x80 >> bit]


def _failure_name(bit: int) -> str:
    known = next((failure for failure in Failure if failure == bit), None)
    return known.name.lower().replace("_", " ") if known is not None else f"failure {bit}"


def _texts(part: der.Element) -> list[str]:
    return [text.content.decode("utf-8", "replace") for text in der.parse_elements(part.content)]
