"""Certificates as code signing sees them: anchors, chains, Apple's marker extensions, the team.

Here: what one certificate says, the order of a chain, and its verification up to an anchor at a given time. Not here:
Apple's own certificates and private keys (identity), revocation (it needs the network and is judged by nobody here).

Sources: RFC 5280, section 6; `SecPolicyCreateCodeSigning`, `SecStaticCode::isAppleDeveloperCert` and
`SecCertificateCopySubjectAttributeValue` in Apple's Security 61901.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, SignatureAlgorithmOID

from pipeline.codesign import der
from pipeline.errors import MalformedFile, VerificationError

# Apple's arc for markers, with what each of them says of the certificate that bears it.
_APPLE = "1.2.840.113635.100.6."
DEVELOPER_ID_LEAF = _APPLE + "1.13"
DEVELOPER_ID_INTERMEDIATE = _APPLE + "2.6"
WWDR_INTERMEDIATE = _APPLE + "2.1"
# iPhone developer, Mac developer, distribution, iPhone distribution: each alone makes a leaf a developer's.
_DEVELOPER_LEAVES = tuple(_APPLE + tail for tail in ("1.2", "1.12", "1.7", "1.4"))

CODE_SIGNING = ExtendedKeyUsageOID.CODE_SIGNING
TIME_STAMPING = ExtendedKeyUsageOID.TIME_STAMPING

# Leaf, intermediate, root is what Apple issues; a private authority may have a few more steps.
LONGEST_CHAIN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """The roots that signatures, time stamps and tickets must lead to, DER. Apple's in a real release."""

    roots: tuple[bytes, ...]
    timestamp_roots: tuple[bytes, ...]
    ticket_roots: tuple[bytes, ...]
    intermediates: tuple[bytes, ...] = ()
    """Authorities between a signer and a root, for a signature that leaves them out: macOS carries Apple's too."""


@lru_cache(maxsize=256)
def load_certificate(data: bytes) -> x509.Certificate:
    """One certificate from its DER. Raises MalformedFile where it is none, or not in the bytes that DER would give."""
    try:
        with warnings.catch_warnings():
            # Real names are longer than X.520 lets them be (a unit of 86 letters); codesign takes them without a word.
            warnings.simplefilter("ignore", UserWarning)
            # What cryptography only warns of today (a negative serial number) no authority of Apple's kind issues.
            warnings.simplefilter("error", CryptographyDeprecationWarning)
            certificate = x509.load_der_x509_certificate(data)
            # These parts are read only when asked for, and a signature must not stand on one that cannot be.
            _ = certificate.subject, certificate.issuer, certificate.extensions, certificate.public_key()
            written = certificate.public_bytes(Encoding.DER)
    except _NO_CERTIFICATE as error:
        raise MalformedFile(f"not an X.509 certificate: {error}") from error
    signature = der.parse_elements(der.parse(data).content)[-1]
    # Its count of unused bits: cryptography lets any pass whose bits are zero, and no signature covers this byte.
    if written != data or signature.content[:1] != b"\0":
        raise MalformedFile("bytes behind a certificate, or a certificate that is not DER")
    return certificate


# cryptography has no one error for a certificate that is none.
_NO_CERTIFICATE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.UnsupportedGeneralNameType,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    CryptographyDeprecationWarning,
)


def common_name(certificate: x509.Certificate) -> str:
    """The subject's common name, or the whole subject where it has none: what `codesign -d` calls Authority."""
    return subject_value(certificate, NameOID.COMMON_NAME) or certificate.subject.rfc4514_string()


def subject_value(certificate: x509.Certificate, attribute: x509.ObjectIdentifier) -> str | None:
    """One attribute of the subject. Of several the last counts, as in `SecCertificateCopySubjectAttributeValue`."""
    values = [str(found.value) for found in certificate.subject.get_attributes_for_oid(attribute)]
    return values[-1] if values else None


def has_extension(certificate: x509.Certificate, oid: str) -> bool:
    """Is there an extension with this OID, whatever it holds: how Apple reads its markers."""
    return any(extension.oid.dotted_string == oid for extension in certificate.extensions)


def is_root(certificate: x509.Certificate) -> bool:
    """Is it its own issuer, by name."""
    return certificate.subject == certificate.issuer


def team_identifier(chain: Sequence[bytes], anchors: Anchors) -> str | None:
    """The team of an Apple developer's chain (DER, leaf first, root last): the leaf's organizational unit.

    None for any other chain: one that does not end at an anchor, or whose leaf bears no developer's marker.
    """
    if len(chain) < 2 or chain[-1] not in anchors.roots:
        return None
    leaf = load_certificate(chain[0])
    is_developer = any(has_extension(leaf, marker) for marker in _DEVELOPER_LEAVES)
    if not is_developer and not is_developer_id(chain):
        return None
    return subject_value(leaf, NameOID.ORGANIZATIONAL_UNIT_NAME)


def is_developer_id(chain: Sequence[bytes]) -> bool:
    """Do leaf and intermediate bear the markers of Developer ID. Says nothing of the root."""
    if len(chain) < 2:
        return False
    leaf, intermediate = load_certificate(chain[0]), load_certificate(chain[1])
    return has_extension(leaf, DEVELOPER_ID_LEAF) and has_extension(intermediate, DEVELOPER_ID_INTERMEDIATE)


