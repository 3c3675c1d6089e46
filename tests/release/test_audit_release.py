"""The audit of a whole release: what signatures, tickets and the notary's records prove, and who tampers is found."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders.workshop import VERSION, Workshop, new_workshop

from pipeline import manifest
from pipeline.audit import audit
from pipeline.errors import VerificationError
from pipeline.host import system_host

ACCEPTED = {"status": "accepted", "submission": "x", "archive": f"archives/meshagent-{VERSION}-rehearsal.zip"}


def flip(path: Path, offset: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if offset is None else offset] ^= 0x40
    path.write_bytes(data)


def forge(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Rewrite manifest and log so that they fit each other: what a forger with write access can do."""
    document = json.loads((folder / "release.json").read_text())
    change(document)
    data = manifest.to_bytes(document)
    (folder / "release.json").write_bytes(data)
    lines = (folder / "audit.jsonl").read_bytes().splitlines()
    last = json.loads(lines[-1])
    del last["hash"]
    last["manifest"] = hashlib.sha256(data).hexdigest()
    plain = json.dumps(last, sort_keys=True, separators=(",", ":"))
    last["hash"] = hashlib.sha256(plain.encode()).hexdigest()
    lines[-1] = json.dumps(last, sort_keys=True, separators=(",", ":")).encode()
    (folder / "audit.jsonl").write_bytes(b"\n".join(lines) + b"\n")


