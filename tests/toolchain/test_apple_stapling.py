"""stapler, spctl and the start of each slice through their doubles: what may be stapled, what counts as success."""

from __future__ import annotations

import hashlib
import plistlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from builders.apple_host import REQUEST, Mac
from doubles.bench import Fault

from pipeline.disk.archive import write_zip
from pipeline.errors import ReleaseError, StapleError, VerificationError
from pipeline.host import Completed
from pipeline.model import NotaryMode, Slice
from pipeline.toolchain import ArchiveToNotarize, NotStapleable
from pipeline.toolchain.apple import stapler

TICKET = "Contents/CodeResources"


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    path: Path
    cdhashes: list[str]
    ticket: bytes


@pytest.fixture
def app(mac: Mac, thins: Path, signed: Path) -> App:
    """An app and a bare tool that the rehearsal's notary has accepted."""
    bundle = mac.folder / "unsigned" / "X.app"
    (bundle / "Contents" / "MacOS").mkdir(parents=True)
    (bundle / "Contents" / "MacOS" / "X").write_bytes((thins / "arm64").read_bytes())
    (bundle / "Contents" / "MacOS" / "X").chmod(0o755)
    information = {"CFBundleExecutable": "X", "CFBundleIdentifier": "com.example.tool", "CFBundlePackageType": "APPL"}
    (bundle / "Contents" / "Info.plist").write_bytes(plistlib.dumps(information))
    engine = mac.engine
    slices = engine.sign_bundle(bundle, mac.folder / "X.app", REQUEST)
    archive = mac.folder / "X.zip"
    write_zip(mac.host.files, archive, {"X.app": mac.folder / "X.app", "tool": signed}, 1_800_000_000)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    engine.notarize(
        [ArchiveToNotarize(path=archive, sha256=digest, size=archive.stat().st_size)],
        mac.folder / "notary",
        wait=timedelta(minutes=1),
        mode=NotaryMode.PARALLEL,
        event=lambda *_words, **_facts: None,
    )
    cdhashes = [one.cdhash for one in slices]
    return App(path=mac.folder / "X.app", cdhashes=cdhashes, ticket=engine.tickets(cdhashes)[cdhashes[0]])


def test_an_app_gets_its_ticket(mac: Mac, app: App) -> None:
    """What stapler fetched is the ticket of the ticket service, it reads back, and Gatekeeper says so."""
    toolchain = mac.toolchain()
    toolchain.staple(app.path, app.ticket, app.cdhashes)
    assert (app.path / TICKET).read_bytes() == app.ticket
    assert mac.calls("stapler", "validate") == 2
    one = Slice(arch="arm64", cdhash=app.cdhashes[0], identifier="", team=None, flags=())
    tried = toolchain.try_out(app.path, [one], "26.1121.0615")
    assert tried.said == {
        "gatekeeper": "Notarized Developer ID",
        "arm64": "runs, and tells no version (exit 0)",
    }
    assert tried.not_run == ()


def test_a_refusal_of_stapler_keeps_the_old_ticket(mac: Mac, app: App) -> None:
    """Whatever stapler ends with on an app is exit 8, and the ticket that was there is there byte for byte."""
    (app.path / TICKET).write_bytes(b"the old ticket")
    late = 'CloudKit query for X.app (2/12a6) failed due to "Record not found".\n'
    unwritable = "The staple and validate action failed! Error 73.\n"
    for code, text, tries, works in ((65, late, 6, False), (73, unwritable, 1, True), (0, "", 1, False)):
        mac.events.clear()
        mac.bench.set(Fault(tool="stapler", words=("staple",), exit=code, out=text, works=works))
        with pytest.raises(StapleError) as caught:
            mac.toolchain().staple(app.path, app.ticket, app.cdhashes)
        assert not isinstance(caught.value, NotStapleable)
        assert caught.value.exit_code == 8
        assert mac.calls("stapler", "staple") == tries
        assert (app.path / TICKET).read_bytes() == b"the old ticket"


def test_a_stapler_that_takes_the_old_ticket_away_and_fails(mac: Mac, app: App) -> None:
    """Error 73 after the old ticket was removed costs the copy its ticket, not the app."""
    (app.path / TICKET).write_bytes(b"the old ticket")
    mac.bench.set(**{"stapler-cannot-write": True})
    with pytest.raises(StapleError, match="73"):
        mac.toolchain().staple(app.path, app.ticket, app.cdhashes)
    assert (app.path / TICKET).read_bytes() == b"the old ticket"


