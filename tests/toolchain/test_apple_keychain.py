"""keychain.create and keychain.delete through doubles: every step, every failure, and what was there before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from builders.hosts import Terminal, host_with
from builders.keychain_user import PASSWORD, User
from builders.workshop import ROOT
from doubles.bench import Fault

from pipeline.errors import CredentialsError, ReleaseError, ServiceUnavailable

_SIGNALLED = Path(__file__).parents[1] / "fakes" / "signalled_keychain.py"
_SAID = "security: SecKeychain: something went wrong.\n"
# Every call of the recipe that can fail: its tool and a word of it, and which of the calls with that word it is.
STEPS = [
    ("security", "default-keychain", 1),
    ("security", "list-keychains", 1),
    ("security", "create-keychain", 1),
    ("security", "set-keychain-settings", 1),
    ("security", "unlock-keychain", 1),
    ("security", "show-keychain-info", 1),
    ("security", "import", 1),
    ("security", "import", 2),
    ("security", "set-key-partition-list", 1),
    ("security", "list-keychains", 2),
    ("security", "-s", 2),
    ("security", "list-keychains", 4),
    ("security", "find-identity", 1),
    ("codesign", "--sign", 1),
]
# What says nothing and does nothing, and what notices.
SILENT = [
    ("create-keychain", 1, "no keychain was made"),
    ("set-keychain-settings", 1, "locks by itself too soon"),
    ("import", 1, "no such identity"),
    ("import", 2, "unable to build chain"),
    ("set-key-partition-list", 1, "errSecInternalComponent"),
    ("-s", 2, "search list is"),
    ("find-identity", 1, "not understood"),
]


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory, keys: Path, thins: Path, program: str) -> User:
    return User.settle(tmp_path_factory.mktemp("user"), keys, thins / "arm64", program)


@pytest.fixture
def user(settled: User, program: str) -> User:
    settled.bench.equip(program)
    settled.begin()
    return settled


def invoke(user: User, command: str, *words: str, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    place = ["--keychain", str(user.keychain), "--tools", str(user.bench.folder)]
    return subprocess.run(
        [sys.executable, "-m", "invoke", command, *words, *place],
        cwd=ROOT,
        input=password + "\n",
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_commands_make_a_keychain_that_codesign_can_use_and_take_it_away(user: User) -> None:
    """Unlocked, open to codesign, behind the user's own on the search list; afterwards everything is as before."""
    files = {"p12": "id.p12", "certificate": "ca.cer", "trial": "tool"}
    words = [word for option, name in files.items() for word in (f"--{option}", str(user.folder / name))]
    wrong = invoke(user, "keychain.create", *words, password="wrong")
    assert wrong.returncode == 10
    assert "-legacy" in wrong.stderr
    assert user.changed() == []
    done = invoke(user, "keychain.create", *words)
    assert done.returncode == 0, done.stderr
    state = user.state()
    made = state["keychains"][str(user.keychain)]
    assert state["search"] == [*user.own["search"], str(user.keychain)]
    assert state["default"] == user.own["default"]
    assert (made["locked"], made["partitions"], made["timeout"]) == (False, True, 21600)
    assert len(made["identities"]) == 1
    assert len(made["certificates"]) == 3
    for _ in range(2):
        done = invoke(user, "keychain.delete")
        assert done.returncode == 0, done.stderr
        assert user.changed() == []


@pytest.mark.parametrize(("tool", "word", "at"), STEPS, ids=[" ".join(map(str, one)) for one in STEPS])
def test_a_failure_of_any_step_leaves_everything_as_it_was(user: User, tool: str, word: str, at: int) -> None:
    """Whichever call of the recipe fails, it is a credentials error, and the user's keychains are as before."""
    user.bench.set(Fault(tool=tool, words=(word,), at=at, times=1, out=_SAID if tool == "security" else "", exit=1))
    if word == "default-keychain":
        user.make(host_with())  # nobody has to have a default
        user.keychain_for(host_with()).delete()
        assert user.state()["search"] == user.own["search"]
        return
    with pytest.raises(ReleaseError) as caught:
        user.make(host_with())
    assert caught.value.exit_code == (10 if tool == "security" else 4)
    assert user.changed() == []