def order_chain(leaf: bytes, others: Collection[bytes]) -> tuple[bytes, ...]:
    """Leaf first, then each certificate's issuer out of `others`, as far as it goes; a root ends it.

    An issuer is one whose name and key fit: two certificates of one name (a renewed authority) are told apart.
    """
    chain = [leaf]
    while len(chain) < LONGEST_CHAIN:
        last = load_certificate(chain[-1])
        if is_root(last):
            break
        issuer = next((other for other in others if other not in chain and _is_issued(last, other)), None)
        if issuer is None:
            break
        chain.append(issuer)
    return tuple(chain)


def verify_chain(
    chain: Sequence[bytes], roots: Collection[bytes], *, purpose: x509.ObjectIdentifier, at: datetime | None
) -> None:
    """Does the chain (DER, leaf first, root last) end at one of `roots`, each link holding.

    Every certificate must be valid at `at` (None: validity in time is not judged), every issuer an authority that may
    sign certificates, the leaf made for signatures of this purpose. Raises VerificationError.
    """
    if not chain or len(chain) > LONGEST_CHAIN:
        raise VerificationError(f"a chain of {len(chain)} certificates")
    if chain[-1] not in roots:
        name = common_name(load_certificate(chain[-1]))
        raise VerificationError(f"the chain ends at {name!r}, which is none of the roots that are trusted here")
    certificates = [load_certificate(data) for data in chain]
    for position, certificate in enumerate(certificates):
        name = common_name(certificate)
        if at is not None and not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            raise VerificationError(
                f"certificate {name!r} is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S} to "
                f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC, not at {at:%Y-%m-%d %H:%M:%S}"
            )
        _check_critical(certificate)
        if position:
            _check_authority(certificate, below=position - 1)
    for certificate, issuer in zip(certificates, chain[1:], strict=False):
        if not _is_issued(certificate, issuer):
            issuer_name = common_name(load_certificate(issuer))
            raise VerificationError(f"certificate {common_name(certificate)!r} is not signed by {issuer_name!r}")
    _check_purpose(certificates[0], purpose)


def verify_belonging(certificates: Sequence[bytes], chain: Sequence[bytes]) -> None:
    """May these certificates (DER) stand beside a signature with this chain.

    One that has no part in it and was issued by nobody in it is vouched for by nothing, and neither is one that stands
    there twice: a byte of it could be any. Apple's time-stamp authority has carried all of its signers'. Raises
    VerificationError.
    """
    if len(set(certificates)) != len(certificates):
        raise VerificationError("a certificate is carried twice")
    for certificate in certificates:
        loaded = load_certificate(certificate)
        if certificate not in chain and not any(_is_issued(loaded, issuer) for issuer in chain):
            name = common_name(loaded)
            raise VerificationError(f"certificate {name!r} has no part in the signer's chain")


def _is_issued(certificate: x509.Certificate, issuer: bytes) -> bool:
    by = load_certificate(issuer)
    try:
        if certificate.signature_algorithm_oid == SignatureAlgorithmOID.RSA_WITH_SHA1:
            return _is_issued_with_sha1(certificate, by)
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _is_issued_with_sha1(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """cryptography judges no SHA-1 in certificates. Apple's policy for code signing does: until 2021 developers had
    theirs from an authority whose own was signed so (SecPolicyCreateCodeSigning asks for no hash)."""
    key = issuer.public_key()
    if certificate.issuer != issuer.subject or not isinstance(key, RSAPublicKey):
        return False
    key.verify(certificate.signature, certificate.tbs_certificate_bytes, PKCS1v15(), SHA1())
    return True


# What verify_chain judges or what binds nobody here; a critical extension that is not among them must be refused
# (RFC 5280, 4.2). Apple marks its own arc critical in the leaves it issues.
_UNDERSTOOD = frozenset(
    {"2.5.29.15", "2.5.29.19", "2.5.29.37", "2.5.29.14", "2.5.29.35", "2.5.29.32", "2.5.29.31", "1.3.6.1.5.5.7.1.1"}
)


def _check_critical(certificate: x509.Certificate) -> None:
    for extension in certificate.extensions:
        oid = extension.oid.dotted_string
        if extension.critical and oid not in _UNDERSTOOD and not oid.startswith(_APPLE):
            raise VerificationError(
                f"certificate {common_name(certificate)!r} has the unknown critical extension {oid}"
            )


def _check_authority(certificate: x509.Certificate, below: int) -> None:
    name = common_name(certificate)
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        constraints = None
    if constraints is None or not constraints.ca:
        raise VerificationError(f"certificate {name!r} issued another and is no certificate authority")
    if constraints.path_length is not None and constraints.path_length < below:
        raise VerificationError(f"certificate {name!r} may not have {below} authorities below it")
    usage = _key_usage(certificate)
    if usage is not None and not usage.key_cert_sign:
        raise VerificationError(f"certificate {name!r} may not sign certificates")


def _check_purpose(leaf: x509.Certificate, purpose: x509.ObjectIdentifier) -> None:
    name = common_name(leaf)
    if not isinstance(leaf.public_key(), RSAPublicKey | EllipticCurvePublicKey):
        raise VerificationError(f"certificate {name!r} has a key that is neither RSA nor elliptic curve")
    usage = _key_usage(leaf)
    if usage is not None and not (usage.digital_signature or usage.content_commitment):
        raise VerificationError(f"certificate {name!r} may not make signatures")
    try:
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        purposes = None
    if purposes is None or purpose not in purposes:
        wanted = "code signing" if purpose == CODE_SIGNING else f"purpose {purpose.dotted_string}"
        wanted = "time stamping" if purpose == TIME_STAMPING else wanted
        raise VerificationError(f"certificate {name!r} was not made for {wanted}")


def _key_usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None
