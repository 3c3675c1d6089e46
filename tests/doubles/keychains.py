"""The user's keychains as doubles see them: a search list, a default, and what lies in each keychain.

The login keychain holds the rehearsal's identity, unlocked and open to codesign.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from doubles.bench import Bench
from pipeline.codesign.cms import Identity
from pipeline.identity import load_pem


@dataclass
class Held:
    """An identity in a keychain: its leaf and key as PEM, and the names it is listed with."""

    pem: str
    problem: str | None = None

    @property
    def leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.pem.encode())

    @property
    def sha1(self) -> str:
        return self.leaf.fingerprint(hashes.SHA1()).hex().upper()

    @property
    def name(self) -> str:
        (attribute,) = self.leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return str(attribute.value)


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
    own = Keychain(password="login", partitions=True, timeout=0, identities=[Held(pem=pem)], certificates=[pem])
    path.write_text(json.dumps(asdict(Keychains(search=[login], default=login, keychains={login: own}))))


def chain_of(bench: Bench, keychains: Keychains, held: Held) -> Identity | None:
    """The identity with its whole chain; None where the intermediate is in no keychain on the search list."""
    whole = (bench.rehearsal / "keys" / "developer-id.pem").read_bytes()
    intermediate = x509.load_pem_x509_certificates(whole)[1]
    there = [
        certificate
        for path in keychains.search
        if path in keychains.keychains
        for text in keychains.keychains[path].certificates
        for certificate in x509.load_pem_x509_certificates(text.encode())
    ]
    if intermediate not in there:
        return None
    return load_pem(whole, held.pem.encode(), None)
