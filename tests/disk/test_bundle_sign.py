"""Signed bundles: what their seals say, read by parsers of others."""

from __future__ import annotations

import hashlib
import os
import plistlib
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from builders import bundles, chain, mach
from builders.bundles import framework, info, plugin, under, write
from builders.clients import need

from pipeline.codesign.code_directory import Flags, HashType
from pipeline.codesign.eras import era_named
from pipeline.codesign.options import SigningOptions
from pipeline.disk import sign_bundle, strip, verify_path
from pipeline.errors import ConfigurationError, SigningError, VerificationError
from pipeline.host import Files

DEVELOPER = chain.developer_id()
OPTIONS = SigningOptions(anchors=DEVELOPER.anchors, flags=Flags.RUNTIME)


def sign(bundle: Path, output: Path | None = None, options: SigningOptions = OPTIONS, *, ad_hoc: bool = False) -> Path:
    output = output or bundle.parent / "signed" / bundle.name
    identity = None if ad_hoc else DEVELOPER.identity
    sign_bundle(Files(), bundle, output, options, identity, signing_time=chain.SIGNED_AT)
    return output


def seal(bundle: Path) -> dict[str, Any]:
    found = plistlib.loads((bundle / "Contents/_CodeSignature/CodeResources").read_bytes())
    assert isinstance(found, dict)
    return found


