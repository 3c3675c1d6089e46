"""Bundles signed again from what they record: whatever machine sealed them, with and without executables, old seals."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from pathlib import Path

import pytest
from builders import bundles, mach
from builders.bundles import framework, info, under, write
from builders.signing import sign

from pipeline.codesign.bundle import find_bundle
from pipeline.codesign.bundle_reproduce import reproduce_bundle
from pipeline.codesign.code_directory import HashType, build_code_directory, parse_code_directory
from pipeline.codesign.decisions import Machine
from pipeline.codesign.eras import era_named
from pipeline.codesign.options import SigningOptions
from pipeline.codesign.seal import build_seal
from pipeline.codesign.seal_nested import nested_seal
from pipeline.codesign.seal_rules import default_rules
from pipeline.disk import FolderTree, sign_bundle, verify_path
from pipeline.errors import VerificationError
from pipeline.host import Files
from pipeline.identity import APPLE_ANCHORS

OPTIONS = SigningOptions(anchors=APPLE_ANCHORS)


def _sealed_with(app: Path, seal: bytes) -> Path:
    """The app with another seal, its executable signed for it."""
    (app / "Contents/_CodeSignature/CodeResources").write_bytes(seal)
    code = app / "Contents/MacOS/tool"
    plist = (app / "Contents/Info.plist").read_bytes()
    options = SigningOptions(anchors=APPLE_ANCHORS, info_plist=plist, code_resources=seal)
    code.write_bytes(sign(code.read_bytes(), options))
    return app


@pytest.mark.parametrize("machine", Machine)
def test_a_seal_of_either_kind_of_machine_is_reproduced(tmp_path: Path, machine: Machine) -> None:
    """A Mac seals nested universal code by the CDHash of its own slice: the other kind by another."""
    app = bundles.app(tmp_path, files=under("Contents/Frameworks/Engine.framework", framework("Engine")))
    sign_bundle(Files(), app, app, OPTIONS)
    tree = FolderTree(app)
    engine = nested_seal(tree, "Contents/Frameworks/Engine.framework", machine)
    nested = {"Frameworks/Engine.framework": engine}
    seal = build_seal(tree, find_bundle(tree, name=app.name), [HashType.SHA256], nested)
    assert (seal == (app / "Contents/_CodeSignature/CodeResources").read_bytes()) is (machine is Machine.APPLE_SILICON)
    found = reproduce_bundle(FolderTree(_sealed_with(app, seal)), app.name)
    assert [(one.is_identical, one.seal) for one in found] == [(True, True)] * 2
    assert verify_path(app, anchors=APPLE_ANCHORS)


def test_a_seal_of_before_mavericks_is_reproduced_and_not_valid(tmp_path: Path) -> None:
    """It has `files` and `rules` alone; macOS takes it no more."""
    app = bundles.app(tmp_path)
    sign_bundle(Files(), app, app, OPTIONS)
    tree = FolderTree(app)
    rules = default_rules("Resources/")[0]
    seal = build_seal(tree, find_bundle(tree, name=app.name), [HashType.SHA256], {}, (rules, None))
    assert plistlib.loads(seal).keys() == {"files", "rules"}
    (found,) = reproduce_bundle(FolderTree(_sealed_with(app, seal)), app.name)
    assert (found.is_identical, found.seal) == (True, True)
    with pytest.raises(VerificationError, match="of the first version"):
        verify_path(app, anchors=APPLE_ANCHORS)


@pytest.mark.parametrize(
    ("era", "hash_types", "files"),
    [
        ("macos-26", [HashType.SHA256], {"CodeDirectory"}),
        ("macos-15", [HashType.SHA1, HashType.SHA256], {"CodeDirectory", "CodeRequirements-1"}),
        (
            "macos-10.11.4",
            [HashType.SHA1, HashType.SHA256],
            {"CodeDirectory", "CodeRequirements-1", "CodeTopDirectory"},
        ),
        ("macos-10.11", [HashType.SHA1], {"CodeDirectory"}),
    ],
)
def test_a_bundle_without_an_executable_is_reproduced(
    tmp_path: Path, era: str, hash_types: list[HashType], files: set[str]
) -> None:
    """Its Info.plist stands for one. What has no deployment target gets both digests up to macOS 15."""
    content = {
        "Contents/Info.plist": info(None, "com.example.data", "BNDL"),
        "Contents/Resources/data.txt": b"data",
    }
    bundle = write(tmp_path / "Data.bundle", content)
    sign_bundle(Files(), bundle, bundle, SigningOptions(anchors=APPLE_ANCHORS, era=era_named(era)))
    folder = bundle / "Contents/_CodeSignature"
    always = {"CodeRequirements", "CodeResources", "CodeSignature"}
    assert {path.name for path in folder.iterdir()} == always | files
    (found,) = reproduce_bundle(FolderTree(bundle), bundle.name)
    (one,) = found.file.slices
    assert (found.path, found.is_identical, found.seal) == ("Contents/Info.plist", True, True)
    assert era in one.eras
    assert one.told == ()
    assert verify_path(bundle, anchors=APPLE_ANCHORS)
    (bundle / "Contents/Info.plist").write_bytes(info(None, "com.example.other", "BNDL"))
    (changed,) = reproduce_bundle(FolderTree(bundle), bundle.name)
    assert (changed.is_identical, changed.seal) == (False, True)


def test_a_folders_icon_is_sealed_under_its_name(tmp_path: Path) -> None:
    """`Icon` and a carriage return, which XML's own rules would make another character."""
    app = bundles.app(tmp_path, files={"Contents/Resources/Icon\r": b"icon", "Contents/Resources/a\tb\nc": b"name"})
    sign_bundle(Files(), app, app, OPTIONS)
    assert verify_path(app, anchors=APPLE_ANCHORS)
    (found,) = reproduce_bundle(FolderTree(app), app.name)
    assert found.is_identical


