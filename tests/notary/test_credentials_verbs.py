"""`invoke credentials.…` as a person and a build service run them: real processes, services on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from builders.hosts import host_with
from builders.notary_user import REFUSED_KEYS
from builders.workshop import ROOT, Ran

from pipeline.host import SystemClock
from pipeline.notary import NotaryCredentials, store_credentials
from pipeline.rehearsal import Answer, Endpoint, Rehearsal


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with a team key, a release.toml and a notary that is not Apple's."""

    folder: Path
    rehearsal: Rehearsal
    keyring: str
    """The backend of the keyring library."""
    file: str | None
    """What [notary] credentials names."""

    @property
    def given(self) -> NotaryCredentials:
        assert self.rehearsal.services.credentials is not None
        return self.rehearsal.services.credentials

    @property
    def key(self) -> Path:
        return self.folder / "rehearsal" / "keys" / "AuthKey.p8"

    @property
    def options(self) -> list[str]:
        return ["--issuer", self.given.issuer, "--key-id", self.given.key_id]

    @property
    def notary(self) -> list[str]:
        assert self.rehearsal.services.notary is not None
        return ["--notary", self.rehearsal.services.notary.base_url]

    def as_json(self) -> str:
        key = self.given.private_key.reveal()
        return json.dumps({"issuer": self.given.issuer, "key-id": self.given.key_id, "private-key": key})

    def invoke(self, *words: str, stdin: str = "", more: dict[str, str] | None = None) -> Ran:
        configuration = self.folder / "release.toml"
        configuration.write_text(f'[notary]\ncredentials = "{self.file}"\n' if self.file else "")
        environment = os.environ | {
            "PYTHONPATH": str(ROOT / "tests"),
            "PYTHON_KEYRING_BACKEND": self.keyring,
            "KEYRING_FILE": str(self.folder / "keyring.json"),
        }
        done = subprocess.run(
            [sys.executable, "-m", "invoke", *words, "--config", str(configuration)],
            cwd=ROOT,
            input=stdin,
            capture_output=True,
            text=True,
            env=environment | (more or {}),
            check=False,
        )
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)

    def keep(self) -> Path:
        """The key kept as `ci` already, in the file."""
        assert self.file is not None
        file = self.folder / self.file
        store_credentials(host_with(), "ci", self.given, file)
        return file


@pytest.fixture
def person(tmp_path: Path, rehearsal_keys: Path) -> Iterator[Person]:
    """On a host without a keyring, with a file named in release.toml."""
    shutil.copytree(rehearsal_keys, tmp_path / "rehearsal")
    with Rehearsal(tmp_path / "rehearsal", host_with(SystemClock())) as rehearsal:
        yield Person(
            folder=tmp_path, rehearsal=rehearsal, keyring="keyring.backends.fail.Keyring", file="secrets/notary.json"
        )


def kept(person: Person) -> list[str]:
    names: list[str] = json.loads(person.invoke("credentials.list", "--json").out)["profiles"]
    return names


@pytest.mark.parametrize("place", ["file", "keyring"])
def test_a_key_is_kept_checked_listed_and_deleted(person: Person, place: str) -> None:
    """From standard input into keyring or file, where it is said to be; good at the notary; then gone."""
    if place == "keyring":
        person = replace(person, keyring="fakes.file_keyring.FileKeyring", file=None)
    stored = person.invoke("credentials.store", "team-one", "--stdin", stdin=person.as_json())
    assert stored.code == 0, stored.err
    assert ("instead of a keyring" in stored.err) == (place == "file")
    assert ("the system's keyring" in stored.err) == (place == "keyring")
    checked = person.invoke("credentials.check", "team-one", *person.notary)
    assert checked.code == 0, checked.err
    assert "team-one: good" in checked.out
    assert person.rehearsal.levers.seen(Endpoint.LIST) == 1
    assert ("instead of a keyring" in checked.err) == (place == "file")
    assert kept(person) == ["team-one"]
    assert person.invoke("credentials.delete", "team-one").code == 0
    assert kept(person) == []
    assert person.invoke("credentials.check", "team-one", *person.notary).code == 10


@pytest.mark.parametrize("way", ["file", "pipe", "answers"])
def test_a_p8_is_taken_from_where_it_lies(person: Person, way: str) -> None:
    """The .p8 is named, piped, or asked for, and is kept closed to others from its first byte."""
    words, stdin = {
        "file": ([*person.options, "--key", str(person.key)], ""),
        "pipe": ([*person.options, "--stdin"], person.key.read_text()),
        "answers": ([], f"{person.given.issuer}\n{person.given.key_id}\n{person.key}\n"),
    }[way]
    stored = person.invoke("credentials.store", "ci", *words, stdin=stdin)
    assert stored.code == 0, stored.err
    file = person.folder / "secrets" / "notary.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())["profiles"]["ci"]["issuer"] == person.given.issuer


