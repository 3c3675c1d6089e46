"""RFC 3161 time-stamp tokens, the pure part: read one, verify one. Asking an authority for one is `timestamps`.

Here: TSTInfo, the token's signature and chain. Apple's tokens (timestamp.apple.com/ts01): policy 1.2.3.4.5.6, signer
digest SHA-1 until 2026, signing-certificate attribute, certificates leaf, intermediate, root.

Rules: RFC 3161, section 2.4.2; RFC 5035 (signing certificate).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime

from pipeline.codesign import der
from pipeline.codesign.certificates import (
    TIME_STAMPING,
    common_name,
    load_certificate,
    order_chain,
    verify_belonging,
    verify_chain,
)
from pipeline.codesign.signed_data import (
    DIGESTS,
    SignedData,
    issuer_and_serial,
    parse_signed_data,
    single_value,
    verify_signer,
)
from pipeline.errors import MalformedFile, VerificationError

TST_INFO = "1.2.840.113549.1.9.16.1.4"
_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"
_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a token says: that data with this digest existed at this time."""

    policy: str
    digest: str
    """Name of the imprint's algorithm, as hashlib has it."""
    imprint: bytes
    serial: int
    time: datetime
    nonce: int | None
    signed: SignedData
    authority: tuple[str, ...] = ()
    """Common names of the chain, the signer's first; empty until the token is verified."""


def parse_token(encoded: bytes) -> Token:
    """Read a token. Raises MalformedFile. Nothing is verified."""
    signed = parse_signed_data(encoded)
    if signed.content_type != TST_INFO or signed.content is None:
        raise MalformedFile("time-stamp token: not a TSTInfo")
    info = der.parse(signed.content)
    fields = list(der.parse_elements(info.content)) if info.tag == der.SEQUENCE else []
    if len(fields) < 5 or der.parse_integer(fields[0]) != 1:
        raise MalformedFile("time-stamp token: TSTInfo is not of version 1, or lacks parts")
    policy, imprint, serial, time = fields[1:5]
    digest, value = _parse_imprint(imprint)
    nonces = [field for field in fields[5:] if field.tag == der.INTEGER]
    if len(nonces) > 1:
        raise MalformedFile("time-stamp token: two nonces")
    if policy.tag != der.OBJECT_IDENTIFIER or time.tag != der.GENERALIZED_TIME:
        raise MalformedFile("time-stamp token: policy and time are not where they should be")
    return Token(
        policy=der.parse_oid(policy.content),
        digest=digest,
        imprint=value,
        serial=der.parse_integer(serial),
        time=der.parse_time(time),
        nonce=der.parse_integer(nonces[0]) if nonces else None,
        signed=signed,
    )


def verify_token(encoded: bytes, message: bytes, roots: tuple[bytes, ...]) -> Token:
    """Does this token prove that `message` existed at its time: `verify_authority`, and the imprint.

    Raises VerificationError, or MalformedFile for what is no token.
    """
    token = parse_token(encoded)
    if hashlib.new(token.digest, message).digest() != token.imprint:
        raise VerificationError("time-stamp token: it was made for other data")
    return verify_authority(encoded, roots)


def verify_authority(encoded: bytes, roots: tuple[bytes, ...]) -> Token:
    """Is this the word of an authority under one of `roots` (DER), whatever data it is about.

    Judged: the token's signature, its signer's chain and purpose, everything valid at the token's own time. Raises
    VerificationError, or MalformedFile for what is no token.
    """
    token = parse_token(encoded)
    signed, content = token.signed, token.signed.content or b""
    if signed.signer.unsigned:
        raise VerificationError("time-stamp token: unsigned attributes, which nothing vouches for")
    named = signed.signer.issuer_and_serial
    signer = next((each for each in signed.certificates if issuer_and_serial(each) == named), None)
    if signer is None:
        raise VerificationError("time-stamp token: the signer's certificate is not in it")
    try:
        verify_signer(signed, signer, content)
        _verify_signing_certificate(signed, signer)
        chain = order_chain(signer, (*signed.certificates, *roots))
        verify_chain(chain, roots, purpose=TIME_STAMPING, at=token.time)
        verify_belonging(signed.certificates, chain)
    except (VerificationError, MalformedFile) as error:
        raise VerificationError(f"time-stamp token: {error.message}") from error
    return replace(token, authority=tuple(common_name(load_certificate(each)) for each in chain))


def _parse_imprint(element: der.Element) -> tuple[str, bytes]:
    parts = der.parse_elements(element.content) if element.tag == der.SEQUENCE else ()
    if len(parts) != 2 or parts[0].tag != der.SEQUENCE or parts[1].tag != der.OCTET_STRING:
        raise MalformedFile("time-stamp token: the message imprint is not one")
    algorithm = der.parse_elements(parts[0].content)
    if not algorithm or algorithm[0].tag != der.OBJECT_IDENTIFIER:
        raise MalformedFile("time-stamp token: the message imprint is not one")
    oid = der.parse_oid(algorithm[0].content)
    if oid not in DIGESTS:
        raise MalformedFile(f"time-stamp token: digest algorithm {oid} is not known here")
    return DIGESTS[oid], parts[1].content


def _verify_signing_certificate(signed: SignedData, signer: bytes) -> None:
    """The signed attribute that pins the signer's certificate: its first digest must be that certificate's."""
    for oid, default in ((_SIGNING_CERTIFICATE, "sha1"), (_SIGNING_CERTIFICATE_V2, "sha256")):
        value = single_value(signed.signer.signed, oid)
        if value is None:
            continue
        # SigningCertificate: SEQUENCE { SEQUENCE OF ESSCertID { [algorithm] certHash [issuerSerial] } [policies] }
        identifiers = der.parse_elements(der.parse(value).content)
        first = der.parse_elements(identifiers[0].content) if identifiers else ()
        parts = list(der.parse_elements(first[0].content)) if first else []
        digest = default
        if oid == _SIGNING_CERTIFICATE_V2 and parts and parts[0].tag == der.SEQUENCE:
            algorithm = der.parse_elements(parts.pop(0).content)
            digest = DIGESTS.get(der.parse_oid(algorithm[0].content) if algorithm else "", "")
        if not digest or not parts or parts[0].content != hashlib.new(digest, signer).digest():
            raise VerificationError("the signing-certificate attribute names another certificate")
        return
    raise VerificationError("no signing-certificate attribute")
