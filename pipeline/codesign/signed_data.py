"""CMS SignedData with one signer, read strictly and written: the envelope of signatures and of time-stamp tokens.

Here: structure only. What is read can be written again, byte for byte; every byte is a field, or is checked to be the
one that belongs there, so that nothing can hide. Not here: what the attributes say (cms, timestamp_token), whether
the signature holds (`verify_signer` does that much) and whom to trust (certificates).

Rules: RFC 5652. Two outer forms exist and no other is taken: DER, and that of Apple's encoder (SecCmsEncoder), which
gives indefinite lengths to ContentInfo, its [0], SignedData and encapContentInfo.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from pipeline.codesign import der
from pipeline.codesign.certificates import load_certificate
from pipeline.errors import MalformedFile, VerificationError

SIGNED_DATA = "1.2.840.113549.1.7.2"
DATA = "1.2.840.113549.1.7.1"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"

RSA = "1.2.840.113549.1.1.1"
DIGESTS = {
    "1.3.14.3.2.26": "sha1",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
DIGEST_OIDS = {name: oid for oid, name in DIGESTS.items()}
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
# Signature algorithms that name their digest; with plain rsaEncryption it is the signer's digestAlgorithm. With SHA-1
# Apple's signers and authorities write nothing else, and a second name for the same would be a byte that means nothing.
RSA_WITH = {
    "sha256": "1.2.840.113549.1.1.11",
    "sha384": "1.2.840.113549.1.1.12",
    "sha512": "1.2.840.113549.1.1.13",
}
ECDSA_WITH = {
    "sha256": "1.2.840.10045.4.3.2",
    "sha384": "1.2.840.10045.4.3.3",
    "sha512": "1.2.840.10045.4.3.4",
}

# Apple leaves 18000 bytes for a whole CMS; a token with a long chain is about 8 KB.
LARGEST = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """An AlgorithmIdentifier: its OID, and whether NULL stands where parameters would."""

    oid: str
    null: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """An attribute: its OID, and its values as DER elements, in the order in which they stand."""

    oid: str
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    issuer_and_serial: bytes
    """DER of the SEQUENCE that names the signer's certificate."""
    digest: Algorithm
    signed: tuple[Attribute, ...]
    """Empty: there are none, and the signature is over the content itself (Apple's own programs before macOS 11)."""
    algorithm: Algorithm
    signature: bytes
    unsigned: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedData:
    content_type: str
    content: bytes | None
    """None: the content is elsewhere (detached)."""
    certificates: tuple[bytes, ...]
    """DER, in the order in which they stand."""
    signer: Signer
    indefinite: bool
    """Apple's outer form rather than DER."""


def issuer_and_serial(certificate: bytes) -> bytes:
    """DER of the SEQUENCE by which a signer's certificate is named, of the certificate's own bytes."""
    parts = der.parse_elements(der.parse(certificate).content)
    fields = der.parse_elements(parts[0].content) if parts else ()
    # tbsCertificate: [0] version, serialNumber, signature, issuer; Apple issues nothing but version 3.
    if len(fields) < 4 or fields[0].tag != _CONTEXT_0:
        raise MalformedFile("a certificate that is not of version 3")
    return der.build(der.SEQUENCE, fields[3].encoded, fields[1].encoded)


def signed_bytes(attributes: Sequence[Attribute]) -> bytes:
    """What is signed: the attributes as a SET, with its own tag instead of [0]."""
    return der.build(der.SET, *map(_build_attribute, attributes))


def sort_attributes(attributes: Sequence[Attribute]) -> tuple[Attribute, ...]:
    """The order that DER gives to a SET of them."""
    return tuple(sorted(attributes, key=_build_attribute))


def single_value(attributes: Sequence[Attribute], oid: str) -> bytes | None:
    """The one value of the one attribute of this type; None where there is none. Raises MalformedFile for more."""
    found = [attribute for attribute in attributes if attribute.oid == oid]
    if not found:
        return None
    if len(found) > 1 or len(found[0].values) != 1:
        raise MalformedFile(f"CMS: attribute {oid} is there more than once")
    return found[0].values[0]


