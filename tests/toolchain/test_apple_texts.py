"""Every text with which Apple's tools are known to refuse, printed by a double and read by the code of a release.

The texts are those of public runs, word for word; beside each stands what a release says of it: the exit code, whether
the same call is made again, and which entry of the table of meanings it is. `docs/apple-errors.md` is that table.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from builders.hosts import host_with
from builders.refusals import REFUSALS
from doubles.bench import Bench, Fault

from pipeline import notary
from pipeline.errors import ReleaseError, ServiceUnavailable
from pipeline.explain import Explanation, Retry, known
from pipeline.host import Completed
from pipeline.toolchain.apple import Tools, codesign, ditto, gatekeeper, identities, lipo, stapler, xattr

_ONCE_MORE = (timedelta(seconds=2),)
_SIGNING = codesign.Signing(identity="AB" * 20, identifier="com.example.tool", entitlements=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Doubles, and what their tools are asked to look at: nothing is there but what fails."""

    folder: Path
    bench: Bench
    patience: timedelta = timedelta(minutes=1)
    runs: list[dict[str, object]] = field(default_factory=list)

    @property
    def tools(self) -> Tools:
        tools = Tools(
            host=host_with(), folder=self.bench.folder, record=lambda _event, **facts: self.runs.append(facts)
        )
        return replace(tools, limits=dict.fromkeys(tools.limits, self.patience))

    def notarytool(self, *words: str | Path, timeout: timedelta) -> Completed:
        assert timedelta(0) < timeout < timedelta(hours=1)
        return self.tools.run("xcrun", "notarytool", *words, timeout=self.patience)

    @property
    def notary(self) -> notary.NotaryTool:
        return notary.NotaryTool(self.notarytool, notary.KeychainProfile(name="ci"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "X.app").mkdir()
    for name in ("tool", "x.zip", "thin"):
        (folder / name).write_bytes(b"x")
    Bench.install(folder / "tools", folder / "no rehearsal")
    return folder


@pytest.fixture
def stage(folder: Path) -> Stage:
    return Stage(folder=folder, bench=Bench(folder=folder / "tools"))


CALLS: dict[str, tuple[str, tuple[str, ...], Callable[[Stage], object]]] = {
    "sign": (
        "codesign",
        ("--sign",),
        lambda s: codesign.sign(s.tools, s.folder / "tool", _SIGNING, _ONCE_MORE, "tool"),
    ),
    "verify": ("codesign", ("--verify",), lambda s: codesign.verify(s.tools, s.folder / "tool", ("arm64",), "tool")),
    "display": ("codesign", ("-d",), lambda s: codesign.display(s.tools, s.folder / "tool", "arm64", "tool")),
    "notarized": (
        "codesign",
        ("-R=notarized",),
        lambda s: codesign.verify_notarized(s.tools, s.folder / "tool", "tool"),
    ),
    "staple": ("stapler", ("staple",), lambda s: stapler.staple(s.tools, s.folder / "X.app", _ONCE_MORE, "X.app")),
    "staple a tool": ("stapler", ("staple",), lambda s: stapler.staple(s.tools, s.folder / "tool", (), "tool")),
    "validate": ("stapler", ("validate",), lambda s: stapler.validate(s.tools, s.folder / "X.app", "X.app")),
    "assess": ("spctl", (), lambda s: gatekeeper.assess(s.tools, s.folder / "X.app", "X.app")),
    "identities": ("security", ("find-identity",), lambda s: identities.find_identities(s.tools)),
    "lipo": ("lipo", ("-create",), lambda s: lipo.create(s.tools, [s.folder / "thin"], s.folder / "out", "out")),
    "archs": ("lipo", ("-archs",), lambda s: lipo.archs(s.tools, s.folder / "thin", "thin")),
    "ditto": ("ditto", (), lambda s: ditto.unpack(s.tools, s.folder / "x.zip", s.folder / "unpacked")),
    "xattr": ("xattr", (), lambda s: xattr.clear(s.tools, s.folder / "X.app", "X.app")),
    "submit": ("notarytool", ("submit",), lambda s: s.notary.submit(s.folder / "x.zip")),
    "info": ("notarytool", ("info",), lambda s: s.notary.status("2efe2717-52ef-43a5-96dc-0797e4ca1041")),
    "log": ("notarytool", ("log",), lambda s: s.notary.log("2efe2717-52ef-43a5-96dc-0797e4ca1041")),
    "history": ("notarytool", ("history",), lambda s: s.notary.submissions()),
}


def entry_of(says: str) -> Explanation:
    (entry,) = [one for one in known() if one.says == says and one.tool != "notary"]
    return entry


@pytest.mark.parametrize(
    ("call", "status", "text", "code", "again", "says"),
    REFUSALS,
    ids=[f"{one[0]}-{one[1]}-{one[2][:40]}" for one in REFUSALS],
)
def test_every_known_refusal_is_told(
    stage: Stage, call: str, status: int, text: str, code: int, again: bool, says: str
) -> None:
    """Its own exit code, its own meaning and remedy, its own words; the call is made again only where that helps."""
    tool, words, ask = CALLS[call]
    printed = text + "\n" if text else ""
    # What is asked for goes to standard output, complaints to the other one.
    fault = Fault(tool=tool, words=words, exit=status, out=printed) if status == 0 else None
    stage.bench.set(fault or Fault(tool=tool, words=words, exit=status, err=printed))
    with pytest.raises(ReleaseError) as caught:
        ask(stage)
    error = caught.value
    assert error.exit_code == code
    if tool == "notarytool":
        assert isinstance(error, ServiceUnavailable) == again
    else:
        assert len(stage.runs) == (2 if again else 1)
    if says:
        entry = entry_of(says)
        assert entry.meaning in error.message
        assert error.remedy == entry.remedy
    if text and call != "staple a tool":
        assert text.splitlines()[-1] in str(error)


def test_what_xattr_cannot_remove_is_left_to_codesign(stage: Stage) -> None:
    """com.apple.provenance stays, and of files that their owner may not write xattr says so: no reason to stop."""
    lines = ["xattr: [Errno 13] Permission denied: 'X.app/a'", "xattr: [Errno 1] Operation not permitted: 'X.app/b'"]
    stage.bench.set(Fault(tool="xattr", exit=1, err="\n".join(lines) + "\n"))
    xattr.clear(stage.tools, stage.folder / "X.app", "X.app")
    assert [run["words"] for run in stage.runs] == ["\n".join(lines)]


def test_every_entry_of_the_table_is_exercised() -> None:
    """No meaning stands in the table that no double has made a release tell, but for those that say: all is well."""
    elsewhere = {"notary", "macOS", "xattr"}  # the notary's log, AMFI, and what stops nothing
    told = {one[5] for one in REFUSALS}
    left = {one.says for one in known() if one.tool not in elsewhere and one.says not in told}
    assert left == {
        "source=Notarized Developer ID",
        "The staple and validate action worked!",
        "replacing existing signature",
    }
    assert {one.retry for one in known() if one.says in left} == {Retry.NEEDLESS}


@pytest.mark.parametrize(
    ("call", "code", "remedy"),
    [
        ("sign", 11, "prompt that nobody sees"),
        ("verify", 11, "prompt that nobody sees"),
        ("staple", 11, "api.apple-cloudkit.com"),
        ("assess", 11, "Apple's servers"),
        ("identities", 10, "prompt that nobody sees"),
        ("lipo", 4, ""),
        ("ditto", 9, ""),
        ("xattr", 4, ""),
        ("submit", 11, ""),
    ],
)
def test_a_tool_that_hangs_is_killed_with_its_children(stage: Stage, call: str, code: int, remedy: str) -> None:
    """After its time nothing of it runs, and the message says so and what such a tool mostly waits for."""
    tool, words, ask = CALLS[call]
    held = stage.bench.folder / "held"
    os.mkfifo(held)
    reading = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    stage.bench.set(Fault(tool=tool, words=words, hangs=True, err="begun\n"))
    try:
        with pytest.raises(
            ReleaseError, match="did not end in time and was stopped, with all that it had started"
        ) as caught:
            ask(replace(stage, patience=timedelta(seconds=1)))
        assert select.select([reading], [], [], 30)[0]
        assert os.read(reading, 1) == b""
    finally:
        os.close(reading)
        held.unlink()
    assert caught.value.exit_code == code
    assert remedy in (caught.value.remedy or "")
    assert len(stage.runs) == 1
    assert stage.runs[0]["timed_out"] is True


def test_every_tool_has_a_limit(stage: Stage) -> None:
    """No call waits without end, and none for longer than ten minutes unless it says so itself."""
    limits = Tools(host=host_with(), folder=None, record=lambda *_a, **_k: None).limits
    assert {"codesign", "lipo", "ditto", "xcrun", "spctl", "security", "xattr"} <= set(limits)
    assert max(limits.values()) == timedelta(minutes=10)