@pytest.mark.parametrize(("answer", "words"), REFUSED_KEYS.values(), ids=REFUSED_KEYS)
def test_what_is_refused_is_told_apart(person: Person, answer: Answer, words: str) -> None:
    """Exit 10, and the words of this refusal alone: what to do about it."""
    person.keep()
    person.rehearsal.levers.schedule(Endpoint.LIST, answer)
    refused = person.invoke("credentials.check", "ci", *person.notary)
    assert refused.code == 10
    others = {said for _answer, said in REFUSED_KEYS.values()} - {words}
    assert words in refused.err
    assert not [one for one in others if one in refused.err]


def test_a_clock_that_is_off_is_told_as_that(person: Person) -> None:
    """A machine an hour behind gets 401 like a wrong key, and reads that it is the clock."""
    person.keep()
    person.rehearsal.levers.clock_skew = timedelta(hours=1)
    refused = person.invoke("credentials.check", "ci", *person.notary)
    assert refused.code == 10
    assert "clock is 60 min behind" in refused.err


def test_a_notary_that_is_gone_is_no_matter_of_credentials(person: Person) -> None:
    """Nobody listens: exit 11. An address to which a token would go in the clear: exit 2, and nothing is sent."""
    person.keep()
    assert person.invoke("credentials.check", "ci", "--notary", "http://127.0.0.1:9/notary/v2").code == 11
    for address in ("http://notary.example/v2", "ftp://127.0.0.1/"):
        assert person.invoke("credentials.check", "ci", "--notary", address).code == 2


def test_a_host_without_a_keyring_is_told_what_to_do(person: Person) -> None:
    """Neither keyring nor file: exit 10, and the key of release.toml that names a file."""
    refused = replace(person, file=None).invoke("credentials.store", "ci", "--stdin", stdin=person.as_json())
    assert refused.code == 10
    assert "[notary] credentials" in refused.err


def test_a_file_that_others_can_open_is_refused(person: Person) -> None:
    """Mode 0644 is exit 10, with the command that mends it; neither the key nor a file is touched."""
    file = person.keep()
    file.chmod(0o644)
    before = file.read_bytes()
    for words in (["credentials.check", "ci"], ["credentials.delete", "ci"]):
        refused = person.invoke(*words)
        assert refused.code == 10
        assert "chmod 600" in refused.err
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [["--stdin"], ["--stdin", "--issuer", "x"], ["--key", "gone.p8", "--issuer", "x", "--key-id", "y"], []],
    ids=["a p8 alone", "half of the options", "no such file", "no answers"],
)
def test_half_a_key_is_not_kept(person: Person, words: list[str]) -> None:
    """What is not enough is exit 2, and leaves no file."""
    stdin = person.key.read_text() if "--stdin" in words else ""
    assert person.invoke("credentials.store", "ci", *words, stdin=stdin).code == 2
    assert not (person.folder / "secrets").exists()


def test_a_key_on_the_command_line_is_refused_and_not_repeated(person: Person) -> None:
    """A PEM where its file's name belongs is exit 2; the message says what to do, and shows no line of it."""
    pem = person.key.read_text()
    refused = person.invoke("credentials.store", "ci", *person.options, "--key", pem)
    assert refused.code == 2
    assert "revoke the key" in refused.err
    assert not [line for line in pem.splitlines()[1:-1] if line in refused.err + refused.out]


def test_dry_keeps_and_forgets_nothing(person: Person) -> None:
    """`--dry` says where the key would be kept, and where it would be gone from."""
    would = person.invoke("--dry", "credentials.store", "ci", "--stdin", stdin=person.as_json())
    assert (would.code, "would be kept" in would.err) == (0, True)
    assert not (person.folder / "secrets").exists()
    person.keep()
    assert person.invoke("--dry", "credentials.delete", "ci").code == 0
    assert kept(person) == ["ci"]


def test_a_piped_key_is_nowhere_but_in_its_file(person: Person) -> None:
    """A build service's step holds the key in its environment: with --debug too it is on no screen, in one file."""
    pem = person.key.read_text()
    stored = person.invoke(
        "credentials.store", "ci", *person.options, "--stdin", "--debug", stdin=pem, more={"NOTARY_KEY": pem}
    )
    checked = person.invoke("credentials.check", "ci", "--debug", *person.notary, more={"NOTARY_KEY": pem})
    assert checked.code == 0
    line = pem.splitlines()[1]
    assert line not in stored.out + stored.err + checked.out + checked.err
    holders = [path for path in person.folder.rglob("*") if path.is_file() and line in path.read_text("latin-1")]
    assert sorted(os.path.relpath(path, person.folder) for path in holders) == [
        "rehearsal/keys/AuthKey.p8",
        "secrets/notary.json",
    ]