def test_what_differs_in_a_seal_is_told(tmp_path: Path) -> None:
    """Finder's file was sealed by the old rules alone, and is lost in many an archive: the bundle still holds."""
    app = bundles.app(tmp_path, files={"Contents/Resources/.DS_Store": b"Finder's"})
    sign_bundle(Files(), app, app, OPTIONS)
    resources = app / "Contents/Resources"
    (resources / ".DS_Store").unlink()
    assert verify_path(app, anchors=APPLE_ANCHORS)
    (resources / "empty").write_bytes(b"no more")
    (resources / "added").write_bytes(b"")
    (found,) = reproduce_bundle(FolderTree(app), app.name)
    assert (found.seal, found.is_identical) == (False, False)
    assert found.seal_differences == (
        "files: Resources/.DS_Store is sealed, and is not there",
        "files: Resources/added is there, and is not sealed",
        "files: Resources/empty is sealed otherwise",
        "files2: Resources/added is there, and is not sealed",
        "files2: Resources/empty is sealed otherwise",
    )


def test_code_that_is_not_sealed_is_not_reproduced(tmp_path: Path) -> None:
    """Neither an app that nobody signed, nor one whose signature is the linker's."""
    app = bundles.app(tmp_path, code=mach.image())
    with pytest.raises(VerificationError, match="not signed and sealed"):
        reproduce_bundle(FolderTree(app), app.name)


@pytest.mark.parametrize("content", [b"left by an unpacker", mach.image()], ids=["data", "unsigned code"])
def test_what_came_among_the_code_is_told_as_what_differs(tmp_path: Path, content: bytes) -> None:
    """Such as the attributes of a profile as a file of their own, where an archive of a Mac was unpacked elsewhere."""
    app = bundles.app(tmp_path)
    sign_bundle(Files(), app, app, OPTIONS)
    (app / "Contents/._embedded.provisionprofile").write_bytes(content)
    (found,) = reproduce_bundle(FolderTree(app), app.name)
    assert (found.file.is_identical, found.seal) == (True, False)
    assert found.seal_differences == ("files2: ._embedded.provisionprofile is there, and is not sealed",)


def test_the_platform_of_a_bundle_without_an_executable_is_reproduced(tmp_path: Path) -> None:
    """As of a driver of the system's own, whose signature names a platform."""
    bundle = write(tmp_path / "Data.bundle", {"Contents/Info.plist": info(None, "com.example.data", "BNDL")})
    sign_bundle(Files(), bundle, bundle, OPTIONS)
    path = bundle / "Contents/_CodeSignature/CodeDirectory"
    path.write_bytes(build_code_directory(replace(parse_code_directory(path.read_bytes()), platform=4)).blob)
    assert verify_path(bundle, anchors=APPLE_ANCHORS)
    (found,) = reproduce_bundle(FolderTree(bundle), bundle.name)
    assert (found.is_identical, found.seal) == (True, True)