def sha256(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def sha1(path: Path) -> bytes:
    return hashlib.sha1(path.read_bytes()).digest()


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


def test_nested_code_has_its_own_identifier_and_no_entitlements(tmp_path: Path) -> None:
    """Nested code takes flags and team from the bundle around it, and nothing that names or entitles."""
    entitlements = plistlib.dumps({"com.apple.security.network.client": True})
    options = SigningOptions(
        anchors=DEVELOPER.anchors, flags=Flags.RUNTIME, identifier="com.example.other", entitlements=entitlements
    )
    signed = sign(bundles.rich_app(tmp_path), options=options)
    outer = verify_path(signed, anchors=DEVELOPER.anchors)
    assert {(one.identifier, one.team, one.flags) for one in outer} == {
        ("com.example.other", "ABCDE12345", ("runtime",))
    }
    assert all(one.entitlements == {"com.apple.security.network.client": True} for one in outer)
    for path, identifier in {
        "XPCServices/Service.xpc": "com.example.service",
        "Frameworks/Engine.framework/Versions/A/Engine": "com.example.engine",
        "Frameworks/Engine.framework/Versions/A/Helpers/Helper.app/Contents/MacOS/Helper": "com.example.h",
        "Frameworks/libplain.dylib": "libplain",
        "MacOS/second": "second",
    }.items():
        found = verify_path(signed / "Contents" / path, anchors=DEVELOPER.anchors)
        assert {(one.identifier, one.team, one.entitlements) for one in found} == {(identifier, "ABCDE12345", None)}


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


def test_signing_is_repeatable(tmp_path: Path) -> None:
    """Signing twice, and signing what is signed, makes the same files, and changes no input."""
    bundle = bundles.rich_app(tmp_path)
    before = tree(bundle)
    first = sign(bundle, tmp_path / "1" / bundle.name)
    second = sign(bundle, tmp_path / "2" / bundle.name)
    third = sign(first, tmp_path / "3" / bundle.name)
    assert tree(first) == tree(second) == tree(third)
    assert tree(bundle) == before


def tree(folder: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)  # noqa: PTH115 - Path would rewrite the text
        elif path.is_file():
            found[name] = (path.stat().st_mode & 0o777, sha256(path))
        else:
            found[name] = None
    return found


def test_what_is_not_code_is_kept_as_it_is(tmp_path: Path) -> None:
    """Links, modes, empty folders and every resource come out as they went in."""
    bundle = bundles.rich_app(tmp_path)
    signed = sign(bundle)
    before, after = tree(bundle), tree(signed)
    changed = {name for name in before if before[name] != after.get(name)}
    assert all("/MacOS/" in name or name.endswith(("Engine", "dylib", "helper")) for name in changed)
    assert not before.keys() - after.keys()
    assert {name for name in after.keys() - before.keys() if "_CodeSignature" not in name} == set()


def test_a_stale_ticket_and_an_old_signature_are_left_out(tmp_path: Path) -> None:
    """A ticket belongs to the signature that is replaced, and so do other files beside the old seal."""
    bundle = bundles.app(
        tmp_path, files={"Contents/CodeResources": b"s8ch", "Contents/_CodeSignature/CodeDirectory": b"old"}
    )
    with pytest.raises(SigningError, match="folder of the signature"):
        sign(bundle)
    (bundle / "Contents/_CodeSignature/CodeDirectory").unlink()
    signed = sign(bundle)
    assert not (signed / "Contents/CodeResources").exists()
    assert [path.name for path in (signed / "Contents/_CodeSignature").iterdir()] == ["CodeResources"]


def test_a_framework_with_two_versions(tmp_path: Path) -> None:
    """Every version of a nested framework is signed; the seal names the current one."""
    other = {
        f"Versions/B/{name.removeprefix('Versions/A/')}": content
        for name, content in framework("Engine").items()
        if name.startswith("Versions/A/")
    }
    files = under("Contents/Frameworks/Engine.framework", {**framework("Engine"), **other})
    signed = sign(bundles.app(tmp_path, files=files))
    assert verify_path(signed, anchors=DEVELOPER.anchors)
    for version in ("A", "B"):
        assert (
            signed / f"Contents/Frameworks/Engine.framework/Versions/{version}/_CodeSignature/CodeResources"
        ).is_file()


@pytest.mark.parametrize(
    ("name", "files"),
    [
        pytest.param("Tool.app", {"Info.plist": info("tool"), "tool": bundles.universal(), "a.txt": b"a"}, id="flat"),
        pytest.param(
            "Old.plugin",
            {"Resources/Info.plist": info("Old", kind="BNDL"), "Old": bundles.universal("bundle"), "Resources/a": b""},
            id="old",
        ),
        pytest.param("Engine.framework", framework("Engine"), id="framework"),
        pytest.param("Service.xpc", plugin("com.example.service", "Service", "XPC!"), id="XPC service"),
        pytest.param(
            "Net.systemextension", plugin("com.example.net", "com.example.net", "SYSX"), id="system extension"
        ),
        pytest.param(
            "Driver.kext",
            {
                "Contents/Info.plist": info("Driver", kind="KEXT"),
                "Contents/MacOS/Driver": mach.fat(mach.image(arch="x86_64", kind="kext", minimum="10.13")),
            },
            id="kext",
        ),
    ],
)
def test_bundles_of_every_layout(tmp_path: Path, name: str, files: bundles.Files) -> None:
    """Bundles of other layouts are signed and verify; any byte of them that is changed afterwards is told."""
    signed = sign(write(tmp_path / name, files))
    assert verify_path(signed, anchors=DEVELOPER.anchors)[0].team == "ABCDE12345"


def test_nested_code_can_be_kept(tmp_path: Path) -> None:
    """A caller may keep the signatures that nested code has; without one there is an error that names it."""
    bundle = bundles.app(tmp_path, files={"Contents/MacOS/second": bundles.universal()})
    output = tmp_path / "signed" / bundle.name
    with pytest.raises(SigningError, match="not signed") as caught:
        sign_bundle(Files(), bundle, output, OPTIONS, DEVELOPER.identity, nested=lambda _path, _options: None)
    assert "Contents/MacOS/second" in str(caught.value)
    first = sign(bundle, tmp_path / "first" / bundle.name)
    sign_bundle(Files(), first, output, OPTIONS, nested=lambda _path, _options: None)
    assert sha256(output / "Contents/MacOS/second") == sha256(first / "Contents/MacOS/second")


def test_loose_code_is_signed_before_it_is_sealed(tmp_path: Path) -> None:
    """A program and a system extension that the seal covers as data are signed, and the seal holds their new bytes."""
    extension = "Contents/Library/SystemExtensions/com.example.net.systemextension"
    files: bundles.Files = {
        "Contents/Resources/tools/helper": bundles.universal(),
        "Contents/Resources/tools/helper.o": mach.image(kind="object"),
        **under(extension, plugin("com.example.net", "com.example.net", "SYSX")),
    }
    signed = sign(bundles.app(tmp_path, files=files))
    assert verify_path(signed, anchors=DEVELOPER.anchors)
    assert verify_path(signed / "Contents/Resources/tools/helper", anchors=DEVELOPER.anchors)[0].team == "ABCDE12345"
    assert verify_path(signed / extension, anchors=DEVELOPER.anchors)[0].identifier == "com.example.net"
    executable = f"{extension}/Contents/MacOS/com.example.net"
    found = seal(signed)["files2"]
    assert found[executable.removeprefix("Contents/")] == {"hash2": sha256(signed / executable)}
    assert found["Resources/tools/helper"] == {"hash2": sha256(signed / "Contents/Resources/tools/helper")}
    assert (signed / "Contents/Resources/tools/helper.o").read_bytes() == mach.image(kind="object")


PLAIN: bundles.Files = {
    "Contents/Info.plist": info(None, "com.example.strings", "BNDL"),
    "Contents/Resources/en.lproj/Localizable.strings": b'"a" = "b";',
    "Contents/Resources/data": b"data",
}


@pytest.mark.parametrize("ad_hoc", [True, False])
def test_a_bundle_without_an_executable(tmp_path: Path, ad_hoc: bool) -> None:
    """Where there is no executable, the Info.plist is what is signed, and the signature is in files beside the seal."""
    signed = sign(write(tmp_path / "Strings.bundle", PLAIN), ad_hoc=ad_hoc)
    folder = signed / "Contents/_CodeSignature"
    assert {path.name for path in folder.iterdir()} == {
        "CodeDirectory",
        "CodeRequirements",
        "CodeResources",
        "CodeSignature",
    }
    directory = (folder / "CodeDirectory").read_bytes()
    magic, length, version, _flags, hashes, identifier, special, code, limit = struct.unpack_from(">9I", directory)
    assert (magic, length, special, code) == (0xFADE0C02, len(directory), 3, 1)
    assert version == (0x20100 if ad_hoc else 0x20200)
    assert limit == (signed / "Contents/Info.plist").stat().st_size
    assert directory[39] == 0, "not in pages"
    assert directory[identifier:].startswith(b"com.example.strings\0")
    slots = [directory[hashes + 32 * number :][:32] for number in range(-3, 1)]
    assert slots == [
        sha256(folder / "CodeResources"),
        sha256(folder / "CodeRequirements"),
        sha256(signed / "Contents/Info.plist"),
        sha256(signed / "Contents/Info.plist"),
    ]
    assert ((folder / "CodeSignature").stat().st_size == 0) is ad_hoc
    (found,) = verify_path(signed, anchors=DEVELOPER.anchors)
    assert found.cdhash == hashlib.sha256(directory).hexdigest()[:40]
    assert (found.identifier, found.team) == ("com.example.strings", None if ad_hoc else "ABCDE12345")


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("Info.plist", "Info.plist"),
        ("Resources/data", "Resources/data"),
        ("_CodeSignature/CodeDirectory", "Info.plist"),
        ("_CodeSignature/CodeRequirements", "requirements"),
        ("_CodeSignature/CodeResources", "CodeResources"),
        ("_CodeSignature/CodeSignature", "CMS"),
    ],
)
def test_a_change_of_a_bundle_without_an_executable(tmp_path: Path, name: str, named: str) -> None:
    """Every file of such a bundle is covered, those of the signature too."""
    signed = sign(write(tmp_path / "Strings.bundle", PLAIN))
    path = signed / "Contents" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(VerificationError, match=named):
        verify_path(signed, anchors=DEVELOPER.anchors)


