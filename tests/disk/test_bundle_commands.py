"""The file-level commands on bundles that Apple's codesign signed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from builders.real_binaries import package

pytestmark = pytest.mark.registry


def invoke(*arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-m", "invoke", *arguments], cwd=root, capture_output=True, text=True, check=False
    )


def redirector() -> Path:
    return next(package("pypi mitmproxy-macos 0.12.15").rglob("Mitmproxy Redirector.app"))


def test_reproduce_says_every_slice_and_every_seal() -> None:
    """All four CodeDirectories and both seals of an app with a system extension come out identical; exit 0."""
    done = invoke("file.reproduce", str(redirector()), "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["identical"] is True
    assert [(one["seal"], [each["identical"] for each in one["slices"]]) for one in said["code"]] == [
        (True, [True, True])
    ] * 2


def test_reproduce_tells_a_seal_that_differs(tmp_path: Path) -> None:
    """A file added to the bundle makes another seal; exit 9."""
    copy = tmp_path / "Copy.app"
    shutil.copytree(redirector(), copy, symlinks=True)
    (copy / "Contents/Resources/added").write_bytes(b"")
    done = invoke("file.reproduce", str(copy))
    assert done.returncode == 9
    assert "Mitmproxy Redirector: CodeResources: DIFFERS" in done.stdout


def test_a_ticket_proves_all_code_in_the_app() -> None:
    """The stapled ticket names the slices of the app and of the system extension in it; exit 0, no network."""
    done = invoke("file.ticket", str(redirector()), "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert [one["proved"] for one in said["slices"]] == [True] * 4
    assert {one["cdhash"] for one in said["slices"]} == {one["hash"] for one in said["hashes"]}


def test_inspect_shows_seals_and_slices() -> None:
    """Every signature in the bundle is shown, and every seal."""
    done = invoke("file.inspect", str(redirector()))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("rules: codesign's own") == 2
    assert "path: Contents/MacOS/Mitmproxy Redirector" in done.stdout


def test_strip_and_sign(tmp_path: Path) -> None:
    """A bundle is stripped and signed from the command line, and then verifies."""
    app = next(package("pypi PySide6-Essentials 6.11.3").rglob("Linguist.app"))
    stripped, signed = str(tmp_path / "1" / app.name), str(tmp_path / "2" / app.name)
    assert invoke("file.strip", str(app), "--output", stripped).returncode == 0
    assert invoke("file.verify", stripped).returncode == 9
    assert invoke("file.sign", stripped, "--output", signed).returncode == 0
    done = invoke("file.verify", signed)
    assert done.returncode == 0, done.stderr
    assert "arm64: valid" in done.stdout
