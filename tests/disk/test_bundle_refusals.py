"""What codesign refuses to sign, or a Mac cannot keep: refused before anything is written, each by name."""

from __future__ import annotations

import os
import plistlib
import sys
from pathlib import Path
from typing import Any

import pytest
from builders import bundles
from builders.bundles import framework, info, plugin, under, write

from pipeline.codesign.options import SigningOptions
from pipeline.disk import sign_bundle
from pipeline.errors import SigningError
from pipeline.host import Files


def refused(bundle: Path) -> str:
    output = bundle.parent / "signed" / bundle.name
    with pytest.raises(SigningError) as caught:
        sign_bundle(Files(), bundle, output, SigningOptions())
    assert not output.parent.exists() or not list(output.parent.iterdir())
    return str(caught.value)


NO_RULES: list[dict[str, Any]] = [{}, {"rules": []}, {"rules": {"^.*": True}, "rules2": []}]


@pytest.mark.parametrize(
    ("files", "named", "reason"),
    [
        pytest.param({"readme.txt": b""}, "readme.txt", "unsealed contents", id="root"),
        pytest.param(
            {"Contents/stray.txt": b""}, "Contents/stray.txt", "move it to Contents/Resources", id="data beside"
        ),
        pytest.param(
            {"Contents/MacOS/run.sh": b"#!/bin/sh\n"}, "MacOS/run.sh", "move it to Contents/Resources", id="script"
        ),
        pytest.param(
            {"Contents/Frameworks/data.bin": b"\0"}, "Frameworks/data.bin", "move it to", id="data among code"
        ),
        pytest.param({"Contents/Frameworks/empty": b""}, "Frameworks/empty", "move it to", id="empty file among code"),
        pytest.param(
            {"Contents/MacOS/Main.class": b"\xca\xfe\xba\xbe\0\0\0\x34\0\x1d"},
            "Main.class",
            "move it to",
            id="Java class",
        ),
        pytest.param({"Contents/MacOS/v1.0/x": b""}, "MacOS/v1.0", "must be a bundle here", id="dotted folder"),
        pytest.param({"Contents/Resources/._icon.icns": b""}, "._icon.icns", "AppleDouble", id="AppleDouble"),
        pytest.param({"Contents/Resources/a\x01b": b""}, "Resources/", "control character", id="control character"),
        pytest.param(
            {"Contents/Resources/out": "../../../x"}, "Resources/out", "out of the bundle", id="escaping link"
        ),
        pytest.param({"Contents/Resources/abs": "/etc/passwd"}, "Resources/abs", "absolute link", id="absolute link"),
        pytest.param(
            {"Contents/Resources/up": "/System/../etc"}, "Resources/up", "absolute link", id="link through system"
        ),
        pytest.param({"Contents/Resources/gone": "nothing"}, "Resources/gone", "to nothing", id="dangling link"),
        pytest.param(
            {"Contents/Resources/far": "near", "Contents/Resources/near": "/icon.icns"},
            "Resources/far",
            "out of the bundle",
            id="link to an absolute link",
        ),
        pytest.param({"Contents/Resources/self": "self"}, "Resources/self", "to nothing", id="link to itself"),
        pytest.param(
            {"Contents/Resources/plist": "../Info.plist"}, "Resources/plist", "not sealed", id="link to unsealed"
        ),
        pytest.param(
            {"Contents/Resources/Icon.icns": b""},
            "Resources/",
            "by case or Unicode form",
            id="names that differ by case",
        ),
        pytest.param(
            {"Contents/Resources/\u00e9": b"", "Contents/Resources/e\u0301": b""},
            "Resources/",
            "Unicode form",
            id="by accents",
        ),
        pytest.param(
            {"Contents/Resources/.DS_Store": "icon.icns"}, ".DS_Store", "is a link", id="Finder's file as link"
        ),
        pytest.param(
            under("Contents/Frameworks/Engine.framework", {**framework("Engine"), "x": b""}),
            "Engine.framework/x",
            "root directory of the framework",
            id="framework's root",
        ),
        pytest.param(
            under("Contents/Frameworks/Engine.framework", {"Versions/A/Engine": bundles.universal("dylib")}),
            "Engine.framework",
            "Versions/Current",
            id="framework without links",
        ),
        pytest.param(
            under("Contents/PlugIns/Share.appex", {**plugin("com.example.share", "Share"), "Contents/MacOS/x": b"x"}),
            "Share.appex/Contents/MacOS/x",
            "move it to",
            id="inside nested code",
        ),
        pytest.param(
            {"Contents/Info.plist": info("tool", CFBundleResourceSpecification="Rules.plist")},
            "Contents/Rules.plist",
            "not there",
            id="rules that are not there",
        ),
        *(
            pytest.param(
                {
                    "Contents/Info.plist": info("tool", CFBundleResourceSpecification="Rules.plist"),
                    "Contents/Rules.plist": plistlib.dumps(rules),
                },
                "Contents/Rules.plist",
                "no resource rules",
                id=f"rules that are none {number}",
            )
            for number, rules in enumerate(NO_RULES)
        ),
    ],
)
def test_what_codesign_refuses(tmp_path: Path, files: bundles.Files, named: str, reason: str) -> None:
    """Each defect is named with its path and its reason, nothing is written."""
    message = refused(bundles.app(tmp_path, files=files))
    assert named in message
    assert reason in message


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    """A name of other bytes is shown and refused."""
    bundle = bundles.app(tmp_path)
    try:
        Path(os.fsdecode(os.fsencode(bundle / "Contents/Resources") + b"/caf\xe9")).write_bytes(b"")
    except OSError:
        pytest.skip("needs a file system that takes any bytes as a name")
    assert "caf\\xe9: the name is no UTF-8" in refused(bundle)