@pytest.mark.parametrize(("word", "at", "words"), SILENT, ids=[f"{one[0]} {one[1]}" for one in SILENT])
def test_what_security_did_not_do_is_read_back(user: User, word: str, at: int, words: str) -> None:
    """Every command that exits 0, says nothing and did nothing is caught, and nothing is left."""
    user.bench.set(Fault(tool="security", words=(word,), at=at, times=1, exit=0))
    with pytest.raises(CredentialsError, match=words):
        user.make(host_with())
    assert user.changed() == []


def test_a_keychain_that_stays_locked_is_caught(user: User) -> None:
    """Of a locked keychain `show-keychain-info` tells nothing, whatever unlock-keychain exits with."""
    user.bench.set(Fault(tool="security", words=("unlock-keychain",), exit=0), locks=True)
    with pytest.raises(CredentialsError, match="prompt"):
        user.make(host_with())
    assert user.changed() == []


def test_a_keychain_that_never_locks_will_do(user: User) -> None:
    """`no-timeout` stands where the seconds do; a time that is told and too short, or no time at all, is refused."""
    told = Fault(tool="security", words=("show-keychain-info",), exit=0, out=f'Keychain "{user.keychain}" no-timeout\n')
    user.bench.set(told)
    user.make(host_with())
    for said in ("lock-on-sleep timeout=21599s", "lock-on-sleep"):
        user.bench.set(replace(told, out=f'Keychain "{user.keychain}" {said}\n'))
        with pytest.raises(CredentialsError, match="locks by itself too soon"):
            user.make(host_with())


def test_the_users_own_identities_are_not_looked_at(user: User) -> None:
    """One in the login keychain is neither in the way of the new keychain's own, nor taken in its place."""
    another = (user.folder / "rehearsal" / "keys" / "timestamp.pem").read_text()
    state = user.state()
    state["keychains"][state["default"]]["identities"] = [{"pem": another, "name": "Developer ID Application: Another"}]
    (user.bench.folder / "keychains.json").write_text(json.dumps(state))
    made = user.make(host_with())
    (held,) = user.state()["keychains"][str(user.keychain)]["identities"]
    assert made.name == held["name"] != "Developer ID Application: Another"


def test_dry_makes_and_removes_nothing(user: User) -> None:
    """Both verbs say what they would do; no tool is run."""
    before = user.state()
    assert "would make" in invoke(user, "--dry", "keychain.create", "--p12", str(user.folder / "id.p12")).stdout
    assert "would remove" in invoke(user, "--dry", "keychain.delete").stdout
    assert user.state() == before


def test_an_identity_that_codesign_cannot_use_is_refused(user: User) -> None:
    """find-identity calls it valid; the trial signature fails, because the intermediate is missing."""
    with pytest.raises(CredentialsError, match="unable to build chain"):
        user.make(host_with(), intermediate=False)
    assert user.changed() == []


def test_a_trial_that_never_ends_is_a_prompt(user: User) -> None:
    """A codesign that waits for a click that nobody makes is killed, told as such, and everything is as before."""
    user.bench.set(Fault(tool="codesign", words=("--sign",), hangs=True))
    with pytest.raises(ServiceUnavailable, match="prompt that nobody sees"):
        user.make(host_with(), patience=timedelta(seconds=1))
    assert user.changed() == []


def test_a_keychain_that_macos_lists_as_it_is_made_is_listed_once(user: User) -> None:
    """Older macOS puts a new keychain on the search list by itself, and makes it the default where there is none."""
    user.begin(default=False)
    user.bench.set(**{"creating-lists": True})
    user.make(host_with())
    assert user.state()["search"] == [*user.own["search"], str(user.keychain)]
    user.keychain_for(host_with()).delete()
    assert user.changed() == ["default"]
    assert user.state()["default"] is None


def test_what_a_kill_left_is_taken_away_first(user: User) -> None:
    """A keychain of a run that was killed does not stand in the way, and the list of before it is remembered."""
    user.make(host_with())
    user.make(host_with())
    assert user.state()["search"].count(str(user.keychain)) == 1
    user.keychain_for(host_with()).delete()
    assert user.changed() == []


