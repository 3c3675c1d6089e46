"""Apple's own codesign and lipo on a real Mac, and our engine on the same files: byte for byte.

Ad hoc signatures hold no time and no key: whatever differs in them is a difference between the two programs.
"""

from __future__ import annotations

import platform
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import disk
from pipeline.codesign.code_directory import Flags
from pipeline.codesign.options import SigningOptions
from pipeline.host import system_host
from pipeline.identity import APPLE_ANCHORS
from pipeline.toolchain.apple import Tools
from pipeline.toolchain.apple.codesign import display, verify
from pipeline.toolchain.apple.lipo import archs

pytestmark = [
    pytest.mark.mac,
    pytest.mark.skipif(platform.system() != "Darwin", reason="needs a real Mac, which this machine is not"),
]

_ENTITLEMENTS = plistlib.dumps({"com.apple.security.cs.allow-jit": True, "com.apple.security.get-task-allow": True})
OPTIONS = {
    "plain": (None, None),
    "runtime": (Flags.RUNTIME, None),
    "entitled": (Flags.RUNTIME, _ENTITLEMENTS),
}


def run(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


@pytest.fixture
def tools() -> Tools:
    return Tools(host=system_host(), folder=None, record=lambda *_words, **_facts: None)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`x86_64` and `arm64`: an executable for each, without a signature, and `tool.app` around nothing yet."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "tool.c"
    source.write_text('#include <stdio.h>\nint main(void) { return puts("1") < 0; }\n')
    for arch in ("x86_64", "arm64"):
        run("/usr/bin/xcrun", "clang", "-arch", arch, "-O2", "-Wl,-no_adhoc_codesign", "-o", folder / arch, source)
    return folder


def sign_with_apple(path: Path, identifier: str, flags: Flags | None, entitlements: bytes | None) -> None:
    words: list[str | Path] = ["/usr/bin/codesign", "--force", "--sign", "-", "--identifier", identifier]
    if flags:
        words += ["--options", "runtime"]
    if entitlements is not None:
        plist = path.parent / "entitlements.plist"
        plist.write_bytes(entitlements)
        words += ["--entitlements", plist]
    run(*words, path)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("arch", ["x86_64", "arm64", "both"])
def test_an_ad_hoc_signature_is_codesigns_byte_for_byte(built: Path, tmp_path: Path, arch: str, name: str) -> None:
    """The same file, signed by codesign and by us with the same options, is the same file."""
    flags, entitlements = OPTIONS[name]
    source = tmp_path / "source"
    if arch == "both":
        run("/usr/bin/lipo", "-create", built / "x86_64", built / "arm64", "-output", source)
    else:
        shutil.copy(built / arch, source)
    theirs = Path(shutil.copy(source, tmp_path / "theirs"))
    sign_with_apple(theirs, "com.example.tool", flags, entitlements)
    options = SigningOptions(
        identifier="com.example.tool", flags=flags, entitlements=entitlements, anchors=APPLE_ANCHORS
    )
    disk.sign_file(system_host().files, source, tmp_path / "ours", options)
    assert (tmp_path / "ours").read_bytes() == theirs.read_bytes()


def test_an_apps_seal_is_codesigns_byte_for_byte(built: Path, tmp_path: Path) -> None:
    """CodeResources and the executable of an app come out alike."""
    source = tmp_path / "source" / "Tool.app"
    (source / "Contents" / "MacOS").mkdir(parents=True)
    (source / "Contents" / "Resources").mkdir()
    (source / "Contents" / "Resources" / "a file.txt").write_text("content\n")
    shutil.copy(built / "arm64", source / "Contents" / "MacOS" / "Tool")
    information = {
        "CFBundleExecutable": "Tool",
        "CFBundleIdentifier": "com.example.tool",
        "CFBundlePackageType": "APPL",
    }
    (source / "Contents" / "Info.plist").write_bytes(plistlib.dumps(information))
    theirs = tmp_path / "theirs" / "Tool.app"
    shutil.copytree(source, theirs)
    sign_with_apple(theirs, "com.example.tool", Flags.RUNTIME, None)
    options = SigningOptions(identifier="com.example.tool", flags=Flags.RUNTIME, anchors=APPLE_ANCHORS)
    ours = tmp_path / "ours" / "Tool.app"
    ours.parent.mkdir()
    disk.sign_bundle(system_host().files, source, ours, options)
    for path in ("Contents/_CodeSignature/CodeResources", "Contents/MacOS/Tool"):
        assert (ours / path).read_bytes() == (theirs / path).read_bytes(), path


def test_joined_files_are_lipos_byte_for_byte(built: Path, tmp_path: Path, tools: Tools) -> None:
    """lipo -create and our own joining give the same file, and lipo reads ours."""
    run("/usr/bin/lipo", "-create", built / "x86_64", built / "arm64", "-output", tmp_path / "theirs")
    disk.join(system_host().files, [built / "x86_64", built / "arm64"], tmp_path / "ours")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert sorted(archs(tools, tmp_path / "ours", "ours")) == ["arm64", "x86_64"]


def test_codesign_finds_our_signatures_valid(built: Path, tmp_path: Path, tools: Tools) -> None:
    """codesign verifies what we signed, slice by slice, shows our CDHashes, and the system runs it."""
    disk.join(system_host().files, [built / "x86_64", built / "arm64"], tmp_path / "both")
    options = SigningOptions(identifier="com.example.tool", flags=Flags.RUNTIME, anchors=APPLE_ANCHORS)
    ours = disk.sign_file(system_host().files, tmp_path / "both", tmp_path / "signed", options)
    verify(tools, tmp_path / "signed", tuple(one.arch for one in ours), "signed")
    for one in ours:
        shown = display(tools, tmp_path / "signed", one.arch, "signed")
        assert (shown.cdhash, shown.identifier, shown.flags) == (one.cdhash, one.identifier, one.flags)
    run(tmp_path / "signed")


def test_apples_own_programs_are_read_as_codesign_reads_them(tools: Tools) -> None:
    """Every slice of a system program and of this Python: our verifier and codesign show the same."""
    for path in (Path("/bin/ls"), Path(sys.executable).resolve()):
        for one in disk.verify_path(path, anchors=APPLE_ANCHORS):
            shown = display(tools, path, one.arch, str(path))
            assert (shown.cdhash, shown.identifier, shown.team) == (one.cdhash, one.identifier, one.team)
