"""Certificate chains shaped like Apple's, under roots of our own, `REHEARSAL` in every subject.

What the shape copies, as read off real signatures, time-stamp tokens and tickets: the key kinds, the names' parts, the
extensions that macOS looks at (1.2.840.113635.100.6.1.13 and 6.2.6 of a Developer ID, 6.2.9 of the time-stamp
authority, 6.1.30 and 6.2.17 of a ticket signer), key usage and extended key usage. What it does not copy: lifetimes.
Apple's time-stamp signers live 42 days and its ticket signers 13 months; these live twenty years, since the folder
that holds them is made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

DEVELOPER_ID_APPLICATION = ObjectIdentifier("1.2.840.113635.100.6.1.13")
DEVELOPER_ID_AUTHORITY = ObjectIdentifier("1.2.840.113635.100.6.2.6")
TIMESTAMP_AUTHORITY = ObjectIdentifier("1.2.840.113635.100.6.2.9")
TICKET_SIGNER = ObjectIdentifier("1.2.840.113635.100.6.1.30")
TICKET_AUTHORITY = ObjectIdentifier("1.2.840.113635.100.6.2.17")

TEAM = "REHEARSAL0"
"""A team identifier has ten letters or digits."""

_ORGANISATION = "REHEARSAL, not Apple"
_ASN1_NULL = b"\x05\x00"  # the value of every one of Apple's marker extensions
_LIFETIME = timedelta(days=20 * 365)
_EARLIER = timedelta(days=1)  # a client's clock may be behind ours

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedChain:
    """A private key and its certificates as DER, leaf first, root last."""

    chain: tuple[bytes, ...]
    key: PrivateKey

    def certificate(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.chain[0])

    def to_pem(self) -> bytes:
        """The certificates in order, then the key as unencrypted PKCS #8: what other tools read too."""
        certificates = (x509.load_der_x509_certificate(der) for der in self.chain)
        blocks = [certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates]
        return b"".join(blocks) + private_pem(self.key)

    @classmethod
    def from_pem(cls, pem: bytes) -> KeyedChain:
        certificates = x509.load_pem_x509_certificates(pem)
        pem_of_key = pem[pem.index(b"-----BEGIN PRIVATE KEY-----") :]
        # The key is our own; proving that its factors are prime would take a tenth of a second each time.
        key = serialization.load_pem_private_key(pem_of_key, None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
        ders = tuple(certificate.public_bytes(serialization.Encoding.DER) for certificate in certificates)
        return cls(chain=ders, key=key)


def private_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """`developer_id` and `timestamp` end in the same root, as at Apple's; `ticket` in one of its own, like G3."""

    developer_id: KeyedChain
    timestamp: KeyedChain
    ticket: KeyedChain


def make_chains(now: datetime) -> Chains:
    """New keys and certificates, valid from the day before `now`. The keys of roots and authorities are not kept."""
    root = _Authority.root("REHEARSAL Root CA", _rsa(), now)
    root_g3 = _Authority.root("REHEARSAL Root CA - G3", ec.generate_private_key(ec.SECP384R1()), now)
    developer_id = root.authority("REHEARSAL Developer ID Certification Authority", _rsa(), DEVELOPER_ID_AUTHORITY)
    timestamp = root.authority("REHEARSAL Timestamp Certification Authority", _rsa(), TIMESTAMP_AUTHORITY)
    ticket = root_g3.authority("REHEARSAL System Integration CA", _p256(), TICKET_AUTHORITY)
    return Chains(
        developer_id=developer_id.leaf(
            f"Developer ID Application: REHEARSAL ({TEAM})",
            _rsa(),
            usage=ExtendedKeyUsageOID.CODE_SIGNING,
            marker=DEVELOPER_ID_APPLICATION,
            team=TEAM,
        ),
        timestamp=timestamp.leaf("REHEARSAL Timestamp Signer", _rsa(), usage=ExtendedKeyUsageOID.TIME_STAMPING),
        ticket=ticket.leaf("REHEARSAL Software Ticket Signing", _p256(), marker=TICKET_SIGNER),
    )


def _rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(common: str, *, unit: str, team: str | None = None) -> x509.Name:
    """A Developer ID carries its team as user id and as organisational unit, before and after the common name."""
    parts = [(NameOID.USER_ID, team)] if team else []
    parts += [
        (NameOID.COMMON_NAME, common),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, team or unit),
        (NameOID.ORGANIZATION_NAME, _ORGANISATION),
        (NameOID.COUNTRY_NAME, "US"),
    ]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Authority:
    """A certificate that issues others, with those above it."""

    key: PrivateKey
    certificate: x509.Certificate
    above: tuple[x509.Certificate, ...]
    now: datetime

    @classmethod
    def root(cls, common: str, key: PrivateKey, now: datetime) -> _Authority:
        name = _name(common, unit="REHEARSAL Certification Authority")
        certificate = _sign(name, name, key.public_key(), key, now, _authority_extensions())
        return cls(key=key, certificate=certificate, above=(), now=now)

    def authority(self, common: str, key: PrivateKey, marker: ObjectIdentifier) -> _Authority:
        extensions = [*_authority_extensions(), (x509.UnrecognizedExtension(marker, _ASN1_NULL), False)]
        name = _name(common, unit="REHEARSAL Certification Authority")
        return _Authority(
            key=key, certificate=self._issue(name, key, extensions), above=(self.certificate, *self.above), now=self.now
        )

    def leaf(
        self,
        common: str,
        key: PrivateKey,
        *,
        usage: ObjectIdentifier | None = None,
        marker: ObjectIdentifier | None = None,
        team: str | None = None,
    ) -> KeyedChain:
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_key_usage(digital_signature=True), True),
        ]
        if usage is not None:
            extensions.append((x509.ExtendedKeyUsage([usage]), True))
        if marker is not None:
            # The one marker that Apple makes critical is that of the Developer ID.
            extensions.append((x509.UnrecognizedExtension(marker, _ASN1_NULL), marker == DEVELOPER_ID_APPLICATION))
        certificate = self._issue(_name(common, unit="REHEARSAL", team=team), key, extensions)
        chain = (certificate, self.certificate, *self.above)
        return KeyedChain(chain=tuple(one.public_bytes(serialization.Encoding.DER) for one in chain), key=key)

    def _issue(
        self, name: x509.Name, key: PrivateKey, extensions: Sequence[tuple[x509.ExtensionType, bool]]
    ) -> x509.Certificate:
        issuer = self.certificate.subject
        return _sign(name, issuer, key.public_key(), self.key, self.now, extensions)


def _authority_extensions() -> list[tuple[x509.ExtensionType, bool]]:
    usage = _key_usage(key_cert_sign=True, crl_sign=True)
    return [(x509.BasicConstraints(ca=True, path_length=None), True), (usage, True)]


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _sign(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    issuer_key: PrivateKey,
    now: datetime,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    start = now.replace(microsecond=0) - _EARLIER
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        # Apple's serial numbers have eight bytes.
        .serial_number(x509.random_serial_number() >> 96)
        .not_valid_before(start)
        .not_valid_after(start + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    digest = hashes.SHA384() if _is_p384(issuer_key) else hashes.SHA256()
    return builder.sign(issuer_key, digest)


def _is_p384(key: PrivateKey) -> bool:
    return isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size == 384
