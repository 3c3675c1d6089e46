"""What `keychain.create` and `keychain.delete` do."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import NotSupported
from pipeline.host import Host
from pipeline.identity import APPLE_INTERMEDIATES
from pipeline.tasks.signing import existing
from pipeline.toolchain.apple import Keychain, Tools


def create(
    host: Host, p12: str, keychain: str | None, tools: str | None, *, certificate: str | None, trial: str, dry: bool
) -> None:
    place = _keychain(host, keychain, tools)
    source, proof = existing(p12).absolute(), existing(trial).absolute()
    certificates = list(APPLE_INTERMEDIATES[:2])  # Developer ID, G1 and G2: a .p12 mostly holds the leaf alone
    if certificate is not None:
        certificates.append(host.files.read(existing(certificate)))
    if dry:
        host.console.result(f"would make {place.path} with the identity of {source}")
        return
    identity = place.create(source, host.secrets.ask(f"password of {source.name}"), certificates, proof)
    host.console.result(f"{place.path}: {identity.sha1} {identity.name}")


def delete(host: Host, keychain: str | None, tools: str | None, *, dry: bool) -> None:
    place = _keychain(host, keychain, tools)
    if dry:
        host.console.result(f"would remove {place.path}")
        return
    place.delete()
    host.console.say(f"removed: {place.path}")


def _keychain(host: Host, keychain: str | None, tools: str | None) -> Keychain:
    if tools is None and host.system != "Darwin":
        raise NotSupported("keychains are macOS's", remedy="elsewhere [sign] identity names a .p12 or a .pem")
    path = Path(keychain) if keychain else Path.home() / "Library" / "Keychains" / "release.keychain-db"
    folder = existing(tools).absolute() if tools else None
    return Keychain(Tools(host=host, folder=folder, record=_nowhere), path)


def _nowhere(_event: str, **_facts: object) -> None:
    """No release runs, so there is no log to write to; --debug shows the command lines."""
