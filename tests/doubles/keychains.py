"""The user's keychains as doubles see them: a search list, a default, and what lies in each keychain.

The login keychain holds the rehearsal's identity, unlocked and open to codesign. What opens certificates is imported
where it is needed: most calls of `security` open none.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doubles.bench import Bench

if TYPE_CHECKING:
    from pipeline.codesign.cms import Identity

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n(.*?)-----END CERTIFICATE-----", re.DOTALL)


@dataclass
class Held:
    """An identity in a keychain: its leaf and key as PEM, and the name that it is listed with."""

    pem: str
    name: str
    problem: str | None = None

    @property
    def sha1(self) -> str:
        return hashlib.sha1(certificates_in(self.pem)[0]).hexdigest().upper()


@dataclass
class Keychain:
    password: str
    locked: bool = False
    timeout: int = 300
    partitions: bool = False
    identities: list[Held] = field(default_factory=list)
    certificates: list[str] = field(default_factory=list)
    """PEM of certificates without a key."""


@dataclass
class Keychains:
    search: list[str]
    default: str | None
    keychains: dict[str, Keychain]


@contextmanager
def keychains_of(bench: Bench) -> Iterator[Keychains]:
    """Read, and written back after the block."""
    path = bench.folder / "keychains.json"
    with bench.locked():
        if not path.exists():
            _begin(bench, path)
        document = json.loads(path.read_text())
        found = Keychains(
            search=document["search"],
            default=document["default"],
            keychains={name: _keychain(fields) for name, fields in document["keychains"].items()},
        )
        yield found
        path.write_text(json.dumps(asdict(found)))


def _keychain(fields: dict[str, Any]) -> Keychain:
    return Keychain(**fields | {"identities": [Held(**one) for one in fields["identities"]]})


def _begin(bench: Bench, path: Path) -> None:
    login = str(bench.folder / "login.keychain-db")
    pem = (bench.rehearsal / "keys" / "developer-id.pem").read_text()
    held = Held(pem=pem, name=_name_in(pem.encode()))
    own = Keychain(password="login", partitions=True, timeout=0, identities=[held], certificates=[pem])
    path.write_text(json.dumps(asdict(Keychains(search=[login], default=login, keychains={login: own}))))


def certificates_in(pem: str) -> list[bytes]:
    """DER of each."""
    return [base64.b64decode(one) for one in _CERTIFICATE.findall(pem)]


def pem_of(certificate: bytes) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(certificate).decode()}-----END CERTIFICATE-----\n"


def _name_in(pem: bytes) -> str:
    from cryptography import x509

    leaf = x509.load_pem_x509_certificate(pem)
    (attribute,) = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(attribute.value)


def opened_p12(data: bytes, password: str) -> tuple[Held, list[str]] | None:
    """The identity and the other certificates of a .p12; None where the password is another."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.serialization import pkcs12

    pem = serialization.Encoding.PEM
    try:
        key, leaf, others = pkcs12.load_key_and_certificates(data, password.encode())
    except ValueError:
        return None
    assert key is not None
    assert leaf is not None
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = leaf.public_bytes(pem)
    held = Held(pem=(public + private).decode(), name=_name_in(public))
    return held, [one.public_bytes(pem).decode() for one in others]


def chain_of(bench: Bench, keychains: Keychains, held: Held) -> Identity | None:
    """The identity with its whole chain; None where the intermediate is in no keychain on the search list."""
    from pipeline.identity import load_pem

    whole = (bench.rehearsal / "keys" / "developer-id.pem").read_text()
    intermediate = certificates_in(whole)[1]
    there = [
        certificate
        for path in keychains.search
        if path in keychains.keychains
        for text in keychains.keychains[path].certificates
        for certificate in certificates_in(text)
    ]
    if intermediate not in there:
        return None
    return load_pem(whole.encode(), held.pem.encode(), None)
