"""The ticket format `s8ch`: parse, build, verify. Where tickets come from and where they are kept is not here.

Apple documents no format; this one is read off published tickets of 2018 to 2026 (`tests/vectors/tickets/sources.md`).
All numbers are little-endian:

    "s8ch" · u32 version 1 · u32 C · u32 B
    C bytes   one DER SEQUENCE of certificates, leaf first, root left out
    B bytes   "g8tk" · u16 2 · u16 20 · u32 count · u32 flags · u64 Unix time · count of (u8 hash type, 20-byte hash)
    72 bytes  ECDSA-SHA-256 signature (DER) by the leaf over everything before it, zero-filled
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from pipeline.codesign import der
from pipeline.errors import MalformedFile, VerificationError

MAGIC = b"s8ch"
# A ticket of 100,000 hashes; the largest published one has 101.
LARGEST_TICKET = 2 * 1024 * 1024
TICKET_SIGNING = x509.ObjectIdentifier("1.2.840.113635.100.6.1.30")

_HEADER = struct.Struct("<4sIII")
_BODY = struct.Struct("<4sHHIIQ")
_HASH = struct.Struct("<B20s")
_BODY_MAGIC = b"g8tk"
_VERSION = 1
_BODY_VERSION = 2
_HASH_LENGTH = 20
_SIGNATURE_FIELD = 72
_REVOKED = 1
_KNOWN_FLAGS = 3
_LONGEST_CHAIN = 8
# What the certificate library raises for certificates that break its rules.
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class HashType(IntEnum):
    """What a ticket's hash is a hash of; other numbers are kept as they are."""

    SHA1 = 1
    """A SHA-1 code directory's hash, or the checksum of an installer package's table of contents."""
    SHA256 = 2
    """A SHA-256 code directory's hash, cut to 20 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketHash:
    """One piece of code that a ticket covers."""

    type: int
    hash: str
    """40 lower-case hex digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a ticket says; that it says so truly only `verify_ticket` knows."""

    hashes: tuple[TicketHash, ...]
    time: datetime
    """Whole seconds, UTC."""
    certificates: tuple[bytes, ...]
    """DER, leaf first; the root is not among them."""
    flags: int = 0
    """0 usually; 1 is revoked, and so is 1 beside other bits. 2 occurs in tickets of 2019, its meaning is not known."""
    signature: bytes = b""
    """DER, without the zero fill."""

    @property
    def revoked(self) -> bool:
        return bool(self.flags & _REVOKED)

    @property
    def is_understood(self) -> bool:
        """Are all its flags known here? One that is not may say of it what `revoked` does."""
        return not self.flags & ~_KNOWN_FLAGS


def parse_ticket(data: bytes) -> Ticket:
    """The ticket in exactly these bytes; MalformedFile for anything else, a byte too many included."""
    if len(data) > LARGEST_TICKET:
        raise _malformed(f"larger than {LARGEST_TICKET} bytes")
    if len(data) < _HEADER.size:
        raise _malformed("shorter than its header")
    magic, version, certificates_length, body_length = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise _malformed("does not begin with s8ch")
    if version != _VERSION:
        raise _malformed(f"version {version}; only {_VERSION} is known")
    body_at = _HEADER.size + certificates_length
    signature_at = body_at + body_length
    if len(data) != signature_at + _SIGNATURE_FIELD:
        raise _malformed(f"{len(data)} bytes where its header says {signature_at + _SIGNATURE_FIELD}")
    hashes, flags, time = _parse_body(data[body_at:signature_at])
    return Ticket(
        hashes=hashes,
        time=time,
        certificates=_parse_certificates(data[_HEADER.size : body_at]),
        flags=flags,
        signature=_parse_signature(data[signature_at:]),
    )


def build_ticket(ticket: Ticket, sign: Callable[[bytes], bytes] | None = None) -> bytes:
    """The bytes of a ticket: the inverse of `parse_ticket`, or a new one where `sign` is given.

    `sign` takes everything before the signature and returns a DER ECDSA-SHA-256 signature by the leaf's P-256 key;
    without it the ticket's own signature is written. Raises MalformedFile where a value does not fit its field.
    """
    certificates = der.build(der.SEQUENCE, *ticket.certificates)
    try:
        body = _BODY.pack(
            _BODY_MAGIC,
            _BODY_VERSION,
            _HASH_LENGTH,
            len(ticket.hashes),
            ticket.flags,
            int(ticket.time.timestamp()),
        )
        for one in ticket.hashes:
            digest = bytes.fromhex(one.hash)
            if len(digest) != _HASH_LENGTH:
                raise _malformed(f"hash {one.hash} is not {_HASH_LENGTH} bytes")
            body += _HASH.pack(one.type, digest)
        signed = _HEADER.pack(MAGIC, _VERSION, len(certificates), len(body)) + certificates + body
    except (struct.error, ValueError) as error:
        raise _malformed(f"a value does not fit its field ({error})") from error
    signature = sign(signed) if sign else ticket.signature
    if len(signature) > _SIGNATURE_FIELD:
        raise _malformed(f"signature of {len(signature)} bytes; the field has {_SIGNATURE_FIELD}")
    return signed + signature.ljust(_SIGNATURE_FIELD, b"\0")


def verify_ticket(data: bytes, roots: Sequence[bytes]) -> Ticket:
    """The ticket, if it is genuine: signed by its leaf, whose chain ends at one of `roots` (DER certificates).

    The leaf must be one that signs tickets (1.2.840.113635.100.6.1.30), and the chain is judged at the ticket's own
    time, since leaves live 13 months and tickets for ever. Raises VerificationError otherwise. A revoked ticket is
    genuine too; that it proves nothing is for `covers` and `verify_coverage` to say.
    """
    try:
        ticket = parse_ticket(data)
        chain = [x509.load_der_x509_certificate(one) for one in ticket.certificates]
        anchors = [x509.load_der_x509_certificate(one) for one in roots]
        _verify_chain(chain, anchors, ticket.time)
        key = chain[0].public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise _refused("the signer's key is not an elliptic curve key")
        key.verify(ticket.signature, data[:-_SIGNATURE_FIELD], ec.ECDSA(SHA256()))
    except MalformedFile as error:
        raise VerificationError(error.message, where=error.where, remedy=error.remedy) from error
    except InvalidSignature as error:
        raise _refused("the signature does not fit its content: it was changed after Apple signed it") from error
    except _UNREADABLE as error:
        raise _refused(f"a certificate cannot be read ({error})") from error
    return ticket


def covers(ticket: Ticket, cdhash: str, hash_type: int = HashType.SHA256) -> bool:
    """Does the ticket vouch for the code with this CDHash (40 hex digits)? A revoked ticket vouches for nothing."""
    return (
        ticket.is_understood and not ticket.revoked and TicketHash(type=hash_type, hash=cdhash.lower()) in ticket.hashes
    )


def verify_coverage(ticket: Ticket, cdhashes: Iterable[str], hash_type: int = HashType.SHA256) -> None:
    """Raises VerificationError unless the ticket vouches for every one of these CDHashes; names those it does not."""
    if ticket.revoked:
        raise VerificationError(
            "the notarization ticket was revoked by Apple", remedy="see Apple's notice to the team's account"
        )
    if not ticket.is_understood:
        raise VerificationError(f"the notarization ticket has flags {ticket.flags:#x}, not all of which are known here")
    missing = [one for one in cdhashes if not covers(ticket, one, hash_type)]
    if missing:
        raise VerificationError(
            f"the notarization ticket does not name CDHash {', '.join(missing)}",
            remedy="it belongs to another submission: notarize exactly these bytes, and staple their ticket",
        )


def _parse_body(body: bytes) -> tuple[tuple[TicketHash, ...], int, datetime]:
    if len(body) < _BODY.size:
        raise _malformed("its list of hashes is cut short")
    magic, version, hash_length, count, flags, seconds = _BODY.unpack_from(body)
    if magic != _BODY_MAGIC:
        raise _malformed("its list of hashes does not begin with g8tk")
    if (version, hash_length) != (_BODY_VERSION, _HASH_LENGTH):
        raise _malformed(f"list version {version} with hashes of {hash_length} bytes; only 2 and 20 are known")
    if len(body) != _BODY.size + count * _HASH.size:
        raise _malformed(f"{count} hashes do not fill its list of {len(body)} bytes")
    try:
        time = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise _malformed(f"time {seconds} is no date") from error
    entries = _HASH.iter_unpack(body[_BODY.size :])
    return tuple(TicketHash(type=kind, hash=digest.hex()) for kind, digest in entries), flags, time


def _parse_certificates(block: bytes) -> tuple[bytes, ...]:
    content_at, end = _element(block, 0)
    if end != len(block):
        raise _malformed("its certificates do not fill their field")
    certificates = []
    while content_at < end:
        _, following = _element(block, content_at)
        certificates.append(block[content_at:following])
        content_at = following
    if not 1 <= len(certificates) <= _LONGEST_CHAIN:
        raise _malformed(f"{len(certificates)} certificates")
    return tuple(certificates)


def _parse_signature(field: bytes) -> bytes:
    _, end = _element(field, 0)
    if any(field[end:]):
        raise _malformed("the fill behind its signature is not zero")
    return field[:end]


def _element(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of the DER SEQUENCE at `at` begins and ends."""
    if len(data) - at < 2 or data[at] != 0x30:
        raise _malformed(f"no DER SEQUENCE at byte {at} of a field")
    length, content_at = data[at + 1], at + 2
    if length & 0x80:
        width = length & 0x7F
        length, content_at = int.from_bytes(data[content_at : content_at + width], "big"), content_at + width
        if not 1 <= width <= 4 or length < (0x80 if width == 1 else 1 << 8 * (width - 1)):
            raise _malformed("a DER length that is not in its shortest form")
    if content_at + length > len(data):
        raise _malformed("a DER SEQUENCE runs past its field")
    return content_at, content_at + length


