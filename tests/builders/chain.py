"""Certificate chains shaped like Apple's, made with `cryptography`: Developer ID, Apple Development, time stamping.

    chain = developer_id(team="ABCDE12345")
    chain.certificates      # DER, leaf first, root last
    chain.sign(data)        # PKCS#1 v1.5 or ECDSA with SHA-256, by the leaf's key
    chain.anchors           # what stands where Apple's roots stand

Keys are RSA-2048 unless asked otherwise, and made once a process: only the certificates differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import asn1crypto.algos
import asn1crypto.core
import asn1crypto.x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from pipeline.codesign.certificates import Anchors
from pipeline.codesign.cms import Identity

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

APPLE = "1.2.840.113635.100.6."
NOT_BEFORE = datetime(2020, 1, 1, tzinfo=UTC)
NOT_AFTER = datetime(2040, 1, 1, tzinfo=UTC)
SIGNED_AT = datetime(2025, 6, 15, 12, 0, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain, and the private key of its leaf."""

    certificates: tuple[bytes, ...]
    key: PrivateKey

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))

    @property
    def identity(self) -> Identity:
        return Identity(chain=self.certificates, sign=self.sign)

    @property
    def pem(self) -> bytes:
        """Certificates and key in one file, which is not encrypted."""
        certificates = [x509.load_der_x509_certificate(one) for one in self.certificates]
        own = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return b"".join(one.public_bytes(Encoding.PEM) for one in certificates) + own

    @property
    def anchors(self) -> Anchors:
        root = (self.certificates[-1],)
        return Anchors(roots=root, timestamp_roots=root, ticket_roots=root)


def key(name: str, kind: str = "rsa") -> PrivateKey:
    """A key of its own for each name."""
    return _key(name, kind)


@lru_cache
def _key(_name: str, kind: str) -> PrivateKey:
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def subject(common_name: str, *, unit: str | None = None, organization: str = "Test Authority") -> x509.Name:
    parts = [(NameOID.COMMON_NAME, common_name)]
    if unit is not None:
        parts.append((NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    parts += [(NameOID.ORGANIZATION_NAME, organization), (NameOID.COUNTRY_NAME, "US")]
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])


def certificate(
    name: x509.Name,
    own: PrivateKey,
    issuer: x509.Name,
    signer: PrivateKey,
    *,
    authority: bool = False,
    markers: Sequence[str] = (),
    purposes: Sequence[ObjectIdentifier] = (),
    not_before: datetime = NOT_BEFORE,
    not_after: datetime = NOT_AFTER,
    change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder] = lambda builder: builder,
) -> bytes:
    """One certificate as Apple lays it out: markers are extensions that hold NULL."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not authority,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=authority,
                crl_sign=authority,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=True)
    for marker in markers:
        extension = x509.UnrecognizedExtension(ObjectIdentifier(APPLE + marker), b"\x05\x00")
        builder = builder.add_extension(extension, critical=not authority)
    return change(builder).sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)


def signed_with_sha1(der: bytes, signer: PrivateKey) -> bytes:
    """The same certificate, signed as Apple's root signed its authority for developers until 2021."""
    assert isinstance(signer, rsa.RSAPrivateKey)
    found = asn1crypto.x509.Certificate.load(der)
    algorithm = asn1crypto.algos.SignedDigestAlgorithm({"algorithm": "sha1_rsa", "parameters": asn1crypto.core.Null()})
    found["tbs_certificate"]["signature"] = found["signature_algorithm"] = algorithm
    signature = signer.sign(found["tbs_certificate"].dump(force=True), padding.PKCS1v15(), hashes.SHA1())
    found["signature_value"] = signature
    return bytes(found.dump(force=True))


@lru_cache
def root_certificate(kind: str) -> bytes:
    """The one root of all chains with keys of this kind, as Apple's is of code signing and time stamping alike."""
    return certificate(subject("Test Root"), key("root", kind), subject("Test Root"), key("root", kind), authority=True)


def build_chain(
    *,
    leaf_name: x509.Name,
    leaf_markers: Sequence[str],
    intermediate_markers: Sequence[str],
    purpose: ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
    kind: str = "rsa",
    not_before: datetime = NOT_BEFORE,
    not_after: datetime = NOT_AFTER,
    change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder] = lambda builder: builder,
) -> Chain:
    """Leaf, one intermediate, root; `change` is given the leaf's builder before it is signed."""
    authority = f"Test Intermediate {' '.join(intermediate_markers)}".strip()
    root_name, intermediate_name = subject("Test Root"), subject(authority)
    root_key, intermediate_key, leaf_key = key("root", kind), key(authority, kind), key("leaf", kind)
    root = root_certificate(kind)
    intermediate = certificate(
        intermediate_name, intermediate_key, root_name, root_key, authority=True, markers=intermediate_markers
    )
    leaf = certificate(
        leaf_name,
        leaf_key,
        intermediate_name,
        intermediate_key,
        markers=leaf_markers,
        purposes=[purpose],
        not_before=not_before,
        not_after=not_after,
        change=change,
    )
    return Chain(certificates=(leaf, intermediate, root), key=leaf_key)


def developer_id(
    team: str = "ABCDE12345",
    *,
    kind: str = "rsa",
    not_before: datetime = NOT_BEFORE,
    not_after: datetime = NOT_AFTER,
    change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder] = lambda builder: builder,
) -> Chain:
    """A Developer ID Application chain: leaf 6.1.13 (and 6.1.33), intermediate 6.2.6, team in the leaf's OU."""
    name = f"Developer ID Application: Example ({team})"
    return build_chain(
        leaf_name=subject(name, unit=team, organization="Example"),
        leaf_markers=("1.13", "1.33"),
        intermediate_markers=("2.6",),
        kind=kind,
        not_before=not_before,
        not_after=not_after,
        change=change,
    )


def apple_development(team: str = "ABCDE12345") -> Chain:
    """An Apple Development chain: leaf 6.1.2 and 6.1.12, intermediate 6.2.1."""
    name = "Apple Development: Jane Doe (ABCDEFGHIJ)"
    return build_chain(
        leaf_name=subject(name, unit=team, organization="Example"),
        leaf_markers=("1.2", "1.12"),
        intermediate_markers=("2.1",),
    )


def time_stamping(*, not_before: datetime = NOT_BEFORE, not_after: datetime = NOT_AFTER) -> Chain:
    """A time-stamp authority's chain."""
    return build_chain(
        leaf_name=subject("Timestamp Signer TEST"),
        leaf_markers=(),
        intermediate_markers=("2.9",),
        purpose=ExtendedKeyUsageOID.TIME_STAMPING,
        not_before=not_before,
        not_after=not_after,
    )
