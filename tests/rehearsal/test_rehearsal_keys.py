"""The rehearsal's keys: who can read them, what a kill leaves, what the certificates say."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from asn1crypto import x509
from builders.clients import need
from builders.hosts import host_with
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates

from pipeline.host import SystemClock
from pipeline.rehearsal import Rehearsal

FILES = {"developer-id.pem", "timestamp.pem", "ticket.pem", "AuthKey.p8", "api-key.json", "object-store.key"}


class Killed(Exception):
    """Stands for a kill: nothing of ours catches it."""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_only_the_owner_can_read_the_keys(keys: Path) -> None:
    """Every key file has mode 0600, and the folders around it 0700."""
    assert {path.name for path in (keys / "keys").iterdir()} == FILES
    for path in (keys / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
    assert stat.S_IMODE((keys / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700


def test_a_second_rehearsal_has_the_same_keys(folder: Path) -> None:
    """Keys are made once for a folder."""
    before = contents(folder / "keys")
    with Rehearsal(folder, host_with(SystemClock())) as first:
        one = first.services
    with Rehearsal(folder, host_with(SystemClock())) as second:
        other = second.services
    assert contents(folder / "keys") == before
    assert one.identity is not None
    assert other.identity is not None
    assert one.identity.chain == other.identity.chain
    assert one.credentials == other.credentials


def test_no_port_is_written_anywhere(keys: Path, folder: Path) -> None:
    """What a rehearsal leaves does not say where it listened."""
    with Rehearsal(folder, host_with(SystemClock())) as running:
        assert running.services.timestamp_url is not None
        port = running.services.timestamp_url.split(":")[2].split("/")[0]
        name = f"127.0.0.1:{port}".encode()
        assert all(name not in data for data in contents(folder).values())
    assert contents(folder) == contents(keys)


def test_the_private_keys_are_secrets(folder: Path) -> None:
    """The key of the API and that of the object store are redacted from everything printed."""
    host = host_with(SystemClock())
    with Rehearsal(folder, host):
        key = (folder / "keys" / "AuthKey.p8").read_text()
        assert "PRIVATE KEY" in key
        body = key.splitlines()[1]
        store = (folder / "keys" / "object-store.key").read_text()
        assert host.redact(f"{body} {store}") == "[redacted] [redacted]"


def test_a_kill_leaves_all_keys_or_none(tmp_path: Path) -> None:
    """Ended before any host operation, the making of keys leaves whole keys or none; the next run has all."""
    folder = tmp_path / "rehearsal"
    partial = 0
    for last in range(100):
        left = iter(range(last))

        def die(_kind: str, _subject: str, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise Killed

        try:
            with Rehearsal(folder, host_with(SystemClock(), observe=die)):
                break
        except Killed:
            assert {path.name for path in folder.glob("keys/*")} in (set(), FILES)
            partial += any(folder.glob(".keys.*/*"))
    assert partial >= len(FILES)
    assert {path.name for path in (folder / "keys").iterdir()} == FILES
    assert {path.name for path in folder.iterdir()} == {".lock", "anchors", "keys"}


def test_the_roots_are_published_without_keys(keys: Path) -> None:
    """Whoever verifies finds the three roots, and no key beside them."""
    for name, chain in (("code", "developer-id"), ("timestamps", "timestamp"), ("tickets", "ticket")):
        (root,) = load_pem_x509_certificates((keys / "anchors" / f"{name}.pem").read_bytes())
        assert root == load_pem_x509_certificates((keys / "keys" / f"{chain}.pem").read_bytes())[-1]
        assert b"PRIVATE" not in (keys / "anchors" / f"{name}.pem").read_bytes()


@pytest.mark.parametrize("name", ["developer-id", "timestamp", "ticket"])
def test_every_subject_says_rehearsal(keys: Path, name: str) -> None:
    """Nobody can take a certificate of a rehearsal for Apple's."""
    chain = load_pem_x509_certificates((keys / "keys" / f"{name}.pem").read_bytes())
    assert len(chain) == 3
    for certificate in chain:
        assert "REHEARSAL" in certificate.subject.rfc4514_string()


def test_the_chain_is_shaped_like_developer_id(keys: Path) -> None:
    """Leaf and intermediate bear Apple's markers, the leaf its team and the code-signing usage."""
    pems = load_pem_x509_certificates((keys / "keys" / "developer-id.pem").read_bytes())
    leaf, intermediate, root = (x509.Certificate.load(one.public_bytes(Encoding.DER)) for one in pems)
    said = leaf.subject.native
    assert said["organizational_unit_name"] == said["user_id"] == "REHEARSAL0"
    assert said["common_name"] == "Developer ID Application: REHEARSAL (REHEARSAL0)"
    oids = {extension["extn_id"].dotted: extension for extension in leaf["tbs_certificate"]["extensions"]}
    marker = oids["1.2.840.113635.100.6.1.13"]
    assert marker["critical"].native
    assert marker["extn_value"].contents == b"\x05\x00"
    assert leaf.extended_key_usage_value.native == ["code_signing"]
    above = {extension["extn_id"].dotted for extension in intermediate["tbs_certificate"]["extensions"]}
    assert "1.2.840.113635.100.6.2.6" in above
    assert root.self_issued
    assert intermediate.ca
    assert not leaf.ca


@pytest.mark.openssl
@pytest.mark.parametrize("name", ["developer-id", "timestamp", "ticket"])
def test_openssl_accepts_each_chain(keys: Path, tmp_path: Path, name: str) -> None:
    """OpenSSL builds the path from each leaf to its root."""
    openssl = need("openssl")
    pem = (keys / "keys" / f"{name}.pem").read_text()
    blocks = [f"{block}-----END CERTIFICATE-----\n" for block in pem.split("-----END CERTIFICATE-----\n")[:3]]
    for file, block in zip(("leaf", "intermediate", "root"), blocks, strict=True):
        (tmp_path / file).write_text(block)
    argv: list[str | Path] = [
        openssl,
        "verify",
        "-ignore_critical",
        "-CAfile",
        tmp_path / "root",
        "-untrusted",
        tmp_path / "intermediate",
    ]
    done = subprocess.run([*argv, tmp_path / "leaf"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_api_key_is_as_app_store_connect_gives_it(keys: Path) -> None:
    """A P-256 key in PKCS #8 PEM, a UUID as issuer, ten capital letters and digits as key id."""
    key = load_pem_private_key((keys / "keys" / "AuthKey.p8").read_bytes(), None)
    assert getattr(key, "curve", None) is not None
    assert key.curve.name == "secp256r1"  # type: ignore[union-attr]
    named = json.loads((keys / "keys" / "api-key.json").read_text())
    assert len(named["issuer"]) == 36
    assert len(named["key_id"]) == 10
    assert named["key_id"].isalnum()
    assert named["key_id"].isupper()