def test_a_fifo_cannot_be_sealed(tmp_path: Path) -> None:
    """What is neither file, folder nor link is refused; nobody waits for it."""
    bundle = bundles.app(tmp_path)
    os.mkfifo(bundle / "Contents/Resources/fifo")
    assert "Contents/Resources/fifo" in refused(bundle)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: Python sets attributes there alone")
@pytest.mark.parametrize("name", ["com.apple.FinderInfo", "com.apple.ResourceFork"])
def test_detritus(tmp_path: Path, name: str) -> None:
    """Finder information and resource forks are refused, with the way to be rid of them."""
    bundle = bundles.app(tmp_path)
    try:
        os.setxattr(bundle / "Contents/Resources/icon.icns", f"user.{name}", bytes(32))
    except OSError:
        pytest.skip("needs a file system with extended attributes")
    message = refused(bundle)
    assert "icon.icns" in message
    assert "xattr -cr" in message


def test_harmless_attributes_are_no_matter(tmp_path: Path) -> None:
    """Links into the system, and links to what the bundle seals, are fine."""
    bundle = bundles.app(
        tmp_path,
        files={
            "Contents/Resources/system": "/System/Library/CoreServices",
            "Contents/Resources/tool": "../MacOS/tool",
            "Contents/Resources/here": ".",
            "Contents/Resources/chain": "one",
            "Contents/Resources/one": "icon.icns",
        },
    )
    assert sign_bundle(Files(), bundle, tmp_path / "signed/Tool.app", SigningOptions())


def test_links_to_links_are_followed_as_far_as_macos_does(tmp_path: Path) -> None:
    """32 links one after the other (MAXSYMLINKS of Darwin's <sys/param.h>), and no 33rd."""
    links = {f"Contents/Resources/{number}": f"{number + 1}" for number in range(32)}
    bundle = bundles.app(tmp_path, files={**links, "Contents/Resources/32": "icon.icns"})
    # Link 0 leads to link 1: of those behind it there are 32.
    assert sign_bundle(Files(), bundle, tmp_path / "first/Tool.app", SigningOptions())
    (bundle / "Contents/Resources/32").unlink()
    write(bundle, {"Contents/Resources/32": "33", "Contents/Resources/33": "icon.icns"})
    message = refused(bundle)
    assert "Contents/Resources/0: a link to 1, which leads out of the bundle or to nothing" in message


def test_all_is_told_at_once(tmp_path: Path) -> None:
    """One attempt names everything there is to mend."""
    message = refused(
        bundles.app(tmp_path, files={"readme": b"", "Contents/MacOS/run.sh": b"#!", "Contents/Resources/abs": "/etc"})
    )
    for name in ("readme", "Contents/MacOS/run.sh", "Contents/Resources/abs"):
        assert name in message


def test_a_bundle_of_before_2014_has_rules_of_its_own(tmp_path: Path) -> None:
    """Resource rules that the Info.plist names are those of the seal."""
    rules = {
        "rules": {"^Resources/": True},
        "rules2": {"^.*": True, "^Resources/skipped": {"omit": True, "weight": 50.0}},
    }
    bundle = bundles.app(
        tmp_path,
        files={
            "Contents/Info.plist": info("tool", CFBundleResourceSpecification="Rules.plist"),
            "Contents/Rules.plist": plistlib.dumps(rules),
            "Contents/Resources/skipped": b"",
        },
    )
    signed = tmp_path / "signed/Tool.app"
    sign_bundle(Files(), bundle, signed, SigningOptions())
    seal = plistlib.loads((signed / "Contents/_CodeSignature/CodeResources").read_bytes())
    assert seal["rules2"] == rules["rules2"]
    assert "Resources/skipped" not in seal["files2"]
    assert "Resources/icon.icns" in seal["files2"]


def test_nothing_is_written_to_an_input(tmp_path: Path) -> None:
    """A bundle whose folders may not be written is signed all the same: the copy may."""
    bundle = write(bundles.app(tmp_path), {})
    for folder in [bundle, *(path for path in bundle.rglob("*") if path.is_dir())]:
        folder.chmod(0o555)
    try:
        assert sign_bundle(Files(), bundle, tmp_path / "signed/Tool.app", SigningOptions())
    finally:
        for folder in [bundle, *(path for path in bundle.rglob("*") if path.is_dir())]:
            folder.chmod(0o755)