def test_a_restoration_that_failed_is_completed_by_the_next(user: User) -> None:
    """Where search list or keychain cannot be restored it is said, the rest is, and `delete` does it later."""
    for word in ("-s", "delete-keychain"):
        user.make(host_with())
        user.bench.set(Fault(tool="security", words=(word,), times=1, out=_SAID))
        with pytest.raises(CredentialsError):
            user.keychain_for(host_with()).delete()
        assert user.changed() != []
        user.keychain_for(host_with()).delete()
        assert user.changed() == []


def test_the_first_memory_counts_where_only_the_keychain_is_gone(user: User) -> None:
    """The keychain was removed and the default not restored: the next one that is made remembers what was before."""
    user.make(host_with())
    (user.bench.folder / "keychains.json").write_text(json.dumps(user.state() | {"default": str(user.keychain)}))
    user.bench.set(Fault(tool="security", words=("default-keychain", "-s"), times=1, out=_SAID, exit=1))
    with pytest.raises(CredentialsError):
        user.keychain_for(host_with()).delete()
    assert not user.keychain.exists()
    assert user.state()["default"] is None
    user.bench.set()
    user.make(host_with())
    user.keychain_for(host_with()).delete()
    assert user.changed() == []


@pytest.mark.parametrize("left", ["", "{", "[]", '{"search": [1], "default": null}', '{"search": [], "default": 1}'])
def test_a_memory_that_cannot_be_read_is_not_guessed_at(user: User, left: str) -> None:
    """The keychains of before are named in a file that something damaged: exit 2, and nothing is changed."""
    user.make(host_with())
    [memory] = user.keychain.parent.glob("*before.json")
    memory.write_text(left)
    before = user.state()
    ran = invoke(user, "keychain.delete")
    assert ran.returncode == 2, ran.stderr
    assert f"{memory}: does not say which keychains" in ran.stderr
    assert user.state() == before


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGKILL", -9)])
def test_a_signal_at_any_step_leaves_everything_as_it_was(user: User, name: str, code: int) -> None:
    """As each process of the recipe starts: SIGTERM restores at once, and what SIGKILL left `delete` takes away."""
    argv = [sys.executable, str(_SIGNALLED), name, str(user.folder)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    *steps, last = map(json.loads, done.stdout.splitlines())
    assert (last["at"], last["code"]) == ("", 0)
    assert len(steps) == len(STEPS)
    assert {word for step in steps for word in step["at"].split()} >= {
        one for _tool, one, _at in STEPS if one not in ("create-keychain", "unlock-keychain", "set-key-partition-list")
    }
    assert [(step["code"], step["changed"]) for step in steps] == [(code, [])] * len(steps)


def test_no_secret_leaves_the_standard_input(user: User) -> None:
    """Neither password is in an argv, an environment, a file, a message or a log line, whichever step fails."""
    user.bench.equip()  # each in a process of its own, with the environment that it was given
    terminal = Terminal()
    host = host_with(terminal=terminal)
    secrets = {PASSWORD}
    said: list[str] = []
    for fault in (None, "import", "set-key-partition-list", "find-identity"):
        user.begin()
        faults = [Fault(tool="security", words=(fault,), out=_SAID, works=True)] if fault else []
        user.bench.set(*faults, spied=True)
        try:
            user.make(host)
            secrets.add(user.state()["keychains"][str(user.keychain)]["password"])
        except ReleaseError as error:
            said.append(f"{error} {error!r}")
    assert len(secrets) == 2
    assert len(said) == 3
    spied = (user.bench.folder / "spied").read_text()
    assert "-i" in spied
    known = {user.bench.folder / "keychains.json"}  # the double's own memory
    texts = [path.read_bytes() for path in user.folder.rglob("*") if path.is_file() and path not in known]
    texts += [terminal.text().encode(), *(one.encode() for one in said)]
    for secret in secrets:
        forms = {secret, json.dumps(secret)[1:-1], secret.replace("\\", "\\\\").replace('"', '\\"')}
        assert not [text for text in texts for form in forms if form.encode() in text]


def test_off_a_mac_there_are_no_keychains() -> None:
    """Without macOS and without doubles the command says that it cannot be."""
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "keychain.delete"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == (0 if sys.platform == "darwin" else 2)
