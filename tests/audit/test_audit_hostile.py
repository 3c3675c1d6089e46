"""A stranger's folder, its manifest and log forged to fit each other: refused in words, and nothing read elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders.outputs import manifest_of, new_outputs

from pipeline.audit import audit
from pipeline.errors import VerificationError
from pipeline.host import system_host
from pipeline.tasks.looking_back import report

ZEROS = "0" * 64


def canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def forge(
    folder: Path,
    change: Callable[[dict[str, Any]], object] = lambda _document: None,
    change_log: Callable[[list[dict[str, Any]]], object] = lambda _lines: None,
) -> None:
    """Change the manifest and the log, and make every hash of both fit again."""
    lines = [json.loads(line) for line in (folder / "audit.jsonl").read_bytes().splitlines()]
    document = manifest_of(folder)
    change(document)
    change_log(lines)
    written, head = b"", ZEROS
    for number, line in enumerate(lines, 1):
        if number == len(lines):
            document["log"]["head"] = head
            data = json.dumps(document).encode()
            (folder / "release.json").write_bytes(data)
            line["manifest"] = hashlib.sha256(data).hexdigest()
        line |= {"previous": head, "seq": number}
        line.pop("hash", None)
        line["hash"] = head = hashlib.sha256(canonical(line)).hexdigest()
        written += canonical(line) + b"\n"
    (folder / "audit.jsonl").write_bytes(written)


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    return new_outputs(tmp_path / "macos")


def refused(folder: Path) -> str:
    """What the audit finds; the page can be written whatever it is."""
    with pytest.raises(VerificationError) as caught:
        audit(system_host(), folder)
    with pytest.raises(VerificationError):
        report(system_host(), str(folder), dry=False)
    assert (folder / "report.html").is_file()
    return str(caught.value)


def test_a_forgery_that_changes_nothing_holds(outputs: Path) -> None:
    """So what is refused below is refused for what was changed."""
    forge(outputs)
    assert audit(system_host(), outputs).artifacts


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("builds", "x"),
        ("builds", [None]),
        ("builds", [{"product": "a", "arch": "b", "debug": False, "path": "../c", "sha256": ZEROS, "size": 1}]),
        ("build_records", ["x"]),
        ("build_records", {"../../etc/passwd": ZEROS}),
        ("build_records", {"a" * 256: ZEROS}),
        ("build_records", {"a": "00"}),
        ("tools", "x"),
        ("minimum_macos", [1]),
        ("provenance", "x"),
        ("provenance", {"statement": 1}),
        ("changes", "x"),
        ("changes", {"since": "1", "changes": [1]}),
        ("release", "half of a pair: \ud800"),
        ("version", "1\n2"),
    ],
)
def test_each_part_of_a_manifest_is_of_its_kind(outputs: Path, key: str, value: object) -> None:
    forge(outputs, lambda document: document.update({key: value}))
    assert "is not a manifest" in refused(outputs)


@pytest.mark.parametrize(
    "change",
    [
        {"path": "a\nrelease.json: holds"},
        {"path": "a\ud800"},
        {"path": "./dist/tool.tar"},
        {"path": "dist/" + "é" * 128},
        {"contents": ["../../etc"]},
        {"sha256": "../../../etc/passwd"},
        {"staple": {"status": "not-stapleable", "ticket": "/etc/passwd"}},
        {"notarization": {"status": "accepted", "archive": "../a"}},
    ],
)
def test_no_path_of_an_artifact_leads_out_of_the_folder(outputs: Path, change: dict[str, Any]) -> None:
    """Nor to a name that no file system takes, nor to a second line of what is told."""
    forge(outputs, lambda document: document["artifacts"][0].update(change))
    assert "is not a manifest" in refused(outputs)


def accepted(**facts: object) -> Callable[[list[dict[str, Any]]], object]:
    return lambda lines: lines.insert(1, lines[-1] | {"event": "accepted"} | facts)


@pytest.mark.parametrize(
    "change_log",
    [
        accepted(records=[1], sha256=[2]),
        accepted(records="xx"),
        lambda lines: lines.insert(1, lines[-1] | {"manifest": [1]}),
        lambda lines: lines[0].update(run="\ud800"),
        lambda lines: lines[0].update(time="\ud800"),
    ],
)
def test_facts_of_a_log_may_be_of_any_kind(outputs: Path, change_log: Callable[[list[dict[str, Any]]], object]) -> None:
    """What is told of them is that they are nothing; whether anything is wrong beside is another matter."""
    forge(outputs, change_log=change_log)
    host = system_host()
    try:
        audit(host, outputs)
    except VerificationError:
        assert refused(outputs)
    else:
        report(host, str(outputs), dry=False)


def test_seconds_beyond_all_numbers(outputs: Path) -> None:
    forge(outputs, change_log=lambda lines: [line.update(seconds=10**400) for line in lines])
    report(system_host(), str(outputs), dry=False)
    assert (outputs / "report.html").is_file()


@pytest.mark.parametrize("place", ["launchd/plain/record", "launchd/plain/ticket"])
def test_a_fifo_is_not_waited_for(outputs: Path, place: str) -> None:
    os.mkfifo(outputs / place)

    def change(document: dict[str, Any]) -> None:
        document["build_records"] = {"launchd/plain/record": ZEROS}
        document["artifacts"].append(document["artifacts"][0] | {"path": "launchd/plain/ticket", "kind": "ticket"})

    forge(outputs, change)
    assert f"{place}: is no regular file" in refused(outputs)


def test_a_folder_of_records_that_is_elsewhere_is_not_entered(outputs: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (outputs / "notary").symlink_to(tmp_path / "elsewhere")
    assert "notary: a symbolic link" in refused(outputs)
