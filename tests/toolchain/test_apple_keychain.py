"""keychain.create and keychain.delete through doubles: every step, every failure, and what was there before."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from builders.workshop import ROOT
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from doubles.bench import Bench, Fault

_TERMINATING = Path(__file__).parents[1] / "fakes" / "terminating.py"
_PASSWORD = 'open sesame "quoted" \\ and more'
# In the order of the recipe; the interactive ones are met inside of `security -i`.
STEPS = [
    ("create-keychain", 48, "security: SecKeychainCreate: A keychain with the same name already exists."),
    ("set-keychain-settings", 50, "security: SecKeychainOpen: The specified keychain could not be found."),
    ("show-keychain-info", 50, "security: SecKeychainOpen: The specified keychain could not be found."),
    ("unlock-keychain", 51, "security: SecKeychainUnlock: The user name or passphrase you entered is not correct."),
    (
        "import",
        1,
        "security: SecKeychainItemImport: MAC verification failed during PKCS12 import (wrong password?)",
    ),
    ("import", 1, "security: SecKeychainItemImport: Unable to decode the provided data."),
    ("set-key-partition-list", 51, "security: SecKeychainItemSetAccessWithPassword: The user name is not correct."),
    ("find-identity", 0, "     0 valid identities found"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody with doubles of `security` and `codesign`, a .p12 that holds a leaf alone, and a Mach-O file."""

    folder: Path
    bench: Bench

    @property
    def keychain(self) -> Path:
        return self.folder / "ci" / "release.keychain-db"

    def invoke(
        self, command: str, *words: str, password: str = _PASSWORD, lever: Path | None = None, at: str = ""
    ) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "invoke"] if lever is None else [sys.executable, str(lever)]
        place = ["--keychain", str(self.keychain), "--tools", str(self.bench.folder)]
        return subprocess.run(
            [*program, command, *words, *place],
            cwd=ROOT,
            input=password + "\n",
            env={**os.environ, "TERM_AT": at},
            capture_output=True,
            text=True,
            check=False,
        )

    def create(self, **more: Any) -> subprocess.CompletedProcess[str]:
        files = [
            "--p12",
            self.folder / "id.p12",
            "--certificate",
            self.folder / "ca.cer",
            "--trial",
            self.folder / "tool",
        ]
        return self.invoke("keychain.create", *map(str, files), **more)

    def state(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.bench.folder / "keychains.json").read_text())
        return document

    def demand_as_before(self) -> None:
        """Search list and default are those of the beginning, and nothing of the keychain is left."""
        login = str(self.bench.folder / "login.keychain-db")
        other = str(self.folder / "other.keychain-db")
        state = self.state()
        assert state["search"] == [other, login]
        assert state["default"] == login
        assert str(self.keychain) not in state["keychains"]
        assert not list(self.keychain.parent.glob("*")) if self.keychain.parent.exists() else True
        assert not list(self.keychain.parent.glob(".*")) if self.keychain.parent.exists() else True


@pytest.fixture
def user(tmp_path: Path, keys: Path, thins: Path) -> User:
    shutil.copytree(keys, tmp_path / "rehearsal" / "keys")
    shutil.copytree(keys.parent / "anchors", tmp_path / "rehearsal" / "anchors")
    bench = Bench.install(tmp_path / "tools", tmp_path / "rehearsal")
    pem = (keys / "developer-id.pem").read_bytes()
    chain = x509.load_pem_x509_certificates(pem)
    key = serialization.load_pem_private_key(pem[pem.index(b"-----BEGIN PRIVATE") :], None)
    locked = serialization.BestAvailableEncryption(_PASSWORD.encode())
    data = pkcs12.serialize_key_and_certificates(b"id", key, chain[0], None, locked)  # type: ignore[arg-type]
    (tmp_path / "id.p12").write_bytes(data)
    (tmp_path / "ca.cer").write_bytes(chain[1].public_bytes(serialization.Encoding.DER))
    shutil.copy(thins / "arm64", tmp_path / "tool")
    login = str(tmp_path / "tools" / "login.keychain-db")
    other = str(tmp_path / "other.keychain-db")
    empty = {"password": "x", "identities": [], "certificates": []}
    begun = {"search": [other, login], "default": login, "keychains": {login: empty, other: empty}}
    (tmp_path / "tools" / "keychains.json").write_text(json.dumps(begun))
    return User(folder=tmp_path, bench=bench)


