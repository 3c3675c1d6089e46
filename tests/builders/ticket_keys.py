"""A ticket-signing chain shaped like Apple's (root, intermediate, leaf with 1.2.840.113635.100.6.1.30) with keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

TICKET_SIGNING = "1.2.840.113635.100.6.1.30"
DAY = timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass
class TicketKeys:
    """What the chain is like; each field is a lever for one defect."""

    leaf_extension: str | None = TICKET_SIGNING
    intermediate_is_authority: bool = True
    intermediate_says_so: bool = True
    """Has it basic constraints at all?"""
    leaf_from: datetime = datetime(2025, 1, 1, tzinfo=UTC)
    leaf_to: datetime = datetime(2026, 2, 1, tzinfo=UTC)

    @cached_property
    def _keys(self) -> tuple[ec.EllipticCurvePrivateKey, ...]:
        return tuple(ec.generate_private_key(ec.SECP256R1()) for _ in range(3))

    @cached_property
    def _chain(self) -> tuple[x509.Certificate, ...]:
        root_key, intermediate_key, leaf_key = self._keys
        root, intermediate, leaf = _name("Ticket Root"), _name("Ticket Authority"), _name("Ticket Signing")
        long_ago, far_ahead = datetime(2014, 1, 1, tzinfo=UTC), datetime(2039, 1, 1, tzinfo=UTC)

        def issue(
            subject: x509.Name,
            key: ec.EllipticCurvePrivateKey,
            issuer: x509.Name,
            issuer_key: ec.EllipticCurvePrivateKey,
            authority: bool,
            extension: str | None = None,
            start: datetime = long_ago,
            end: datetime = far_ahead,
            constrained: bool = True,
        ) -> x509.Certificate:
            builder = (
                x509.CertificateBuilder()
                .subject_name(subject)
                .issuer_name(issuer)
                .public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(start)
                .not_valid_after(end)
                .add_extension(
                    x509.KeyUsage(not authority, False, False, False, False, authority, authority, False, False),
                    critical=True,
                )
            )
            if constrained:
                builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            if extension:
                oid = x509.ObjectIdentifier(extension)
                builder = builder.add_extension(x509.UnrecognizedExtension(oid, b"\x05\x00"), critical=True)
            return builder.sign(issuer_key, SHA256())

        return (
            issue(
                leaf, leaf_key, intermediate, intermediate_key, False, self.leaf_extension, self.leaf_from, self.leaf_to
            ),
            issue(
                intermediate,
                intermediate_key,
                root,
                root_key,
                self.intermediate_is_authority,
                constrained=self.intermediate_says_so,
            ),
            issue(root, root_key, root, root_key, True),
        )

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """Leaf and intermediate, DER: what a ticket carries."""
        return tuple(one.public_bytes(Encoding.DER) for one in self._chain[:2])

    @property
    def root(self) -> bytes:
        return self._chain[2].public_bytes(Encoding.DER)

    def sign(self, data: bytes) -> bytes:
        return self._keys[2].sign(data, ec.ECDSA(SHA256()))