def entry_of(document: dict[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = next(entry for entry in document["artifacts"] if entry["path"] == path)
    return found


def rehash(folder: Path, path: str) -> None:
    """Forge the digest of a changed file."""

    def change(document: dict[str, Any]) -> None:
        digest = hashlib.sha256((folder / path).read_bytes()).hexdigest()
        entry_of(document, path).update(sha256=digest, size=(folder / path).stat().st_size)

    forge(folder, change)


def test_the_story_names_signers_submissions_and_proofs(finished: Workshop) -> None:
    """The report says who signed, what was submitted, and which ticket proves which slices."""
    report = audit(system_host(), finished.outputs)
    told = {artifact.path: " | ".join(artifact.words) for artifact in report.artifacts}
    assert "REHEARSAL" in report.to_text()
    tool, thin = told["universal/meshagent"], told["arm64/meshagent"]
    assert "Developer ID Application: REHEARSAL" in tool
    assert "the ticket in universal/meshagent.ticket" in tool
    assert "proves x86_64, arm64 offline" in tool
    assert "through its CDHash" in thin
    assert "the ticket in Contents/CodeResources" in told["universal/meshagent.app"]
    assert "excluded" in told["universal/DEBUG_meshagent"]
    submission = entry_of(finished.manifest(), "universal/meshagent")["notarization"]["submission"]
    assert submission in tool
    assert len(told) == len(finished.manifest()["artifacts"])


def test_the_audit_writes_nothing(finished: Workshop) -> None:
    """Every file and every time in the folder is as it was."""

    def state() -> dict[Path, int]:
        return {path: path.lstat().st_mtime_ns for path in finished.outputs.rglob("*")}

    before = state()
    audit(system_host(), finished.outputs)
    assert state() == before


def test_a_copy_without_keys_and_configuration_serves(released: Workshop, tmp_path: Path) -> None:
    """Copied elsewhere, with no private key beside it, the folder proves the same."""
    copy = tmp_path / "elsewhere"
    shutil.copytree(released.outputs, copy, symlinks=True, ignore=lambda _, names: {"keys"} & set(names))
    shutil.rmtree(released.folder)
    assert audit(system_host(), copy).version == VERSION


def test_the_gate_refuses_a_rehearsal(finished: Workshop) -> None:
    """A rehearsal that is otherwise perfect is refused for being one, and for nothing else."""
    with pytest.raises(VerificationError) as caught:
        audit(system_host(), finished.outputs, gate=True)
    assert caught.value.message == 'not for publication: world "rehearsal" is no real release'
    ran = finished.invoke_plain("audit", "--folder", str(finished.outputs), "--gate")
    assert ran.code == 9


def test_the_command_prints_one_json_document(finished: Workshop) -> None:
    """`invoke audit --json` prints the report and nothing else; --head takes what the release printed."""
    ran = finished.invoke_plain("audit", "--folder", str(finished.outputs), "--json")
    document = json.loads(ran.out)
    assert document["version"] == VERSION
    assert finished.invoke_plain("audit", "--folder", str(finished.outputs), "--head", document["head"]).code == 0
    assert finished.invoke_plain("audit", "--folder", str(finished.outputs), "--head", "0" * 64).code == 9


@pytest.mark.parametrize(
    "path",
    [
        "unsigned/arm64/meshagent",
        "x86_64/meshagent",
        "arm64/DEBUG_meshagent",
        "universal/meshagent",
        "universal/meshagent.ticket",
        "universal/meshagent.app/Contents/MacOS/meshagent",
        "universal/meshagent.app/Contents/Info.plist",
        "universal/meshagent.app/Contents/CodeResources",
        f"archives/meshagent-{VERSION}-rehearsal.zip",
        f"dist/meshagent-{VERSION}-macos-universal-rehearsal.zip",
        "dist/SHA256SUMS",
    ],
)
def test_a_changed_byte_anywhere_is_found(released: Workshop, path: str) -> None:
    """A byte changed in the middle of any file is found, and the file is named."""
    flip(released.outputs / path)
    with pytest.raises(VerificationError, match=path.partition("/Contents")[0].replace(".", r"\.")):
        audit(system_host(), released.outputs)


def test_a_forger_cannot_change_code(released: Workshop) -> None:
    """Who changes a program and rewrites digest, manifest and log to fit is found by the signature."""
    path = "universal/meshagent"
    flip(released.outputs / path)
    rehash(released.outputs, path)
    with pytest.raises(VerificationError, match=r"universal/meshagent: slice (x86_64|arm64): page"):
        audit(system_host(), released.outputs)


def test_a_forger_cannot_swap_programs(released: Workshop) -> None:
    """A DEBUG program, signed by the same hand, in the place of the released one is found: its ticket is another's."""
    path = "universal/meshagent"
    shutil.copy(released.outputs / "universal" / "DEBUG_meshagent", released.outputs / path)

    def change(document: dict[str, Any]) -> None:
        debug = entry_of(document, "universal/DEBUG_meshagent")
        entry_of(document, path).update(sha256=debug["sha256"], size=debug["size"], slices=debug["slices"])

    forge(released.outputs, change)
    with pytest.raises(VerificationError, match=r"universal/meshagent: .*(CDHash|ticket)"):
        audit(system_host(), released.outputs)


@pytest.mark.parametrize(
    ("path", "change", "words"),
    [
        ("universal/meshagent", lambda entry: entry["slices"][0].update(cdhash="0" * 40), "signed otherwise"),
        ("universal/meshagent", lambda entry: entry["slices"][1].update(team="OTHER"), "signed otherwise"),
        ("universal/meshagent", lambda entry: entry["slices"].pop(), "signed otherwise"),
        ("universal/meshagent", lambda entry: entry["slices"].append(entry["slices"][0]), "3 are recorded"),
        ("universal/meshagent", lambda entry: entry["notarization"].update(submission="other"), "not notarized in"),
        ("universal/meshagent", lambda entry: entry["notarization"].update(archive="dist/x"), "no archive"),
        ("universal/meshagent", lambda entry: entry["staple"].update(ticket="dist/SHA256SUMS"), "no ticket"),
        ("universal/meshagent.app", lambda entry: entry.update(staple=None), "does not know"),
        ("universal/DEBUG_meshagent", lambda entry: entry.update(notarization=ACCEPTED), "no archive"),
        ("arm64/DEBUG_meshagent", lambda entry: entry.update(path="universal/DEBUG_meshagent2"), "is missing"),
    ],
)
def test_a_forged_manifest_is_held_against_the_files(
    released: Workshop, path: str, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    """A manifest and a log that fit each other and say what the files do not are refused."""
    forge(released.outputs, lambda document: change(entry_of(document, path)))
    with pytest.raises(VerificationError, match=words):
        audit(system_host(), released.outputs)


def test_another_releases_ticket_proves_nothing(released: Workshop, prebuilt: Path, tmp_path: Path) -> None:
    """A genuine ticket of other bytes, in the place of the right one, does not prove these."""
    workshop = new_workshop(tmp_path / "another checkout", prebuilt)
    (workshop.folder / "source" / "prebuilt" / "arm64" / "tool").write_bytes(
        (workshop.folder / "source" / "prebuilt" / "arm64" / "DEBUG_tool").read_bytes()
    )
    workshop.commit()
    # The same notary: the ticket is genuine, and of other bytes.
    shutil.copytree(released.outputs / "rehearsal" / "keys", workshop.outputs / "rehearsal" / "keys")
    ran = workshop.invoke("release")
    assert ran.code == 0, ran.err
    path = "universal/meshagent.ticket"
    shutil.copy(workshop.outputs / path, released.outputs / path)
    rehash(released.outputs, path)
    with pytest.raises(VerificationError, match=r"universal/meshagent\.ticket: .*does not name CDHash"):
        audit(system_host(), released.outputs)


def test_a_stapled_ticket_that_is_gone_is_missed(released: Workshop) -> None:
    """The ticket is outside of the app's digest, and its absence is found all the same."""
    (released.outputs / "universal/meshagent.app/Contents/CodeResources").unlink()
    with pytest.raises(VerificationError, match=r"meshagent\.app: Contents/CodeResources: holds no ticket"):
        audit(system_host(), released.outputs)


def test_a_submissions_record_is_held_against_the_manifest(released: Workshop) -> None:
    """The record in notary/ and the notary's log have to say what the manifest says, and to be there."""
    record = next(path for path in (released.outputs / "notary").glob("*.json") if not path.name.endswith(".log.json"))
    document = json.loads(record.read_text())
    record.rename(released.folder / record.name)
    record.symlink_to(released.folder / record.name)
    with pytest.raises(VerificationError, match=rf"notary/{record.name}: is not a file"):
        audit(system_host(), released.outputs)
    record.unlink()
    record.write_text(json.dumps(document | {"submission": "00000000-0000-4000-8000-000000000000"}))
    with pytest.raises(VerificationError, match="archives/"):
        audit(system_host(), released.outputs)
    shutil.rmtree(released.outputs / "notary")
    with pytest.raises(VerificationError, match=r"archives/.*missing(.|\n)*notary/[0-9a-f]{64}\.log\.json: is missing"):
        audit(system_host(), released.outputs)


def test_what_lies_in_the_app_besides_is_found(released: Workshop) -> None:
    """A file put into the bundle breaks the seal, and the bundle is named."""
    (released.outputs / "universal/meshagent.app/Contents/Resources").mkdir(exist_ok=True)
    (released.outputs / "universal/meshagent.app/Contents/Resources/extra").write_text("x")
    with pytest.raises(VerificationError, match=r"universal/meshagent\.app.*extra"):
        audit(system_host(), released.outputs)


def test_without_its_roots_a_rehearsal_cannot_be_judged(released: Workshop) -> None:
    """A copy that lacks the rehearsal's own roots, or has links to others, is refused with the place that is wanted."""
    roots = released.outputs / "rehearsal" / "anchors" / "code.pem"
    (released.folder / "elsewhere.pem").write_bytes(roots.read_bytes())
    roots.unlink()
    with pytest.raises(VerificationError, match=r"rehearsal/anchors/code\.pem"):
        audit(system_host(), released.outputs)
    roots.symlink_to(released.folder / "elsewhere.pem")
    with pytest.raises(VerificationError, match=r"rehearsal/anchors/code\.pem: a symbolic link"):
        audit(system_host(), released.outputs)
    shutil.rmtree(released.outputs / "rehearsal" / "anchors")
    with pytest.raises(VerificationError, match="rehearsal/anchors"):
        audit(system_host(), released.outputs)
    (released.outputs / "rehearsal" / "anchors").mkdir()
    (released.outputs / "rehearsal" / "anchors" / "code.pem").write_text("not a certificate")
    with pytest.raises(VerificationError, match="rehearsal/anchors"):
        audit(system_host(), released.outputs)


def test_a_rehearsal_cannot_pass_for_real(released: Workshop) -> None:
    """A manifest and a log forged to say "real" are held against Apple's roots, and nothing leads there."""
    forge(released.outputs, lambda document: document.update(world="real"))
    with pytest.raises(VerificationError, match="findings"):
        audit(system_host(), released.outputs, gate=True)


@pytest.mark.parametrize("name", ["dist", "unsigned/arm64"])
def test_a_release_does_not_write_where_a_link_leads(released: Workshop, name: str) -> None:
    """A folder of outputs that is a link to somebody's folder: refused before anything is written or removed there."""
    place, theirs = released.outputs / name, released.folder / "theirs"
    place.rename(theirs)
    place.symlink_to(theirs)
    before = {path: path.stat().st_mtime_ns for path in theirs.rglob("*")}
    ran = released.invoke("release")
    assert ran.code == 14
    assert f"{name}: a symbolic link" in ran.err
    assert {path: path.stat().st_mtime_ns for path in theirs.rglob("*")} == before
