"""Team keys under names, in a keyring and in a file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders.hosts import host_with
from builders.workshop import ROOT
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fakes.memory_keyring import MemoryKeyring, memory_keyring

from pipeline.errors import CredentialsError
from pipeline.notary import (
    NotaryCredentials,
    delete_credentials,
    list_profiles,
    load_credentials,
    parse_credentials,
    store_credentials,
)
from pipeline.redact import Secret

KEY = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    .decode()
)
CREDENTIALS = NotaryCredentials(
    issuer="69a6de70-03db-47e3-e053-5b8c7c11a4d1", key_id="2X9R4HXF34", private_key=Secret(KEY)
)


@pytest.fixture
def ring() -> Iterator[MemoryKeyring]:
    with memory_keyring() as mine:
        yield mine


@pytest.fixture(params=["keyring", "file"])
def place(request: pytest.FixtureRequest, tmp_path: Path, ring: MemoryKeyring) -> Path | None:
    """Where profiles are kept: None is the keyring."""
    return tmp_path / "notary.json" if request.param == "file" else None


def test_what_is_stored_is_loaded(place: Path | None) -> None:
    """A profile comes back as it was stored, by another host, and its key is redacted there."""
    store_credentials(host_with(), "team-one", CREDENTIALS, place)
    host = host_with()
    assert load_credentials(host, "team-one", place) == CREDENTIALS
    assert KEY.splitlines()[1] not in host.redact(KEY)


def test_profiles_are_listed_and_deleted(place: Path | None) -> None:
    """Names are listed in order; a deleted one is gone, the other stays."""
    host = host_with()
    assert list_profiles(host, place) == ()
    for name in ("team-two", "team-one", "team-two"):
        store_credentials(host, name, CREDENTIALS, place)
    assert list_profiles(host, place) == ("team-one", "team-two")
    delete_credentials(host, "team-one", place)
    assert list_profiles(host, place) == ("team-two",)
    with pytest.raises(CredentialsError):
        load_credentials(host, "team-one", place)
    with pytest.raises(CredentialsError):
        delete_credentials(host, "team-one", place)
    assert load_credentials(host, "team-two", place) == CREDENTIALS


def test_the_only_profile_of_a_file_needs_no_name(tmp_path: Path) -> None:
    """A file with one profile is enough; with two, the name must be given, and the error lists them."""
    host, file = host_with(), tmp_path / "notary.json"
    store_credentials(host, "one", CREDENTIALS, file)
    assert load_credentials(host, None, file) == CREDENTIALS
    store_credentials(host, "two", CREDENTIALS, file)
    with pytest.raises(CredentialsError, match="one, two"):
        load_credentials(host, None, file)


def test_the_file_is_closed_from_the_beginning(tmp_path: Path) -> None:
    """The file that is written has mode 0600."""
    store_credentials(host_with(), "one", CREDENTIALS, tmp_path / "notary.json")
    assert (tmp_path / "notary.json").stat().st_mode & 0o777 == 0o600


def test_what_a_kill_left_of_the_file_is_removed(tmp_path: Path) -> None:
    """A process that dies between the first byte and the rename leaves keys beside the file: the next one takes them
    away."""
    file = tmp_path / "keys [ci].json"
    dying = """
import os, signal, sys
from pathlib import Path
from pipeline.host import Files
with Files().create(Path(sys.argv[1]), 0o600) as stream:
    stream.write(b"a key")
    stream.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", dying, str(file)], cwd=ROOT, check=False).returncode == -9
    assert [left.read_bytes() for left in tmp_path.iterdir()] == [b"a key"]
    store_credentials(host_with(), "team-one", CREDENTIALS, file)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_file_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    """Any right of group or others is refused, with the mode and the command that mends it."""
    file = tmp_path / "notary.json"
    store_credentials(host_with(), "one", CREDENTIALS, file)
    file.chmod(mode)
    with pytest.raises(CredentialsError, match=f"{mode:04o}") as refused:
        load_credentials(host_with(), "one", file)
    assert f"chmod 600 {file}" in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"schema": 2, "profiles": {}}',
        '{"schema": 1, "profiles": []}',
        '{"schema": 1, "profiles": {}}',
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    """What is no file of profiles is CredentialsError, whatever it holds."""
    file = tmp_path / "notary.json"
    file.touch(mode=0o600)
    file.write_text(text)
    with pytest.raises(CredentialsError):
        load_credentials(host_with(), "one", file)


def test_a_file_of_another_schema_is_refused(tmp_path: Path) -> None:
    """Profiles that read well are not taken from a file whose schema is not known here."""
    file = tmp_path / "notary.json"
    store_credentials(host_with(), "one", CREDENTIALS, file)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema": 2}))
    with pytest.raises(CredentialsError, match="not a file of profiles"):
        load_credentials(host_with(), "one", file)


def test_a_host_without_a_keyring_is_told(ring: MemoryKeyring) -> None:
    """No usable keyring is CredentialsError, not a traceback."""
    ring.is_absent = True
    with pytest.raises(CredentialsError, match="keyring"):
        load_credentials(host_with(), "team-one", None)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"issuer": "me"}, "issuer"),
        ({"issuer": None}, "issuer"),
        ({"key-id": ""}, "key-id"),
        ({"key-id": "2X9R4HXF34\n"}, ""),
        ({"private-key": "/home/me/AuthKey.p8"}, "private-key"),
        ({"private-key": 7}, "private-key"),
    ],
)
def test_a_field_that_cannot_be_right_is_named_and_not_shown(change: dict[str, object], field: str) -> None:
    """A wrong field is told by its name; surrounding white space does no harm; no value is quoted."""
    document = {"issuer": CREDENTIALS.issuer, "key-id": "2X9R4HXF34", "private-key": KEY} | change
    text = Secret(json.dumps(document))
    if not field:
        assert parse_credentials(text, "standard input") == CREDENTIALS
        return
    with pytest.raises(CredentialsError, match=f"{field} is missing") as refused:
        parse_credentials(text, "standard input")
    assert KEY.splitlines()[1] not in str(refused.value)


def test_a_key_of_another_kind_is_refused_before_it_is_kept(place: Path | None) -> None:
    """A key that cannot sign tokens is never stored."""
    other = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    wrong = NotaryCredentials(issuer=CREDENTIALS.issuer, key_id=CREDENTIALS.key_id, private_key=Secret(other.decode()))
    with pytest.raises(CredentialsError, match="P-256"):
        store_credentials(host_with(), "one", wrong, place)
    assert list_profiles(host_with(), place) == ()
