"""Bundles whose main executable is no Mach-O file: a script, a static library. Their signature is beside the seal."""

from __future__ import annotations

import hashlib
import plistlib
import struct
from pathlib import Path

import pytest
from builders.bundles import app, framework, info, under, write

from pipeline.codesign.bundle_describe import describe_bundle
from pipeline.codesign.bundle_reproduce import reproduce_bundle
from pipeline.codesign.options import SigningOptions
from pipeline.disk import FolderTree, sign_bundle, verify_path
from pipeline.errors import SigningError, VerificationError
from pipeline.host import Files
from pipeline.identity import APPLE_ANCHORS

OPTIONS = SigningOptions(anchors=APPLE_ANCHORS)
SCRIPT = b"#!/bin/sh\nexec true\n"
ARCHIVE = b"!<arch>\n" + bytes(92)
# Of static libraries, as an XCFramework of one for two processors has it.
ARCHIVES = (
    struct.pack(">2I", 0xCAFEBABE, 2)
    + struct.pack(">5I", 0x0100000C, 0, 48, 100, 2)
    + struct.pack(">5I", 0x01000007, 3, 148, 100, 2)
    + ARCHIVE * 2
)
PARTS = {"CodeDirectory", "CodeRequirements", "CodeResources", "CodeSignature"}


def scripted(folder: Path) -> Path:
    files = {
        "Contents/Info.plist": info("run", "com.example.script"),
        "Contents/MacOS/run": SCRIPT,
        "Contents/Resources/data": b"data",
    }
    return write(folder / "Script.app", files)


def signed(bundle: Path) -> Path:
    sign_bundle(Files(), bundle, bundle, OPTIONS)
    return bundle


def test_an_app_that_is_a_script(tmp_path: Path) -> None:
    """The script is hashed whole and is not in the seal; its signature is in files beside that."""
    bundle = signed(scripted(tmp_path))
    folder = bundle / "Contents/_CodeSignature"
    assert {path.name for path in folder.iterdir()} == PARTS
    assert (bundle / "Contents/MacOS/run").read_bytes() == SCRIPT
    directory = (folder / "CodeDirectory").read_bytes()
    assert struct.unpack_from(">I", directory, 32) == (len(SCRIPT),)
    assert directory.endswith(hashlib.sha256(SCRIPT).digest())
    seal = plistlib.loads((folder / "CodeResources").read_bytes())
    assert seal["files2"].keys() == {"Resources/data"}
    (found,) = verify_path(bundle, anchors=APPLE_ANCHORS)
    assert (found.arch, found.identifier) == ("none", "com.example.script")
    (again,) = reproduce_bundle(FolderTree(bundle), bundle.name)
    assert (again.path, again.is_identical, again.seal) == ("Contents/MacOS/run", True, True)


def test_its_signature_is_described(tmp_path: Path) -> None:
    """Beside the seal, under the path of the executable, and what is signed within it before."""
    helper = under("Contents/Helpers/Helper.app", {"Contents/Info.plist": info("go", "com.example.helper")})
    files = {**helper, "Contents/Helpers/Helper.app/Contents/MacOS/go": SCRIPT}
    bundle = signed(write(scripted(tmp_path), files))
    facts = describe_bundle(FolderTree(bundle), bundle.name)
    assert [one["path"].removeprefix("Contents/") for one in facts] == [
        "Helpers/Helper.app/Contents/MacOS/go",
        "Helpers/Helper.app/Contents/_CodeSignature/CodeResources",
        "MacOS/run",
        "_CodeSignature/CodeResources",
    ]
    assert [one["signature"]["identifier"] for one in facts[::2]] == ["com.example.helper", "com.example.script"]
    (nested,) = facts[-1]["seal"]["nested"]
    assert nested["cdhash"] == facts[0]["signature"]["cdhash"]
    assert len(reproduce_bundle(FolderTree(bundle), bundle.name)) == 2


def test_a_changed_script_is_told(tmp_path: Path) -> None:
    """By its path, longer or of the same length; a removed signature too."""
    bundle = signed(scripted(tmp_path))
    script = bundle / "Contents/MacOS/run"
    for content in (SCRIPT + b"\n", SCRIPT.replace(b"true", b"yes ")):
        script.write_bytes(content)
        with pytest.raises(VerificationError, match="Contents/MacOS/run"):
            verify_path(bundle, anchors=APPLE_ANCHORS)
    script.write_bytes(SCRIPT)
    assert verify_path(bundle, anchors=APPLE_ANCHORS)
    (bundle / "Contents/_CodeSignature/CodeDirectory").unlink()
    with pytest.raises(VerificationError, match="not signed"):
        verify_path(bundle, anchors=APPLE_ANCHORS)


def test_entitlements_are_refused(tmp_path: Path) -> None:
    """codesign drops them without a word: only Mach-O files can have them."""
    bundle = scripted(tmp_path)
    options = SigningOptions(
        anchors=APPLE_ANCHORS, entitlements=plistlib.dumps({"com.apple.security.app-sandbox": True})
    )
    with pytest.raises(SigningError, match="the bundle's executable is none"):
        sign_bundle(Files(), bundle, bundle, options)


@pytest.mark.parametrize("library", [ARCHIVE, ARCHIVES], ids=["thin", "universal"])
def test_a_framework_of_a_static_library(tmp_path: Path, library: bytes) -> None:
    """On its own, and inside an app, whose seal names it by its CDHash."""
    bundle = signed(write(tmp_path / "Static.framework", framework("Static", code=library)))
    assert {path.name for path in (bundle / "Versions/A/_CodeSignature").iterdir()} == PARTS
    (found,) = verify_path(bundle, anchors=APPLE_ANCHORS)
    (again,) = reproduce_bundle(FolderTree(bundle), bundle.name)
    assert (again.path, again.is_identical, again.seal) == ("Versions/A/Static", True, True)
    outer = signed(
        app(tmp_path, files=under("Contents/Frameworks/Static.framework", framework("Static", code=library)))
    )
    seal = plistlib.loads((outer / "Contents/_CodeSignature/CodeResources").read_bytes())
    assert seal["files2"]["Frameworks/Static.framework"]["cdhash"].hex() == found.cdhash
    assert verify_path(outer, anchors=APPLE_ANCHORS)