def test_a_ticket_of_other_code_is_not_taken(mac: Mac, app: App) -> None:
    """What stapler left is held against the CDHashes: a ticket that does not name them is not stapled."""
    with pytest.raises(StapleError):
        mac.toolchain().staple(app.path, app.ticket, ["ab" * 20])
    assert not (app.path / TICKET).exists()


@pytest.mark.parametrize(("generation", "code"), [("old", 73), ("2026", 66)])
def test_a_bare_tool_is_not_stapleable(mac: Mac, signed: Path, generation: str, code: int) -> None:
    """Both generations' numbers mean the same of a bare tool: this kind of file cannot be stapled."""
    mac.bench.set(stapler=generation)
    with pytest.raises(NotStapleable, match=str(code)):
        mac.toolchain().staple(signed, b"", [])


@pytest.mark.parametrize("code", [66, 73])
def test_the_same_numbers_mean_failure_on_a_bundle(code: int) -> None:
    """The classifier tells a bare tool from a bundle by the file, never by the number."""
    completed = Completed(argv=("stapler",), returncode=code, stdout=b"Processing: x\n", stderr=b"")
    bare = stapler.verdict(completed, stapler.STAPLED, "x", bare=True)
    bundle = stapler.verdict(completed, stapler.STAPLED, "x", bare=False)
    assert bare is not None
    assert bundle is not None
    assert isinstance(bare.error, NotStapleable)
    assert type(bundle.error) is StapleError


def test_only_gatekeepers_own_words_count(mac: Mac, app: App) -> None:
    """Accepted means: exit 0, the verdict's line, and `Notarized Developer ID`; anything less is refused."""
    for code, text, words in (
        (0, "X.app: accepted\nsource=Developer ID\n", "does not say"),
        (0, "X.app: accepted\n", "does not say"),
        (0, "X.app: rejected\nsource=Notarized Developer ID\n", "does not say"),
        (0, "", "does not say"),
        (1, "X.app: accepted\nsource=Notarized Developer ID\n", "exited 1"),
        (0, "override=security disabled\n", "does not say"),
    ):
        mac.bench.set(Fault(tool="spctl", exit=code, err=text))
        with pytest.raises(VerificationError, match=words):
            mac.toolchain().try_out(app.path, [], "26.1121.0615")


def test_a_bare_tool_is_judged_by_its_ticket(mac: Mac, app: App, signed: Path) -> None:
    """codesign's requirement `notarized` is satisfied by a tool with a ticket; spctl is never asked of it."""
    found = mac.toolchain().try_out(signed, [], "26.1121.0615")
    assert found.said == {"gatekeeper": "satisfies the requirement `notarized`"}
    assert mac.calls("spctl") == 0


def test_a_bare_tool_without_a_ticket_is_refused(mac: Mac, signed: Path) -> None:
    """Exit 3 of codesign means that the system knows no ticket."""
    with pytest.raises(VerificationError, match="knows no ticket"):
        mac.toolchain().try_out(signed, [], "26.1121.0615")


@pytest.mark.parametrize(
    ("levers", "fault", "expected"),
    [
        ({"version": "26.1121.0615"}, None, "runs: 26.1121.0615"),
        ({"version": "tool 26.1121.0615 (release)"}, None, "runs: 26.1121.0615"),
        ({"version": "26.1120.0615"}, None, VerificationError),
        ({"version": "Lua 5.4.7"}, None, "runs, and tells no version (exit 0)"),
        ({"cannot-run": ["arm64"]}, None, "not run"),
        ({}, Fault(tool="arch", exit=137, err="zsh: killed\n"), VerificationError),
        ({}, Fault(tool="arch", exit=64, err="unknown option --version\n"), "runs, and tells no version (exit 64)"),
    ],
)
def test_each_slice_is_started(
    mac: Mac, app: App, levers: dict[str, object], fault: Fault | None, expected: str | type[ReleaseError]
) -> None:
    """A slice tells the release's version, tells none, or is not run; another version and a kill are failures."""
    mac.bench.set(*([fault] if fault else []), **levers)
    one = Slice(arch="arm64", cdhash=app.cdhashes[0], identifier="", team=None, flags=())
    (app.path / TICKET).write_bytes(app.ticket)
    if isinstance(expected, str):
        tried = mac.toolchain().try_out(app.path, [one], "26.1121.0615")
        assert tried.said["arm64"].startswith(expected)
        assert bool(tried.not_run) == (expected == "not run")
    else:
        with pytest.raises(expected):
            mac.toolchain().try_out(app.path, [one], "26.1121.0615")