def _verify_chain(chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], time: datetime) -> None:
    leaf = chain[0]
    try:
        leaf.extensions.get_extension_for_oid(TICKET_SIGNING)
    except x509.ExtensionNotFound as error:
        raise _refused("its signer's certificate is not one that signs tickets") from error
    root = next((one for one in roots if _issued(chain[-1], one)), None)
    if root is None:
        raise _refused(
            f"its certificates lead to {chain[-1].issuer.rfc4514_string()}, which is not trusted for tickets"
        )
    issuers = [*chain[1:], root]
    for one, issuer in zip(chain, issuers, strict=True):
        if not _issued(one, issuer):
            raise _refused(f"{one.subject.rfc4514_string()} was not issued by the certificate that follows it")
        if not _is_authority(issuer):
            raise _refused(f"{issuer.subject.rfc4514_string()} may not issue certificates")
    for one in (*chain, root):
        if not one.not_valid_before_utc <= time <= one.not_valid_after_utc:
            raise _refused(f"{one.subject.rfc4514_string()} was not valid at the ticket's time, {time:%Y-%m-%d}")


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *_UNREADABLE):
        return False
    return True


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    except x509.ExtensionNotFound:
        return False
    return constraints.value.ca and usage.value.key_cert_sign


def _malformed(what: str) -> MalformedFile:
    return MalformedFile(f"not a notarization ticket: {what}")


def _refused(what: str) -> VerificationError:
    return VerificationError(f"the notarization ticket is not genuine: {what}")