def verify_signer(data: SignedData, certificate: bytes, content: bytes) -> None:
    """Does the signer's signature hold over `content`, with the key of this certificate (DER).

    Judges contentType, messageDigest and the signature itself. Raises VerificationError.
    """
    signer = data.signer
    digest = DIGESTS[signer.digest.oid]
    message = _signed_message(data, content, digest)
    key = load_certificate(certificate).public_key()
    names = {RSA, RSA_WITH.get(digest)} if isinstance(key, rsa.RSAPublicKey) else {ECDSA_WITH.get(digest)}
    if signer.algorithm.oid not in names:
        raise VerificationError(f"CMS: signature algorithm {signer.algorithm.oid} does not fit key and digest")
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signer.signature, message, padding.PKCS1v15(), _HASHES[digest])
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signer.signature, message, ec.ECDSA(_HASHES[digest]))
        else:
            raise VerificationError("CMS: the signer's key is neither RSA nor elliptic curve")
    except (InvalidSignature, UnsupportedAlgorithm, ValueError) as error:
        raise VerificationError("CMS: the signature does not hold") from error


def _signed_message(data: SignedData, content: bytes, digest: str) -> bytes:
    """What is under the signature: attributes that speak of the content, without any the content (RFC 5652, 5.4)."""
    signed = data.signer.signed
    if not signed:
        if data.content_type != DATA:
            raise VerificationError("CMS: content of this type has to be signed by attributes, and there are none")
        return content
    if single_value(signed, CONTENT_TYPE) != der.build(der.OBJECT_IDENTIFIER, der.build_oid(data.content_type)):
        raise VerificationError("CMS: the signed content type is not that of the content")
    if single_value(signed, MESSAGE_DIGEST) != der.build(der.OCTET_STRING, hashlib.new(digest, content).digest()):
        raise VerificationError("CMS: the signed message digest is not that of the content")
    return signed_bytes(signed)


def build_signed_data(data: SignedData) -> bytes:
    """The bytes of a ContentInfo that holds this SignedData."""
    signer = data.signer
    encapsulated = [_oid(data.content_type)]
    if data.content is not None:
        encapsulated.append(der.build(_CONTEXT_0, der.build(der.OCTET_STRING, data.content)))
    wrap = _build_indefinite if data.indefinite else der.build
    signed = [der.build(_CONTEXT_0, *map(_build_attribute, signer.signed))] if signer.signed else []
    unsigned = [der.build(_CONTEXT_1, *map(_build_attribute, signer.unsigned))] if signer.unsigned else []
    signer_info = der.build(
        der.SEQUENCE,
        der.build_integer(1),
        signer.issuer_and_serial,
        _build_algorithm(signer.digest),
        *signed,
        _build_algorithm(signer.algorithm),
        der.build(der.OCTET_STRING, signer.signature),
        *unsigned,
    )
    signed_data = wrap(
        der.SEQUENCE,
        der.build_integer(_version(data.content_type)),
        der.build(der.SET, _build_algorithm(signer.digest)),
        wrap(der.SEQUENCE, *encapsulated),
        der.build(_CONTEXT_0, *data.certificates),
        der.build(der.SET, signer_info),
    )
    return wrap(der.SEQUENCE, _oid(SIGNED_DATA), wrap(_CONTEXT_0, signed_data))


def parse_signed_data(encoded: bytes) -> SignedData:
    """Read a ContentInfo that holds SignedData with one signer, named by issuer and serial number.

    Raises MalformedFile for anything else, and for any byte that `build_signed_data` would not write.
    """
    if len(encoded) > LARGEST:
        raise MalformedFile(f"CMS of {len(encoded)} bytes; the most that is read is {LARGEST}")
    flat = der.definite(encoded)
    outer = _children(flat, der.SEQUENCE, "ContentInfo")
    if len(outer) != 2 or outer[0].encoded != _oid(SIGNED_DATA):
        raise MalformedFile("CMS: not SignedData")
    fields = _children(der.parse(_only(outer[1], _CONTEXT_0)).encoded, der.SEQUENCE, "SignedData")
    if len(fields) != 5:
        raise MalformedFile(f"CMS: SignedData of {len(fields)} parts, where 5 were expected")
    content_type, content = _parse_encapsulated(fields[2])
    data = SignedData(
        content_type=content_type,
        content=content,
        certificates=tuple(element.encoded for element in _children(fields[3].encoded, _CONTEXT_0, "certificates")),
        signer=_parse_signer(_only(fields[4], der.SET)),
        indefinite=flat != encoded,
    )
    if build_signed_data(data) != encoded:
        raise MalformedFile("CMS: versions, algorithms or lengths are not what they have to be")
    return data


