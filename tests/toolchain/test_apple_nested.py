"""Code inside an app, signed by codesign's double: our own eyes on each piece of it, not on the app alone."""

from __future__ import annotations

import plistlib
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from builders.apple_host import REQUEST, Mac
from doubles.bench import Fault

from pipeline.errors import SigningError
from pipeline.toolchain import SignRequest

_HELPER = "Contents/Helpers/helper"
_JIT = plistlib.dumps({"com.apple.security.cs.allow-jit": True})


@pytest.fixture
def app(thins: Path, tmp_path: Path) -> Path:
    """An app with a helper, unsigned."""
    app = tmp_path / "unsigned" / "X.app"
    for place in (app / "Contents" / "MacOS" / "X", app / _HELPER):
        place.parent.mkdir(parents=True)
        shutil.copy(thins / "arm64", place)
    information = {"CFBundleExecutable": "X", "CFBundleIdentifier": "com.example.tool", "CFBundlePackageType": "APPL"}
    (app / "Contents" / "Info.plist").write_bytes(plistlib.dumps(information))
    return app


def refused(mac: Mac, app: Path, tmp_path: Path, request: SignRequest) -> str:
    """What is said of an app that is not signed; nothing of it is left."""
    with pytest.raises(SigningError) as caught:
        mac.toolchain().sign_bundle(app, tmp_path / "signed" / "X.app", request)
    assert not (tmp_path / "signed").exists()
    assert not list((mac.folder / ".work" / "apple").iterdir())
    return str(caught.value)


@pytest.mark.parametrize(
    ("levers", "words"),
    [({"no-runtime": True}, "no hardened runtime"), ({"no-timestamp": True}, "no secure time stamp")],
)
def test_what_codesign_left_out_of_a_helper_is_caught(
    mac: Mac, app: Path, tmp_path: Path, levers: dict[str, object], words: str
) -> None:
    """An option that codesign ignored for nested code alone fails with the path in the app."""
    mac.bench.set(**levers)
    said = refused(mac, app, tmp_path, REQUEST)
    assert f"{_HELPER}: arm64: codesign left something else than was asked for: {words}" in said


def test_a_helper_that_codesign_passed_over_is_caught(mac: Mac, app: Path, tmp_path: Path) -> None:
    """Exit 0 and nothing done: the entitlements of its pattern are not there."""
    request = replace(REQUEST, nested_entitlements={"Contents/Helpers/*": _JIT})
    mac.toolchain().sign_bundle(app, tmp_path / "whole" / "X.app", REQUEST)
    shutil.rmtree(app)
    shutil.copytree(tmp_path / "whole" / "X.app", app)
    mac.bench.set(Fault(tool="codesign", words=("--sign", "helper"), exit=0))
    assert f"{_HELPER}: arm64: codesign left something else than was asked for: other ent" in refused(
        mac, app, tmp_path, request
    )


def test_a_name_in_an_archive_that_no_file_has(mac: Mac, app: Path, thins: Path, tmp_path: Path) -> None:
    """codesign names code after its file: a member that is called `..` is refused, and writes nowhere."""
    with zipfile.ZipFile(app / "Contents" / "code.zip", "w") as archive:
        archive.writestr("native/..", (thins / "arm64").read_bytes())
    said = refused(mac, app, tmp_path, replace(REQUEST, sign_archives=True))
    assert "Contents/code.zip!/native/..: no file can have this name" in said
