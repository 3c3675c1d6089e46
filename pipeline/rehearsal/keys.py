"""The rehearsal's keys on disk: made once for a folder, whole or not at all, readable by their owner alone.

keys/                    0700
  developer-id.pem       0600  leaf, intermediate, root; private key
  timestamp.pem          0600  likewise
  ticket.pem             0600  likewise
  AuthKey.p8             0600  the App Store Connect key
  api-key.json           0600  its issuer and key id
  object-store.key       0600  what the object store derives its short-lived credentials from
anchors/                       the roots of the three chains: all that is needed to verify what was signed
"""

from __future__ import annotations

import base64
import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipeline.host import Host
from pipeline.host.files import refusals
from pipeline.redact import Secret
from pipeline.rehearsal.chains import Chains, KeyedChain, make_chains, private_pem

_PRIVATE = 0o600
_CHAINS = ("developer_id", "timestamp", "ticket")
_ANCHORS = {"code.pem": "developer_id", "timestamps.pem": "timestamp", "tickets.pem": "ticket"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A team key as App Store Connect gives it out; `private_key` is the text of the `.p8`."""

    issuer: str
    key_id: str
    private_key: Secret

    def public_key(self) -> ec.EllipticCurvePublicKey:
        key = serialization.load_pem_private_key(self.private_key.reveal().encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key.public_key()


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    chains: Chains
    api: ApiKey
    object_store: Secret


def keys_of(folder: Path, host: Host) -> Keys:
    """The keys in `folder`/keys; made there if there are none. The API's key is registered for redaction."""
    place = folder / "keys"
    if not place.exists():
        _make(place, host)
    keys = _load(place, host)
    _publish(folder / "anchors", keys.chains, host)
    host.redact.register(keys.api.private_key)
    host.redact.register(keys.object_store)
    return keys


def _make(place: Path, host: Host) -> None:
    """Everything under a name that nobody reads; the last step gives the folder its name."""
    files = host.files
    with refusals(place.parent):
        for left in place.parent.glob(".keys.*.new"):
            files.remove(left)
    unfinished = place.with_name(f".keys.{os.getpid()}.new")
    files.make_folder(place.parent, mode=0o700)
    files.make_folder(unfinished, mode=0o700)
    chains = make_chains(host.clock.now())
    for name in _CHAINS:
        chain: KeyedChain = getattr(chains, name)
        files.write(unfinished / _file_of(name), chain.to_pem(), _PRIVATE)
    entropy = host.entropy
    issuer = str(uuid.UUID(bytes=entropy.bytes(16), version=4))
    key_id = base64.b32encode(entropy.bytes(10)).decode()[:10]  # ten capital letters or digits, as Apple's
    files.write(unfinished / "AuthKey.p8", private_pem(ec.generate_private_key(ec.SECP256R1())), _PRIVATE)
    named = json.dumps({"issuer": issuer, "key_id": key_id}, indent=2) + "\n"
    files.write(unfinished / "api-key.json", named.encode(), _PRIVATE)
    files.write(unfinished / "object-store.key", entropy.bytes(32).hex().encode(), _PRIVATE)
    files.move_folder(unfinished, place)


def _publish(place: Path, chains: Chains, host: Host) -> None:
    """The roots, written again where they are missing or not those of the keys."""
    for name, chain in _ANCHORS.items():
        root = x509.load_der_x509_certificate(getattr(chains, chain).chain[-1])
        pem = root.public_bytes(serialization.Encoding.PEM)
        if not (place / name).is_file() or host.files.read(place / name) != pem:
            host.files.write(place / name, pem)


def _load(place: Path, host: Host) -> Keys:
    files = host.files
    named = json.loads(files.read(place / "api-key.json"))
    return Keys(
        chains=Chains(**{name: KeyedChain.from_pem(files.read(place / _file_of(name))) for name in _CHAINS}),
        api=ApiKey(
            issuer=named["issuer"],
            key_id=named["key_id"],
            private_key=Secret(files.read(place / "AuthKey.p8").decode()),
        ),
        object_store=Secret(files.read(place / "object-store.key").decode()),
    )


def _file_of(name: str) -> str:
    return f"{name.replace('_', '-')}.pem"