_CONTEXT_0, _CONTEXT_1 = 0xA0, 0xA1


def _version(content_type: str) -> int:
    """CMSVersion where all signers are named by issuer and serial number (RFC 5652, 5.1)."""
    return 1 if content_type == DATA else 3


def _oid(dotted: str) -> bytes:
    return der.build(der.OBJECT_IDENTIFIER, der.build_oid(dotted))


def _build_indefinite(tag: int, *parts: bytes) -> bytes:
    return bytes([tag, 0x80]) + b"".join(parts) + b"\0\0"


def _build_algorithm(algorithm: Algorithm) -> bytes:
    return der.build(der.SEQUENCE, _oid(algorithm.oid), der.build(der.NULL) if algorithm.null else b"")


def _build_attribute(attribute: Attribute) -> bytes:
    return der.build(der.SEQUENCE, _oid(attribute.oid), der.build(der.SET, *attribute.values))


def _children(encoded: bytes, tag: int, what: str) -> tuple[der.Element, ...]:
    element = der.parse(encoded)
    if element.tag != tag:
        raise MalformedFile(f"CMS: {what} has tag 0x{element.tag:02x}")
    return der.parse_elements(element.content)


def _only(element: der.Element, tag: int) -> bytes:
    if element.tag != tag:
        raise MalformedFile(f"CMS: tag 0x{element.tag:02x} where 0x{tag:02x} was expected")
    return der.parse(element.content).encoded


def _parse_oid(element: der.Element) -> str:
    if element.tag != der.OBJECT_IDENTIFIER:
        raise MalformedFile("CMS: an object identifier was expected")
    return der.parse_oid(element.content)


def _parse_algorithm(element: der.Element) -> Algorithm:
    parts = _children(element.encoded, der.SEQUENCE, "algorithm")
    if not parts or len(parts) > 2 or (len(parts) == 2 and parts[1].encoded != der.build(der.NULL)):
        raise MalformedFile("CMS: an algorithm with parameters")
    return Algorithm(oid=_parse_oid(parts[0]), null=len(parts) == 2)


def _parse_encapsulated(element: der.Element) -> tuple[str, bytes | None]:
    parts = _children(element.encoded, der.SEQUENCE, "encapContentInfo")
    if not parts or len(parts) > 2:
        raise MalformedFile("CMS: encapContentInfo is empty or has too many parts")
    if len(parts) == 1:
        return _parse_oid(parts[0]), None
    return _parse_oid(parts[0]), der.parse(_only(parts[1], _CONTEXT_0)).content


def _parse_attributes(element: der.Element, tag: int) -> tuple[Attribute, ...]:
    attributes = []
    for child in _children(element.encoded, tag, "attributes"):
        parts = _children(child.encoded, der.SEQUENCE, "attribute")
        if len(parts) != 2:
            raise MalformedFile("CMS: an attribute is a type and a set of values")
        values = tuple(value.encoded for value in _children(parts[1].encoded, der.SET, "values"))
        attributes.append(Attribute(oid=_parse_oid(parts[0]), values=values))
    return tuple(attributes)


def _parse_signer(encoded: bytes) -> Signer:
    fields = list(_children(encoded, der.SEQUENCE, "SignerInfo"))
    signed = fields.pop(3) if len(fields) > 3 and fields[3].tag == _CONTEXT_0 else None
    if len(fields) not in (5, 6) or fields[4].tag != der.OCTET_STRING:
        raise MalformedFile("CMS: SignerInfo has not the parts it should have")
    digest = _parse_algorithm(fields[2])
    if digest.oid not in DIGESTS:
        raise MalformedFile(f"CMS: digest algorithm {digest.oid} is not known here")
    return Signer(
        issuer_and_serial=fields[1].encoded,
        digest=digest,
        signed=_parse_attributes(signed, _CONTEXT_0) if signed is not None else (),
        algorithm=_parse_algorithm(fields[3]),
        signature=fields[4].content,
        unsigned=_parse_attributes(fields[5], _CONTEXT_1) if len(fields) == 6 else (),
    )
