"""Bundles signed: which code, by whom, and what is left as it is."""

from __future__ import annotations

import hashlib
import os
import plistlib
import shutil
from pathlib import Path

import pytest
from builders import bundles, mach
from builders.bundles import framework, info, plugin, under, write
from builders.signed_bundles import DEVELOPER, OPTIONS, seal, sha256, sign, tree

from pipeline.codesign.code_directory import Flags
from pipeline.codesign.options import SigningOptions
from pipeline.codesign.requirements import compile_requirements
from pipeline.disk import sign_bundle, strip, verify_path
from pipeline.errors import ConfigurationError, SigningError, VerificationError
from pipeline.host import Files


def test_nested_code_has_its_own_identifier_and_no_entitlements(tmp_path: Path) -> None:
    """Nested code takes flags and team from the bundle around it, and nothing that names or entitles."""
    entitlements = plistlib.dumps({"com.apple.security.network.client": True})
    options = SigningOptions(
        anchors=DEVELOPER.anchors,
        flags=Flags.RUNTIME,
        identifier="com.example.other",
        entitlements=entitlements,
        requirements=compile_requirements('designated => identifier "com.example.other"'),
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
        assert not any("com.example.other" in (one.requirement or "") for one in found)


def test_signing_is_repeatable(tmp_path: Path) -> None:
    """Signing twice, and signing what is signed, makes the same files, and changes no input."""
    bundle = bundles.rich_app(tmp_path)
    before = tree(bundle)
    first = sign(bundle, tmp_path / "1" / bundle.name)
    second = sign(bundle, tmp_path / "2" / bundle.name)
    third = sign(first, tmp_path / "3" / bundle.name)
    assert tree(first) == tree(second) == tree(third)
    assert tree(bundle) == before


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
    escaping = under("Contents/Frameworks/Engine.framework", {"Versions/B/Resources/out": "../../../../../../../x"})
    with pytest.raises(SigningError, match=r"Versions/B/Resources/out.* out of the bundle"):
        sign(write(tmp_path / "Tool.app", escaping))


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


def test_nothing_of_a_killed_run_is_signed(tmp_path: Path) -> None:
    """What one with our process's number left of its work is not part of the bundle."""
    bundle, output = bundles.app(tmp_path), tmp_path / "signed/Tool.app"
    write(output.parent / f".Tool.app.{os.getpid()}.signing", {"Contents/Resources/stale": b"", "Contents/old": b""})
    sign(bundle, output)
    assert [path.name for path in output.parent.iterdir()] == ["Tool.app"]
    assert tree(output).keys() - tree(bundle).keys() == {
        "Contents/_CodeSignature",
        "Contents/_CodeSignature/CodeResources",
    }


def test_no_bundle(tmp_path: Path) -> None:
    """A path that is no folder is refused."""
    with pytest.raises(ConfigurationError):
        sign(tmp_path / "absent.app")


def test_wall_of_files_is_copied_once(tmp_path: Path) -> None:
    """Signing in place of an older output replaces it whole: no file of the older one is left."""
    bundle = bundles.app(tmp_path)
    output = sign(bundle)
    (output / "Contents/Resources/stale").write_bytes(b"")
    sign(bundle, output)
    assert not (output / "Contents/Resources/stale").exists()
    shutil.rmtree(output)