def test_create_makes_a_keychain_that_codesign_can_use(user: User) -> None:
    """Unlocked, open to codesign, behind the user's own on the search list, and proved by a signature."""
    done = user.create()
    assert done.returncode == 0, done.stderr
    state = user.state()
    made = state["keychains"][str(user.keychain)]
    assert state["search"][-1] == str(user.keychain)
    assert state["default"] != str(user.keychain)
    assert (made["locked"], made["partitions"], made["timeout"]) == (False, True, 21600)
    assert len(made["identities"]) == 1
    assert len(made["certificates"]) == 3
    assert made["password"] not in ("", _PASSWORD)
    assert made["password"] not in done.stdout + done.stderr
    assert _PASSWORD not in done.stdout + done.stderr


def test_delete_leaves_everything_as_it_was(user: User) -> None:
    """After create and delete the search list and the default are those of before; deleting again is no error."""
    assert user.create().returncode == 0
    for _ in range(2):
        done = user.invoke("keychain.delete")
        assert done.returncode == 0, done.stderr
        user.demand_as_before()


@pytest.mark.parametrize(("step", "code", "text"), STEPS, ids=[f"{one[0]}-{one[2][-30:]}" for one in STEPS])
def test_a_failure_of_any_step_leaves_everything_as_it_was(user: User, step: str, code: int, text: str) -> None:
    """Whichever step of the recipe fails, it is a credentials error, and the user's keychains are as before."""
    user.bench.set(Fault(tool="security", words=(step,), exit=code, out=text + "\n"))
    done = user.create()
    assert done.returncode == 10, done.stderr
    user.bench.set()
    user.demand_as_before()


def test_a_wrong_password_is_said(user: User) -> None:
    """A .p12 that does not open is exit 10 with the remedy for OpenSSL 3's files, and nothing is left."""
    done = user.create(password="wrong")
    assert done.returncode == 10
    assert "-legacy" in done.stderr
    user.demand_as_before()


@pytest.mark.parametrize(
    ("levers", "words"),
    [
        ({"settings-ignored": True}, "locks by itself too soon"),
        ({"no-preferences": True}, "search list is"),
    ],
)
def test_what_security_did_not_do_is_read_back(user: User, levers: dict[str, object], words: str) -> None:
    """Commands that exit 0 and did nothing are caught by reading back."""
    user.bench.set(**levers)
    done = user.create()
    assert done.returncode == 10
    assert words in done.stderr
    user.demand_as_before()


def test_an_identity_that_codesign_cannot_use_is_refused(user: User) -> None:
    """find-identity calls it valid; the trial signature fails, because the intermediate is missing."""
    done = user.invoke("keychain.create", "--p12", str(user.folder / "id.p12"), "--trial", str(user.folder / "tool"))
    assert done.returncode == 10
    assert "unable to build chain" in done.stderr
    user.demand_as_before()


@pytest.mark.parametrize("at", ["set-keychain-settings", "show-keychain-info", "import", "find-identity", "codesign"])
def test_terminated_in_the_middle_leaves_everything_as_it_was(user: User, at: str) -> None:
    """SIGTERM at any step is 143, with the search list and the default as before."""
    done = user.create(lever=_TERMINATING, at=at)
    assert done.returncode == 143, done.stderr
    user.demand_as_before()


def test_what_a_kill_left_is_taken_away_first(user: User) -> None:
    """A keychain of a run that was killed does not stand in the way, and the list of before it is remembered."""
    assert user.create().returncode == 0
    done = user.create()
    assert done.returncode == 0, done.stderr
    assert user.state()["search"].count(str(user.keychain)) == 1
    assert user.invoke("keychain.delete").returncode == 0
    user.demand_as_before()


def test_off_a_mac_there_are_no_keychains() -> None:
    """Without macOS and without doubles the command says that it cannot be."""
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "keychain.delete"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == (0 if sys.platform == "darwin" else 2)
