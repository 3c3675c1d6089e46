"""The table of tampering: every kind of file in a release changed, removed, added, swapped with another release's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from builders.workshop import VERSION, Workshop, new_workshop

from pipeline.audit import audit
from pipeline.errors import VerificationError
from pipeline.host import system_host
from pipeline.journal import verify_chain

KINDS = {
    "thin": "arm64/meshagent",
    "DEBUG thin": "x86_64/DEBUG_meshagent",
    "universal": "universal/meshagent",
    "app's code": "universal/meshagent.app/Contents/MacOS/meshagent",
    "app's plist": "universal/meshagent.app/Contents/Info.plist",
    "app's seal": "universal/meshagent.app/Contents/_CodeSignature/CodeResources",
    "app's ticket": "universal/meshagent.app/Contents/CodeResources",
    "ticket": "universal/meshagent.ticket",
    "archive": f"archives/meshagent-{VERSION}-rehearsal.zip",
    "distribution": f"dist/meshagent-{VERSION}-macos-universal-rehearsal.zip",
    "sums": "dist/SHA256SUMS",
    "unsigned": "unsigned/arm64/meshagent",
    "build record": "unsigned/x86_64/build.json",
    "manifest": "release.json",
    "log": "audit.jsonl",
    "provenance": "provenance.json",
}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, finished: Workshop, prebuilt: Path) -> Workshop:
    """A genuine release of another commit of the same minute, by the same hands: each file of it holds elsewhere."""
    workshop = new_workshop(tmp_path_factory.mktemp("other") / "a checkout", prebuilt)
    for arch in ("x86_64", "arm64"):
        folder = workshop.folder / "source" / "prebuilt" / arch
        (folder / "tool").write_bytes((folder / "DEBUG_tool").read_bytes())
    plist = workshop.configuration.read_text().replace("Mesh Agent", "Another Agent")
    workshop.configuration.write_text(plist)
    workshop.commit()
    for name in ("keys", "anchors"):
        shutil.copytree(finished.outputs / "rehearsal" / name, workshop.outputs / "rehearsal" / name)
    ran = workshop.invoke("release")
    assert ran.code == 0, ran.err
    return workshop


def place(path: str) -> str:
    """What the finding has to name: of something in a bundle, the bundle."""
    return path.partition("/Contents")[0]


def findings(folder: Path) -> str:
    with pytest.raises(VerificationError) as caught:
        audit(system_host(), folder)
    assert caught.value.exit_code == 9
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_changed_removed_and_swapped(released: Workshop, other: Workshop, kind: str) -> None:
    """A bit changed at the beginning, in the middle and at the end; the file gone; another release's in its place."""
    path = released.outputs / KINDS[kind]
    data, mode = path.read_bytes(), path.stat().st_mode
    for position in (0, len(data) // 2, len(data) - 1):
        changed = bytearray(data)
        changed[position] ^= 0x04
        path.write_bytes(changed)
        assert place(KINDS[kind]) in findings(released.outputs)
    path.unlink()
    assert place(KINDS[kind]) in findings(released.outputs)
    foreign = (other.outputs / KINDS[kind]).read_bytes()
    if foreign != data:
        path.write_bytes(foreign)
        # A log that another release's manifest goes with is whole; what it does not go with is this manifest.
        assert any(name in findings(released.outputs) for name in (place(KINDS[kind]), "audit.jsonl"))
    path.write_bytes(data)
    path.chmod(mode)
    assert audit(system_host(), released.outputs).version == VERSION


@pytest.mark.parametrize("folder", ["unsigned/arm64", "x86_64", "arm64", "universal", "archives", "dist", "launchd"])
def test_an_added_file_is_a_stranger(released: Workshop, folder: str) -> None:
    """A file that no line of the manifest knows is named, wherever in the release's folders it was put."""
    (released.outputs / folder).mkdir(exist_ok=True)
    (released.outputs / folder / "added").write_bytes(b"\xcf\xfa\xed\xfe")
    assert f"{folder}/added" in findings(released.outputs)


def test_a_whole_release_in_anothers_place_is_that_release(released: Workshop, other: Workshop) -> None:
    """Everything swapped together is another release, which holds: only a head kept elsewhere tells them apart."""
    kept = audit(system_host(), released.outputs).head
    shutil.rmtree(released.outputs)
    shutil.copytree(other.outputs, released.outputs, symlinks=True)
    assert audit(system_host(), released.outputs)
    with pytest.raises(VerificationError, match=r"audit\.jsonl"):
        audit(system_host(), released.outputs, head=kept)


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


@pytest.mark.parametrize("name", ["", ".log"])
def test_what_the_notary_said_is_kept_as_it_was(released: Workshop, name: str) -> None:
    """A changed word in the submission's record or in the notary's log is found, though no CDHash is touched."""
    (path,) = [
        path for path in (released.outputs / "notary").glob("*.json") if path.name.endswith(".log.json") == bool(name)
    ]
    path.write_text(path.read_text() + "\n")
    assert f"notary/{path.name}" in findings(released.outputs)


def test_an_earlier_manifest_that_is_gone_is_told(released: Workshop) -> None:
    """A history file that was removed does not make the release wrong, but the story names it."""
    (released.folder / "source" / "new.txt").write_text("new")
    released.commit("2026-11-21T06:20:00+00:00")
    assert released.invoke("release").code == 0
    manifest = released.manifest()
    assert manifest["changes"]["since"] == VERSION
    assert ("version", VERSION) in {(one["what"], one["before"]) for one in manifest["changes"]["changes"]}
    (released.outputs / "history" / f"{VERSION}.json").unlink()
    assert f"not here (removed, or cut off by a crash): {VERSION}" in audit(system_host(), released.outputs).to_text()


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
    (released.outputs / "arm64" / "meshagent").unlink()
    assert released.invoke_plain("report", *where).code == 9
    assert "DOES NOT HOLD" in page.read_text()
    again = released.invoke("release")
    assert again.code == 0
    assert not page.exists()


@pytest.mark.parametrize("words", [("audit",), ("status",), ("verify",), ("report",)])
def test_looking_writes_nothing_to_the_log(finished: Workshop, words: tuple[str, ...]) -> None:
    """The commands that look leave the log and the manifest as they are."""
    before = [(finished.outputs / name).read_bytes() for name in ("audit.jsonl", "release.json")]
    ask: Callable[..., object] = finished.invoke if words[0] in ("status", "verify") else finished.invoke_plain
    more = () if words[0] in ("status", "verify") else ("--folder", str(finished.outputs))
    ask(*words, *more)
    assert [(finished.outputs / name).read_bytes() for name in ("audit.jsonl", "release.json")] == before


def test_an_audit_years_later(released: Workshop) -> None:
    """With every certificate expired, what was signed in time still holds: it is judged at its time stamp."""
    lever = Path(__file__).parents[1] / "fakes" / "standing_clock.py"
    later = {"NOW": "2076-01-01T00:00:00+00:00"}
    ran = released.invoke_plain("audit", "--folder", str(released.outputs), lever=lever, environment=later)
    assert ran.code == 0, ran.err
