"""Somebody with doubles of `security` and `codesign`, a .p12 that holds a leaf alone, and a Mach-O file."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from doubles.bench import Bench

from pipeline.host import Host
from pipeline.redact import Secret
from pipeline.toolchain.apple import Keychain, Tools
from pipeline.toolchain.apple.identities import KeychainIdentity

PASSWORD = 'open sesame "quoted" \\ and more'


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    folder: Path

    @classmethod
    def settle(cls, folder: Path, keys: Path, tool: Path, program: str) -> User:
        """`keys`: a rehearsal's; `program`: what each double is. Two keychains of the user's own are listed."""
        shutil.copytree(keys, folder / "rehearsal" / "keys")
        shutil.copytree(keys.parent / "anchors", folder / "rehearsal" / "anchors")
        Bench.install(folder / "tools", folder / "rehearsal", program)
        pem = (keys / "developer-id.pem").read_bytes()
        chain = x509.load_pem_x509_certificates(pem)
        key = serialization.load_pem_private_key(pem[pem.index(b"-----BEGIN PRIVATE") :], None)
        locked = serialization.BestAvailableEncryption(PASSWORD.encode())
        data = pkcs12.serialize_key_and_certificates(b"id", key, chain[0], None, locked)  # type: ignore[arg-type]
        (folder / "id.p12").write_bytes(data)
        (folder / "ca.cer").write_bytes(chain[1].public_bytes(serialization.Encoding.DER))
        shutil.copy(tool, folder / "tool")
        user = cls(folder=folder)
        user.begin()
        return user

    @property
    def bench(self) -> Bench:
        return Bench(folder=self.folder / "tools")

    @property
    def keychain(self) -> Path:
        return self.folder / "ci" / "release.keychain-db"

    @property
    def own(self) -> dict[str, Any]:
        """What there was at the beginning."""
        login, other = str(self.bench.folder / "login.keychain-db"), str(self.folder / "other.keychain-db")
        empty = {"password": "x", "identities": [], "certificates": []}
        return {"search": [other, login], "default": login, "keychains": {login: empty, other: empty}}

    def begin(self, default: bool = True) -> None:
        shutil.rmtree(self.keychain.parent, ignore_errors=True)
        state = self.own if default else self.own | {"default": None}
        (self.bench.folder / "keychains.json").write_text(json.dumps(state))
        self.bench.set()

    def keychain_for(self, host: Host, patience: timedelta = timedelta(minutes=10)) -> Keychain:
        """`patience`: with codesign."""
        tools = Tools(host=host, folder=self.bench.folder, record=lambda *_a, **_k: None)
        return Keychain(replace(tools, limits={**tools.limits, "codesign": patience}), self.keychain)

    def make(
        self, host: Host, *, intermediate: bool = True, patience: timedelta = timedelta(minutes=10)
    ) -> KeychainIdentity:
        certificates = [(self.folder / "ca.cer").read_bytes()] if intermediate else []
        secret = host.redact.register(Secret(PASSWORD))
        return self.keychain_for(host, patience).create(
            self.folder / "id.p12", secret, certificates, self.folder / "tool"
        )

    def state(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.bench.folder / "keychains.json").read_text())
        return document

    def changed(self) -> list[str]:
        """In what search list, default and files are not those of the beginning: nothing, it is hoped."""
        state, own = self.state(), self.own
        changed = [name for name in ("search", "default") if state[name] != own[name]]
        changed += sorted(set(state["keychains"]) ^ set(own["keychains"]))
        if self.keychain.parent.exists():
            changed += sorted(path.name for path in self.keychain.parent.iterdir())
        return changed
