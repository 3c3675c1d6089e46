"""What the seals of signed bundles say, read by parsers of others."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from builders import bundles, mach
from builders.clients import need
from builders.signed_bundles import DEVELOPER, seal, sha1, sha256, sign

from pipeline.codesign.eras import era_named
from pipeline.codesign.options import SigningOptions
from pipeline.disk import sign_bundle, verify_path
from pipeline.host import Files


def test_a_plain_apps_seal_names_its_resources(tmp_path: Path) -> None:
    """Of a plain app the resources alone are sealed, each by its SHA-256, and by its SHA-1 for old systems."""
    signed = sign(bundles.app(tmp_path))
    resources = signed / "Contents/Resources"
    names = ["icon.icns", "empty", "en.lproj/Localizable.strings", "Base.lproj/Main.nib"]
    optional = "en.lproj/Localizable.strings"
    expected2: dict[str, Any] = {f"Resources/{name}": {"hash2": sha256(resources / name)} for name in names}
    expected2[f"Resources/{optional}"]["optional"] = True
    expected: dict[str, Any] = {f"Resources/{name}": sha1(resources / name) for name in names}
    expected[f"Resources/{optional}"] = {"hash": sha1(resources / optional), "optional": True}
    assert seal(signed)["files2"] == expected2
    assert seal(signed)["files"] == expected


def test_a_rich_apps_seal_names_everything_once(tmp_path: Path) -> None:
    """Nested code is named by its CDHash, links by their text, what the rules leave out not at all."""
    signed = sign(bundles.rich_app(tmp_path))
    found = seal(signed)["files2"]
    nested = {path for path, value in found.items() if "cdhash" in value}
    links = {path: value["symlink"] for path, value in found.items() if "symlink" in value}
    assert nested == {
        "MacOS/second",
        "Helpers/helper",
        "Frameworks/libplain.dylib",
        "Frameworks/deep/libdeep.dylib",
        "Frameworks/Engine.framework",
        "XPCServices/Service.xpc",
        "PlugIns/Share.appex",
        "PlugIns/Old.bundle",
        "Library/LoginItems/Login.app",
        "Library/Spotlight/Files.mdimporter",
    }
    assert links == {"MacOS/alias": "tool", "Resources/latest": "icon.icns", "Resources/de.lproj/link": "../icon.icns"}
    assert found["Resources/de.lproj/link"]["optional"] is True
    assert found.keys() - nested - links.keys() == {
        "version.plist",
        "embedded.provisionprofile",
        "MacOS/tool.dSYM/Contents/Info.plist",
        "MacOS/tool.dSYM/Contents/Resources/DWARF/tool",
        "Resources/icon.icns",
        "Resources/empty",
        "Resources/en.lproj/Localizable.strings",
        "Resources/de.lproj/Localizable.strings",
        "Resources/Base.lproj/Main.nib",
        "Resources/sub.folder/a & b <c>.txt",
        "Resources/\u00fcber/\u65e5\u672c.txt",
    }


def test_the_seal_holds_what_nested_code_is(tmp_path: Path) -> None:
    """CDHash and requirement of nested code in a seal are those of its native slice's signature."""
    signed = sign(bundles.rich_app(tmp_path))
    (native,) = (
        one for one in verify_path(signed / "Contents/MacOS/second", anchors=DEVELOPER.anchors) if one.arch == "arm64"
    )
    entry = seal(signed)["files2"]["MacOS/second"]
    assert entry["cdhash"].hex() == native.cdhash
    assert entry["requirement"] == native.requirement


def test_ad_hoc_nested_code_is_known_by_all_its_slices(tmp_path: Path) -> None:
    """Without a certificate the requirement names the CDHash of every slice, the native one's first."""
    signed = sign(bundles.rich_app(tmp_path), ad_hoc=True)
    hashes = {one.arch: one.cdhash for one in verify_path(signed / "Contents/MacOS/second", anchors=DEVELOPER.anchors)}
    entry = seal(signed)["files2"]["MacOS/second"]
    assert entry["requirement"] == f'cdhash H"{hashes["arm64"]}" or cdhash H"{hashes["x86_64"]}"'


def test_an_old_target_is_sealed_twice(tmp_path: Path) -> None:
    """Where the executable's deployment target asks for SHA-1, the seal has it beside SHA-256 in both parts."""
    code = mach.image(arch="x86_64", minimum="10.9")
    signed = sign(bundles.app(tmp_path, code=code))
    icon = signed / "Contents/Resources/icon.icns"
    assert seal(signed)["files2"]["Resources/icon.icns"] == {"hash": sha1(icon), "hash2": sha256(icon)}


def test_the_oldest_era_writes_plain_hashes(tmp_path: Path) -> None:
    """An entry with a SHA-1 alone is the hash itself, as codesign of 10.11 wrote it."""
    options = SigningOptions(anchors=DEVELOPER.anchors, era=era_named("macos-10.11"))
    signed = sign(bundles.app(tmp_path, code=mach.image(arch="x86_64", minimum="10.9")), options=options)
    icon = signed / "Contents/Resources/icon.icns"
    assert seal(signed)["files2"]["Resources/icon.icns"] == sha1(icon)
    assert verify_path(signed, anchors=DEVELOPER.anchors)


@pytest.mark.rcodesign
def test_rcodesign_seals_alike(tmp_path: Path) -> None:
    """Around the same nested signatures rcodesign, and we, write the same CodeResources in every bundle of an app.

    Three things are left out, in which rcodesign is known to differ from Security's sources: of universal code it
    records the first slice, not the native one; it seals locversion.plist for old systems, against its own rules; and
    it does not call links in localizations optional.
    """
    rcodesign = need("rcodesign")
    bundle = bundles.rich_app(tmp_path)
    (bundle / "Contents/Resources/de.lproj/locversion.plist").unlink()
    (bundle / "Contents/Resources/de.lproj/link").unlink()
    for path in bundle.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\xca\xfe\xba\xbe":
            kind = "dylib" if path.suffix == ".dylib" or path.name == "Engine" else "execute"
            path.write_bytes(mach.image(kind=kind))
    theirs, ours = tmp_path / "theirs" / bundle.name, tmp_path / "ours" / bundle.name
    subprocess.run([rcodesign, "sign", bundle, theirs], check=True, capture_output=True)
    sign_bundle(Files(), theirs, ours, SigningOptions(), nested=lambda _path, _options: None)
    name = "_CodeSignature/CodeResources"
    seals = [path.relative_to(theirs) for path in theirs.rglob(name)]
    assert len(seals) == 8
    for path in seals:
        assert (ours / path).read_bytes() == (theirs / path).read_bytes(), path


@pytest.mark.rcodesign
def test_rcodesign_reads_what_we_signed(tmp_path: Path) -> None:
    """rcodesign finds no problem in any executable, and the same digests of Info.plist and seal."""
    rcodesign = need("rcodesign")
    signed = sign(bundles.app(tmp_path))
    code = signed / "Contents/MacOS/tool"
    verified = subprocess.run([rcodesign, "verify", code], capture_output=True, text=True, check=True)
    assert "no problems detected" in verified.stdout + verified.stderr
    shown = subprocess.run(
        [rcodesign, "print-signature-info", signed], capture_output=True, text=True, check=True
    ).stdout
    assert f"Info (1): {sha256(signed / 'Contents/Info.plist').hex()}" in shown
    assert f"Resources (3): {sha256(signed / 'Contents/_CodeSignature/CodeResources').hex()}" in shown