def test_two_code_directories_in_files(tmp_path: Path) -> None:
    """The second CodeDirectory of such a bundle is in the file that codesign gives it."""
    options = SigningOptions(anchors=DEVELOPER.anchors, hash_types=(HashType.SHA1, HashType.SHA256))
    signed = sign(write(tmp_path / "Strings.bundle", PLAIN), options=options)
    second = (signed / "Contents/_CodeSignature/CodeRequirements-1").read_bytes()
    (found,) = verify_path(signed, anchors=DEVELOPER.anchors)
    assert found.cdhash == hashlib.sha256(second).hexdigest()[:40]


def test_nested_without_an_executable(tmp_path: Path) -> None:
    """A nested bundle without an executable is sealed by its CDHash as others are."""
    files = under("Contents/PlugIns/Strings.bundle", PLAIN)
    signed = sign(bundles.app(tmp_path, files=files))
    directory = signed / "Contents/PlugIns/Strings.bundle/Contents/_CodeSignature/CodeDirectory"
    assert seal(signed)["files2"]["PlugIns/Strings.bundle"]["cdhash"] == sha256(directory)[:20]
    assert verify_path(signed, anchors=DEVELOPER.anchors)


def test_a_stripped_bundle_is_as_it_was(tmp_path: Path) -> None:
    """Without its signature a bundle says so, and signed again it is what it was; code inside keeps its own."""
    signed = sign(bundles.rich_app(tmp_path))
    stripped = tmp_path / "stripped" / signed.name
    strip(Files(), signed, stripped)
    with pytest.raises(VerificationError, match="not sealed"):
        verify_path(stripped, anchors=DEVELOPER.anchors)
    assert verify_path(stripped / "Contents/MacOS/second", anchors=DEVELOPER.anchors)
    assert tree(sign(stripped, tmp_path / "again" / signed.name)) == tree(signed)


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    """Where signing fails, what stood at the output stays, and nothing else appears."""
    bundle = bundles.app(tmp_path, files={"Contents/MacOS/script": b"#!/bin/sh\n"})
    output = write(tmp_path / "signed" / "Tool.app", {"old": b"old"})
    with pytest.raises(SigningError):
        sign(bundle, output)
    assert tree(tmp_path / "signed") == {"Tool.app": None, "Tool.app/old": (0o644, hashlib.sha256(b"old").digest())}


def test_no_bundle(tmp_path: Path) -> None:
    """A path that is no folder is refused."""
    with pytest.raises(ConfigurationError):
        sign(tmp_path / "absent.app")


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


def test_wall_of_files_is_copied_once(tmp_path: Path) -> None:
    """Signing in place of an older output replaces it whole: no file of the older one is left."""
    bundle = bundles.app(tmp_path)
    output = sign(bundle)
    (output / "Contents/Resources/stale").write_bytes(b"")
    sign(bundle, output)
    assert not (output / "Contents/Resources/stale").exists()
    shutil.rmtree(output)
