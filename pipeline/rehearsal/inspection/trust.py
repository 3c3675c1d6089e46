"""Certificates: the path from a leaf to a root that stands where Apple's stand, judged at a moment.

RFC 5280, as far as the chains of code signing use it. Revocation is not judged: a rehearsal revokes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

_LONGEST_CHAIN = 6
_DEVELOPER_ID_APPLICATION = ObjectIdentifier("1.2.840.113635.100.6.1.13")
_DEVELOPER_ID_AUTHORITY = ObjectIdentifier("1.2.840.113635.100.6.2.6")

Extension = TypeVar("Extension", bound=x509.ExtensionType)


class Untrusted(Exception):
    """A chain, a signature or a token that proves nothing; the text says why. Never leaves the inspection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """DER of the roots that stand where Apple's stand."""

    code: tuple[bytes, ...]
    timestamps: tuple[bytes, ...]


def path_to_root(
    leaf: x509.Certificate, others: Sequence[x509.Certificate], roots: Sequence[bytes], at: datetime
) -> list[x509.Certificate]:
    """Leaf, authorities, root: each valid at `at` and issued by the next. Raises Untrusted."""
    anchors = [x509.load_der_x509_certificate(der) for der in roots]
    path = [leaf]
    while path[-1] not in anchors:
        subject = path[-1]
        candidates = (one for one in (*anchors, *others) if one not in path and _issued(one, subject, len(path) - 1))
        issuer = next(candidates, None)
        if issuer is None or len(path) == _LONGEST_CHAIN:
            raise Untrusted(f"no trusted issuer of {subject.subject.rfc4514_string()}")
        path.append(issuer)
    for certificate in path:
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            raise Untrusted(f"{certificate.subject.rfc4514_string()} was not valid at {at}")
    return path


def demand_purpose(leaf: x509.Certificate, purpose: ObjectIdentifier) -> None:
    """Untrusted unless the certificate may be used for this, by its extended key usage and key usage."""
    usage = _extension(leaf, x509.ExtendedKeyUsage)
    if usage is None or purpose not in usage:
        raise Untrusted("the certificate is not for this purpose")
    key_usage = _extension(leaf, x509.KeyUsage)
    if key_usage is not None and not key_usage.digital_signature:
        raise Untrusted("the certificate's key may not sign")


def demand_developer_id(path: Sequence[x509.Certificate]) -> None:
    """Untrusted unless the path is that of a Developer ID Application certificate."""
    if len(path) != 3 or not _has(path[0], _DEVELOPER_ID_APPLICATION) or not _has(path[1], _DEVELOPER_ID_AUTHORITY):
        raise Untrusted("the certificate is not a Developer ID Application")
    demand_purpose(path[0], ExtendedKeyUsageOID.CODE_SIGNING)


def load_certificates(ders: Sequence[bytes]) -> list[x509.Certificate]:
    """Every part that is looked at later is parsed now: the library parses each only when it is asked for."""
    certificates = []
    for der in ders:
        try:
            certificate = x509.load_der_x509_certificate(der)
            _ = certificate.subject, certificate.issuer, certificate.extensions, certificate.public_key()
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion) as error:
            raise Untrusted(f"a certificate that cannot be read: {error}") from error
        certificates.append(certificate)
    return certificates


def _issued(issuer: x509.Certificate, subject: x509.Certificate, authorities_below: int) -> bool:
    """Does `issuer` have the right to issue, and is the signature its own?"""
    try:
        subject.verify_directly_issued_by(issuer)
        constraints = _extension(issuer, x509.BasicConstraints)
        usage = _extension(issuer, x509.KeyUsage)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, Untrusted):
        return False
    if constraints is None or not constraints.ca or (usage is not None and not usage.key_cert_sign):
        return False
    return constraints.path_length is None or constraints.path_length >= authorities_below


def _extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except (ValueError, x509.DuplicateExtension) as error:
        raise Untrusted(f"an extension that cannot be read: {error}") from error


def _has(certificate: x509.Certificate, oid: ObjectIdentifier) -> bool:
    try:
        certificate.extensions.get_extension_for_oid(oid)
    except (x509.ExtensionNotFound, ValueError, x509.DuplicateExtension):
        return False
    return True
