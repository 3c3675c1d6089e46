"""The audit of log, manifest and plain files: whatever was changed, cut, moved, added or taken away is named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from builders.outputs import finish_run, manifest_of, new_outputs

from pipeline import manifest
from pipeline.audit import audit
from pipeline.errors import ConfigurationError, VerificationError
from pipeline.host import system_host
from pipeline.journal import Journal
from pipeline.model import World


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Two finished runs."""
    return new_outputs(tmp_path / "macos", runs=2)


def lines_of(folder: Path) -> list[bytes]:
    return (folder / "audit.jsonl").read_bytes().splitlines(keepends=True)


def snapshot(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    return {
        path.relative_to(folder).as_posix(): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in sorted(folder.rglob("*"))
    }


def test_a_true_folder_tells_its_story(outputs: Path) -> None:
    """A folder that nobody touched is accepted; the report tells runs, versions and files, as text and as JSON."""
    before = snapshot(outputs)
    report = audit(system_host(), outputs)
    assert snapshot(outputs) == before
    assert (report.release, report.version, report.world) == ("tool", "26.1121.0002", World.LOCAL)
    assert [(run.id, run.stages, run.outcome) for run in report.runs] == [
        ("run1", ("package",), "finished 26.1121.0001"),
        ("run2", ("package",), "finished 26.1121.0002"),
    ]
    assert report.earlier == ("26.1121.0001.json",)
    assert report.doubles is False
    text = report.to_text()
    for words in (
        "LOCAL",
        "c0ffee",
        "6 lines, 2 runs",
        report.head,
        "run run1",
        "dist/tool.tar",
        "lists tool.tar",
        *report.earlier,
    ):
        assert words in text
    document = json.loads(json.dumps(report.to_json()))
    assert document["version"] == "26.1121.0002"
    assert [artifact["path"] for artifact in document["artifacts"]] == [
        artifact["path"] for artifact in manifest_of(outputs)["artifacts"]
    ]


def test_a_copy_elsewhere_serves_as_well(outputs: Path, tmp_path: Path) -> None:
    """Nothing in the judgement depends on where the folder lies."""
    shutil.copytree(outputs, tmp_path / "else" / "where")
    assert audit(system_host(), tmp_path / "else" / "where").head == audit(system_host(), outputs).head


def test_the_newest_line_can_be_demanded(outputs: Path) -> None:
    """With the hash that the last run printed, cut and grown logs are told apart."""
    head = audit(system_host(), outputs).head
    assert audit(system_host(), outputs, head=head).head == head
    assert audit(system_host(), outputs, head=head.upper()).head == head
    earlier = json.loads(lines_of(outputs)[2])["hash"]
    with pytest.raises(VerificationError, match=r"audit\.jsonl: .* not the newest: 3 were added"):
        audit(system_host(), outputs, head=earlier)
    with pytest.raises(VerificationError, match=r"audit\.jsonl: holds no line with the hash"):
        audit(system_host(), outputs, head="00" * 32)


def test_both_ends_cut_together_show_against_a_kept_hash(tmp_path: Path) -> None:
    """Whoever puts back an older log with its older manifest and files is caught by the hash that was kept."""
    outputs = new_outputs(tmp_path / "macos")
    shutil.copytree(outputs, tmp_path / "old")
    finish_run(outputs, 2, [manifest.artifact_from_json(one) for one in manifest_of(outputs)["artifacts"]])
    head = audit(system_host(), outputs).head
    assert audit(system_host(), tmp_path / "old").version == "26.1121.0001"
    with pytest.raises(VerificationError, match="it was cut"):
        audit(system_host(), tmp_path / "old", head=head)


@pytest.mark.parametrize("line", range(6))
def test_a_line_cut_from_the_log_is_found(outputs: Path, line: int) -> None:
    """Every line counts, the first and the last too, and the log is named."""
    lines = lines_of(outputs)
    del lines[line]
    (outputs / "audit.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(VerificationError, match=r"audit\.jsonl"):
        audit(system_host(), outputs)


@pytest.mark.parametrize("kept", range(6))
def test_a_log_cut_short_is_found(outputs: Path, kept: int) -> None:
    """A log that ends earlier than the manifest says is found wherever it was cut, at the end of a run too."""
    (outputs / "audit.jsonl").write_bytes(b"".join(lines_of(outputs)[:kept]))
    with pytest.raises(VerificationError, match=r"audit\.jsonl: .* is missing"):
        audit(system_host(), outputs)


def test_every_byte_of_the_manifest_counts(outputs: Path) -> None:
    """Whichever byte of release.json is changed, it is refused and named."""
    data = (outputs / "release.json").read_bytes()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        (outputs / "release.json").write_bytes(changed)
        with pytest.raises(VerificationError, match=r"release\.json"):
            audit(system_host(), outputs)


def test_an_earlier_manifest_in_the_place_of_the_newest_is_found(outputs: Path) -> None:
    """A manifest that some run did record is refused where it is not the newest."""
    shutil.copy(outputs / "history" / "26.1121.0001.json", outputs / "release.json")
    with pytest.raises(VerificationError, match=r"release\.json: is an earlier one"):
        audit(system_host(), outputs)


def test_a_changed_history_is_found(outputs: Path) -> None:
    """Earlier manifests are held against the log too."""
    path = outputs / "history" / "26.1121.0001.json"
    path.write_bytes(path.read_bytes().replace(b"c0ffee", b"c0ffef"))
    with pytest.raises(VerificationError, match=r"history/26\.1121\.0001\.json: is not as any run recorded it"):
        audit(system_host(), outputs)


def test_a_run_that_did_not_finish_leaves_nothing_to_accept(outputs: Path) -> None:
    """After a later run began, the old manifest no longer speaks for the files, wherever it is put."""
    host = system_host()
    Journal(host.files, host.clock, outputs / "audit.jsonl", run="run3", redact=host.redact).record(
        "began", stage="build"
    )
    with pytest.raises(VerificationError, match=r"release\.json: is not of what lies here.*line 7"):
        audit(host, outputs)
    manifest.retire(host.files, outputs)
    with pytest.raises(VerificationError, match=r"release\.json: is missing"):
        audit(host, outputs)


def test_the_story_tells_of_failures_and_crashes(tmp_path: Path) -> None:
    """Runs that failed or were killed, and the line that a crash tore, are part of the story."""
    outputs = new_outputs(tmp_path / "macos")
    host = system_host()
    log = outputs / "audit.jsonl"
    failed = Journal(host.files, host.clock, log, run="run2", redact=host.redact)
    failed.record("began", stage="sign")
    failed.record("failed", stage="sign", error="SigningError", words="no identity\nmore")
    Journal(host.files, host.clock, log, run="run3", redact=host.redact).record("began", stage="sign")
    log.write_bytes(log.read_bytes()[:-9])
    finish_run(outputs, 4, [manifest.artifact_from_json(one) for one in manifest_of(outputs)["artifacts"]])
    report = audit(host, outputs)
    assert [run.outcome for run in report.runs] == [
        "finished 26.1121.0001",
        "failed in sign: SigningError: no identity",
        "finished 26.1121.0004",
    ]
    assert report.runs[-1].sealed == 1
    assert "a crash tore" in report.to_text()


def link_elsewhere(path: Path) -> None:
    path.rename(path.with_name("moved-away"))
    path.symlink_to("moved-away")


def pipe_instead(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("change", "where", "words"),
    [
        (lambda folder: (folder / "dist/tool.tar").write_bytes(b"x"), "dist/tool.tar", "differs from the recorded"),
        (lambda folder: (folder / "dist/tool.tar").unlink(), "dist/tool.tar", "is missing"),
        (lambda folder: link_elsewhere(folder / "dist/tool.tar"), "dist/tool.tar", "a symbolic link"),
        (lambda folder: link_elsewhere(folder / "launchd"), "launchd", "a symbolic link"),
        (lambda folder: link_elsewhere(folder / "audit.jsonl"), "audit.jsonl", "a symbolic link"),
        (lambda folder: link_elsewhere(folder / "release.json"), "release.json", "a symbolic link"),
        (lambda folder: link_elsewhere(folder / "history"), "history", "a symbolic link"),
        (lambda folder: (folder / "history/folder").mkdir(), "history/folder", "is not a file"),
        (
            lambda folder: link_elsewhere(folder / "history/26.1121.0001.json"),
            "history/26.1121.0001.json",
            "is not a file",
        ),
        (lambda folder: (folder / "dist/added").write_bytes(b""), "dist/added", "not part of the release"),
        (lambda folder: (folder / "dist/link").symlink_to("/"), "dist/link", "not part of the release"),
        (lambda folder: (folder / "universal").symlink_to("/"), "universal", "not part of the release"),
        (lambda folder: (folder / "universal").touch(), "universal", "not part of the release"),
        (lambda folder: os.mkfifo(folder / "universal"), "universal", "not part of the release"),
        (lambda folder: (folder / "launchd/plain/deep").mkdir(), None, None),
        (lambda folder: (folder / "zig").mkdir(), None, None),
        (
            lambda folder: ((folder / "dist/tool.tar").unlink(), (folder / "dist/tool.tar").mkdir()),
            "dist/tool.tar",
            "is not a file",
        ),
        (
            lambda folder: pipe_instead(folder / "dist/tool.tar"),
            "dist/tool.tar",
            "is not a file",
        ),
    ],
)
def test_a_changed_folder_is_found(
    outputs: Path, change: Callable[[Path], object], where: str | None, words: str | None
) -> None:
    """Changed, missing, replaced and added files are each named; caches and empty folders are nobody's business."""
    change(outputs)
    if where is None or words is None:
        assert audit(system_host(), outputs).artifacts
        return
    with pytest.raises(VerificationError) as caught:
        audit(system_host(), outputs)
    assert where in str(caught.value)
    assert words in str(caught.value)
    assert caught.value.exit_code == 9


def test_of_several_findings_each_is_told(outputs: Path) -> None:
    """Nothing stops at the first finding."""
    (outputs / "dist/tool.tar").write_bytes(b"x")
    (outputs / "launchd/plain/tool.plist").unlink()
    (outputs / "dist/added").touch()
    with pytest.raises(VerificationError) as caught:
        audit(system_host(), outputs)
    for path in ("3 findings", "dist/tool.tar", "launchd/plain/tool.plist", "dist/added"):
        assert path in str(caught.value)
    (outputs / "dist/added").unlink()
    with pytest.raises(VerificationError, match="2 findings") as caught:
        audit(system_host(), outputs)
    assert [one.where for one in caught.value.parts] == ["dist/tool.tar", "launchd/plain/tool.plist"]


def test_sums_that_do_not_fit_are_found(tmp_path: Path) -> None:
    """SHA256SUMS is read: a digest that is wrong is found even where the manifest knows the file so."""
    outputs = new_outputs(tmp_path / "macos")
    path = outputs / "dist" / "SHA256SUMS"
    path.write_bytes(b"00" * 32 + b"  tool.tar\n")
    artifacts = [manifest.artifact_from_json(one) for one in manifest_of(outputs)["artifacts"]]
    digest = system_host().files.sha256(path)
    finish_run(
        outputs,
        2,
        [
            replace(one, sha256=digest, size=path.stat().st_size) if one.path.endswith("SUMS") else one
            for one in artifacts
        ],
    )
    with pytest.raises(VerificationError, match=r"SHA256SUMS: does not list tool\.tar"):
        audit(system_host(), outputs)


def test_the_gate_says_everything_that_is_against_it(tmp_path: Path) -> None:
    """Only a real, clean, notarized release without doubles may be published; each reason is told."""
    outputs = new_outputs(tmp_path / "macos")
    artifacts = [manifest.artifact_from_json(one) for one in manifest_of(outputs)["artifacts"]]
    finish_run(outputs, 2, artifacts, dirty=True, doubles=True, commit=None, version="26.1121.0002")
    assert audit(system_host(), outputs).dirty
    with pytest.raises(VerificationError) as caught:
        audit(system_host(), outputs, gate=True)
    for reason in ("no real release", "not committed", "no commit", "doubles"):
        assert reason in str(caught.value)


def test_a_manifest_silent_about_doubles_does_not_pass(tmp_path: Path) -> None:
    """What a manifest does not say is not taken for said."""
    outputs = new_outputs(tmp_path / "macos")
    finish_run(outputs, 2, [], world="real", doubles=None)
    with pytest.raises(VerificationError, match="doubles"):
        audit(system_host(), outputs, gate=True)


def test_no_folder_is_the_callers_mistake(tmp_path: Path) -> None:
    """A folder that is not there is a wrong argument; one without a log is a folder that proves nothing."""
    with pytest.raises(ConfigurationError, match="no such folder"):
        audit(system_host(), tmp_path / "nowhere")
    with pytest.raises(VerificationError, match=r"audit\.jsonl: is missing"):
        audit(system_host(), tmp_path)
