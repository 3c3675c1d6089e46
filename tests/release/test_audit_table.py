"""The table of tampering: every kind of file in a release changed, removed, added, swapped with another release's."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders.workshop import VERSION, Workshop

from pipeline.audit import audit
from pipeline.errors import VerificationError
from pipeline.host import system_host
from pipeline.journal import verify_chain

LATER = "26.1121.0620"
KINDS = {
    "thin": "arm64/meshagent",
    "DEBUG thin": "x86_64/DEBUG_meshagent",
    "universal": "universal/meshagent",
    "DEBUG universal": "universal/DEBUG_meshagent",
    "app's code": "universal/meshagent.app/Contents/MacOS/meshagent",
    "app's plist": "universal/meshagent.app/Contents/Info.plist",
    "app's PkgInfo": "universal/meshagent.app/Contents/PkgInfo",
    "app's seal": "universal/meshagent.app/Contents/_CodeSignature/CodeResources",
    "app's ticket": "universal/meshagent.app/Contents/CodeResources",
    "ticket": "universal/meshagent.ticket",
    "archive": "archives/meshagent-{version}-rehearsal.zip",
    "distribution": "dist/meshagent-{version}-macos-universal-rehearsal.zip",
    "sums": "dist/SHA256SUMS",
    "launchd job": "launchd/custom/acmemesh.plist",
    "unsigned": "unsigned/arm64/meshagent",
    "unsigned DEBUG": "unsigned/x86_64/DEBUG_meshagent",
    "build record": "unsigned/x86_64/build.json",
    "manifest": "release.json",
    "earlier manifest": f"history/{VERSION}.json",
    "log": "audit.jsonl",
    "provenance": "provenance.json",
    "submission": "notary/{archive}.json",
    "notary's log": "notary/{archive}.log.json",
}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, carrying: Workshop) -> tuple[Workshop, Workshop]:
    """Two versions by the same hands, each file of which holds in its own place; the later knows the earlier."""
    later = carrying.copy(tmp_path_factory.mktemp("later") / "a checkout")
    for arch in ("x86_64", "arm64"):
        folder = later.folder / "source" / "prebuilt" / arch
        tool, debug = (folder / "tool").read_bytes(), (folder / "DEBUG_tool").read_bytes()
        (folder / "tool").write_bytes(debug)
        (folder / "DEBUG_tool").write_bytes(tool)
    text = later.configuration.read_text().replace("Mesh Agent", "Another Agent").replace("/opt/acme", "/opt/other")
    later.configuration.write_text(text)
    later.commit("2026-11-21T06:20:00+00:00")
    ran = later.invoke("release")
    assert ran.code == 0, ran.err
    return carrying, later


@pytest.fixture
def later(both: tuple[Workshop, Workshop], tmp_path: Path) -> Workshop:
    """A copy of the later release, to be changed."""
    return both[1].copy(tmp_path / "a later checkout")


def path_of(workshop: Workshop, kind: str) -> str:
    document = workshop.manifest()
    archive = next(one["sha256"] for one in document["artifacts"] if one["kind"] == "archive")
    return KINDS[kind].format(version=document["version"], archive=archive)


def place(path: str) -> str:
    """What the finding has to name: of something in a bundle, the bundle; of an earlier manifest, its version."""
    return VERSION if path.startswith("history/") else path.partition("/Contents")[0]


def findings(folder: Path) -> str:
    with pytest.raises(VerificationError) as caught:
        audit(system_host(), folder)
    assert caught.value.exit_code == 9
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_changed_removed_and_swapped(both: tuple[Workshop, Workshop], later: Workshop, kind: str) -> None:
    """A bit changed at the beginning, in the middle, at the end; the file gone; the earlier version's in its place."""
    name = path_of(later, kind)
    path = later.outputs / name
    data, mode = path.read_bytes(), path.stat().st_mode
    for position in (0, len(data) // 2, len(data) - 1):
        changed = bytearray(data)
        changed[position] ^= 0x04
        path.write_bytes(changed)
        assert place(name) in findings(later.outputs)
    path.unlink()
    assert place(name) in findings(later.outputs)
    foreign = data if kind == "earlier manifest" else (both[0].outputs / path_of(both[0], kind)).read_bytes()
    path.write_bytes(foreign)
    if kind in ("app's PkgInfo", "app's seal", "earlier manifest"):
        # PkgInfo is the same in every app, and all that the seal of these two names.
        assert foreign == data
    else:
        # A log cut to an earlier release's end is whole; what it does not go with is this manifest.
        assert any(one in findings(later.outputs) for one in (place(name), "audit.jsonl"))
    path.write_bytes(data)
    path.chmod(mode)
    assert audit(system_host(), later.outputs).version == LATER


@pytest.mark.parametrize(
    "name",
    [
        *(f"{folder}/added" for folder in ("unsigned/arm64", "x86_64", "arm64", "universal", "archives", "dist")),
        "launchd/custom/added.plist",
        "universal/meshagent.app/Contents/added",
        "universal/meshagent.app/Contents/Resources/added",
        "history/added.json",
        "history/added.txt",
        "notary/added.json",
        f"notary/{'0' * 64}.json",
        f"notary/{'0' * 64}.log.json",
        "provenance.intoto.jsonl",
        "added",
        "i386/meshagent",
    ],
)
def test_an_added_file_is_a_stranger(later: Workshop, name: str) -> None:
    """A file that nothing in manifest and log tells of is named, wherever in the folder it was put."""
    (later.outputs / name).parent.mkdir(parents=True, exist_ok=True)
    (later.outputs / name).write_bytes(b"\xcf\xfa\xed\xfe")
    wanted = "i386" if name.startswith("i386") else name.partition("/Contents")[0]
    assert wanted in findings(later.outputs)


@pytest.mark.parametrize(
    "name", ["audit.jsonl", "release.json", "history", "notary", "provenance.json", "dist", "arm64"]
)
def test_a_link_in_a_files_place_is_found(later: Workshop, name: str) -> None:
    """The same bytes elsewhere are not what lies here."""
    moved = later.folder / "moved away"
    (later.outputs / name).rename(moved)
    (later.outputs / name).symlink_to(moved)
    assert name in findings(later.outputs)


def test_a_strangers_name_tells_nothing(later: Workshop) -> None:
    """A name that would write a line of its own, or steer a terminal, is told on one line and inert."""
    name = "x\nEverything is as it was recorded.\x1b[2J\u202e"
    (later.outputs / "dist" / name).write_bytes(b"")
    assert r"dist/x\nEverything is as it was recorded.\x1b[2J\u202e" in findings(later.outputs)
    ran = later.invoke_plain("audit", "--folder", str(later.outputs))
    assert ran.code == 9
    assert "Everything is as it was recorded." not in ran.err.splitlines()
    assert "\x1b" not in ran.err


def test_a_second_copy_of_an_earlier_manifest_is_a_stranger(later: Workshop) -> None:
    """What a run recorded is kept once."""
    history = later.outputs / "history"
    shutil.copy(history / f"{VERSION}.json", history / "copy.json")
    assert "history/copy.json" in findings(later.outputs)


def test_a_whole_release_in_anothers_place_is_that_release(both: tuple[Workshop, Workshop]) -> None:
    """Everything swapped together is another release, which holds: only a head kept elsewhere tells them apart."""
    kept = audit(system_host(), both[1].outputs).head
    assert audit(system_host(), both[0].outputs)
    with pytest.raises(VerificationError, match=r"audit\.jsonl"):
        audit(system_host(), both[0].outputs, head=kept)


def rechained(lines: list[dict[str, Any]]) -> bytes:
    """What a forger makes of a log: numbers, links and hashes all computed anew."""
    previous, made = "0" * 64, []
    for seq, line in enumerate(lines, 1):
        plain = {key: value for key, value in line.items() if key != "hash"} | {"seq": seq, "previous": previous}
        canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
        previous = hashlib.sha256(canonical.encode()).hexdigest()
        made.append(json.dumps(plain | {"hash": previous}, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    return b"".join(made)


def test_a_log_with_its_chain_computed_anew_is_found(finished: Workshop, tmp_path: Path) -> None:
    """A line put in, cut, changed or moved, all hashes after it made to fit: manifest or provenance names another."""
    folder = finished.copy(tmp_path / "a checkout").outputs
    path = folder / "audit.jsonl"
    data = path.read_bytes()
    lines = [json.loads(line) for line in data.splitlines()]
    assert rechained(lines) == data
    more = {**lines[1], "event": "verified", "artifact": "arm64/meshagent"}
    for number in (0, 1, len(lines) // 2, len(lines) - 2, len(lines) - 1, len(lines)):
        forged = [[*lines[:number], more, *lines[number:]]]
        if number < len(lines):
            forged.append([*lines[:number], *lines[number + 1 :]])
            forged.append(
                [*lines[:number], {**lines[number], "time": "2026-01-01T00:00:00.000000Z"}, *lines[number + 1 :]]
            )
        if 0 < number < len(lines):
            forged.append([*lines[: number - 1], lines[number], lines[number - 1], *lines[number + 1 :]])
        for one in forged:
            path.write_bytes(rechained(one))
            if rechained(one)[: len(data)] != data:
                told = findings(folder)
                assert any(name in told for name in ("audit.jsonl", "release.json", "provenance.json"))
            else:
                assert "release.json: is not of what lies here: the log goes on after it" in findings(folder)


def test_every_cut_of_the_last_line_is_found(released: Workshop) -> None:
    """The log truncated at each byte of its last line: a torn line, or a line that is missing."""
    path = released.outputs / "audit.jsonl"
    data = path.read_bytes()
    last = len(data.rstrip(b"\n").rpartition(b"\n")[0]) + 1
    for end in range(last, len(data)):
        path.write_bytes(data[:end])
        assert "audit.jsonl" in findings(released.outputs)


def test_every_line_changed_cut_or_moved_is_found(released: Workshop) -> None:
    """Each line of a real log: a byte of it changed, the line gone, the line exchanged with the next."""
    data = (released.outputs / "audit.jsonl").read_bytes()
    lines = data.splitlines(keepends=True)
    for number in range(len(lines)):
        changed = bytearray(lines[number])
        changed[len(changed) // 2] ^= 1
        for tampered in (
            [*lines[:number], bytes(changed), *lines[number + 1 :]],
            [*lines[:number], *lines[number + 1 :]] if number + 1 < len(lines) else [],
            [*lines[:number], *reversed(lines[number : number + 2]), *lines[number + 2 :]],
        ):
            if tampered and b"".join(tampered) != data:
                with pytest.raises(VerificationError, match=r"audit\.jsonl line"):
                    verify_chain(b"".join(tampered))


def test_an_earlier_manifest_that_is_gone_is_told_by_the_next_release(later: Workshop) -> None:
    """A history file that was removed is refused until a release says in the log that it is gone; then it is told."""
    (later.outputs / "history" / f"{VERSION}.json").unlink()
    assert f"history: the manifest of {VERSION} is missing: line " in findings(later.outputs)
    (later.folder / "source" / "new.txt").write_text("new")
    later.commit("2026-11-21T06:25:00+00:00")
    assert later.invoke("release").code == 0
    changes = later.manifest()["changes"]
    assert changes["since"] == LATER
    assert ("version", LATER) in {(one["what"], one["before"]) for one in changes["changes"]}
    told = audit(system_host(), later.outputs)
    assert [one.partition(" ")[0] for one in told.lost] == [VERSION]
    assert f"not here (removed, or cut off by a crash): {VERSION}" in told.to_text()


def test_a_crash_before_the_manifest_is_told(later: Workshop) -> None:
    """A run that is killed between its last line and its manifest: the next one says so, and the audit holds."""
    (later.outputs / "release.json").unlink()
    assert "release.json: is missing" in findings(later.outputs)
    ran = later.invoke("release")
    assert ran.code == 0, ran.err
    report = audit(system_host(), later.outputs)
    assert [one.partition(" ")[0] for one in report.lost] == [LATER]
    events = [json.loads(line)["event"] for line in (later.outputs / "audit.jsonl").read_bytes().splitlines()]
    assert events[-3:] == ["finished", "missing", "finished"]


def test_report_is_written_and_judged(released: Workshop) -> None:
    """`invoke report` writes the page; changed, `invoke audit` names it; of what does not hold it says so: exit 9."""
    where = ("--folder", str(released.outputs))
    page = released.outputs / "report.html"
    ran = released.invoke_plain("report", *where)
    assert (ran.code, ran.out.strip()) == (0, str(page))
    assert released.invoke_plain("audit", *where).code == 0
    text = page.read_text()
    page.write_text(text.replace("NOT FOR PUBLICATION", "MAY BE PUBLISHED"))
    changed = released.invoke_plain("audit", *where, "--json")
    assert changed.code == 9
    assert [one["where"] for one in json.loads(changed.out)["findings"]] == ["report.html"]
    # Who changes the page's mark as well is told that it was not judged: the page is no proof.
    mark = re.search('content="([0-9a-f]{64})"', text)
    assert mark is not None
    page.write_text(text.replace(mark[1], "0" * 64))
    ran = released.invoke_plain("audit", *where, "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["page"].startswith("NOT JUDGED: report.html")
    page.unlink()
    page.symlink_to("release.json")
    assert released.invoke_plain("audit", *where).code == 9
    page.unlink()
    (released.outputs / "arm64" / "meshagent").unlink()
    assert released.invoke_plain("report", *where).code == 9
    assert "DOES NOT HOLD" in page.read_text()
    again = released.invoke("release")
    assert again.code == 0
    assert not page.exists()


@pytest.mark.parametrize("words", [("audit",), ("status",), ("verify",), ("report",)])
def test_looking_writes_nothing_to_the_log(released: Workshop, words: tuple[str, ...]) -> None:
    """The commands that look leave the log and the manifest as they are."""
    before = [(released.outputs / name).read_bytes() for name in ("audit.jsonl", "release.json")]
    ask: Callable[..., object] = released.invoke if words[0] in ("status", "verify") else released.invoke_plain
    more = () if words[0] in ("status", "verify") else ("--folder", str(released.outputs))
    ask(*words, *more)
    assert [(released.outputs / name).read_bytes() for name in ("audit.jsonl", "release.json")] == before


def test_an_audit_years_later(released: Workshop) -> None:
    """With every certificate expired, what was signed in time still holds: it is judged at its time stamp."""
    lever = Path(__file__).parents[1] / "fakes" / "standing_clock.py"
    later = {"NOW": "2076-01-01T00:00:00+00:00"}
    ran = released.invoke_plain("audit", "--folder", str(released.outputs), lever=lever, environment=later)
    assert ran.code == 0, ran.err
