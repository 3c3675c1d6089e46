"""Where bundles keep their parts."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import bundles
from builders.bundles import info, plugin, under, write

from pipeline.codesign.bundle import Bundle, Layout, find_bundle
from pipeline.codesign.bundle_root import unsealed
from pipeline.disk import FolderTree
from pipeline.errors import MalformedFile, NotSupported


def find(folder: Path) -> Bundle:
    return find_bundle(FolderTree(folder), name=folder.name)


def test_an_app(tmp_path: Path) -> None:
    """An app keeps everything in Contents."""
    found = find(bundles.app(tmp_path))
    assert (found.layout, found.base, found.resources) == (Layout.CONTENTS, "Contents", "Resources/")
    assert found.main_file == "Contents/MacOS/tool"
    assert found.info_path == "Contents/Info.plist"
    assert found.seal_path == "Contents/_CodeSignature/CodeResources"


def test_a_framework(tmp_path: Path) -> None:
    """A framework keeps everything in its current version, whatever that is called."""
    found = find(write(tmp_path / "Engine.framework", bundles.framework("Engine", version="2.0")))
    assert (found.layout, found.base, found.resources) == (Layout.FRAMEWORK, "Versions/2.0", "Resources/")
    assert found.main_file == "Versions/2.0/Engine"
    assert found.info_path == "Versions/2.0/Resources/Info.plist"
    assert found.seal_path == "Versions/2.0/_CodeSignature/CodeResources"


def test_a_version_of_a_framework(tmp_path: Path) -> None:
    """A framework's other version is found by its name."""
    files = bundles.framework("Engine", version="A") | under("Versions", {"B/Engine": b"", "B/Resources/x": b""})
    found = find_bundle(FolderTree(write(tmp_path / "Engine.framework", files)), name="Engine.framework", version="B")
    assert (found.base, found.main_file) == ("Versions/B", "Versions/B/Engine")


def test_a_flat_bundle(tmp_path: Path) -> None:
    """A flat bundle has everything at its top, as on iOS."""
    found = find(write(tmp_path / "Tool.app", {"Info.plist": info("tool"), "tool": b"", "a.txt": b""}))
    assert (found.layout, found.base, found.resources) == (Layout.FLAT, "", "")
    assert (found.main_file, found.seal_path) == ("tool", "_CodeSignature/CodeResources")


def test_an_old_bundle(tmp_path: Path) -> None:
    """A bundle with Resources at its top has its Info.plist in there."""
    found = find(write(tmp_path / "Old.plugin", {"Resources/Info.plist": info("Old", kind="BNDL"), "Old": b""}))
    assert (found.layout, found.base, found.resources) == (Layout.OLD, "", "Resources/")
    assert (found.main_file, found.info_path) == ("Old", "Resources/Info.plist")


def test_a_bundle_without_an_executable(tmp_path: Path) -> None:
    """Where there is no executable, the Info.plist stands for it."""
    files = {"Contents/Info.plist": info(None, kind="dSYM"), "Contents/Resources/DWARF/tool": b""}
    found = find(write(tmp_path / "tool.dSYM", files))
    assert (found.main_file, found.has_executable) == ("Contents/Info.plist", False)


@pytest.mark.parametrize("name", ["Tool.app", "tool.app", "Tool"])
def test_an_executable_without_a_name_has_the_bundles(tmp_path: Path, name: str) -> None:
    """Where the Info.plist names no executable it has the bundle's name without extension, as CoreFoundation has it."""
    stem = name.partition(".")[0]
    found = find(write(tmp_path / name, {"Contents/Info.plist": info(None), f"Contents/MacOS/{stem}": b""}))
    assert found.main_file == f"Contents/MacOS/{stem}"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        pytest.param({}, "not a bundle", id="empty"),
        pytest.param({"a.txt": b""}, "not a bundle", id="a folder"),
        pytest.param({"Contents/Info.plist": info("tool")}, "main executable", id="app without executable"),
        pytest.param(
            {"Contents/Info.plist": info("tool"), "Contents/MacOS/tool/x": b""}, "main executable", id="a folder for it"
        ),
        pytest.param({"Contents/Info.plist": b"no"}, "property list", id="no property list"),
        pytest.param({"Contents/Info.plist": info("../x")}, "not a file's name", id="executable elsewhere"),
        pytest.param({"Contents/Info.plist": "other"}, "not a regular file", id="Info.plist is a link"),
        pytest.param(
            {"Contents/Info.plist": info("tool"), "Contents/MacOS/tool": "/bin/ls"},
            "regular file",
            id="executable is a link",
        ),
        pytest.param(
            {"Contents": "Other", "Other/Info.plist": info("tool")}, "is a symbolic link", id="Contents is a link"
        ),
        pytest.param({"Versions/A/x": b"", "Versions/Current/x": b""}, "not a symbolic link", id="copied links"),
        pytest.param({"Versions/A/x": b""}, "Versions/Current", id="no current version"),
        pytest.param({"Versions/A/x": b"", "Versions/Current": "B"}, "is no version", id="current version absent"),
        pytest.param({"Versions/A/x": b"", "Versions/Current": "../x"}, "is no version", id="current version outside"),
        pytest.param({"Versions/A/x": b"", "Versions/Current": ".."}, "is no version", id="the framework itself"),
        pytest.param({"Versions/A/x": b"", "Versions/Current": "."}, "is no version", id="the versions' folder"),
    ],
)
def test_what_is_no_bundle_is_malformed(tmp_path: Path, files: dict[str, bytes | str | None], reason: str) -> None:
    """A folder that is no bundle, or a broken one, is told as such."""
    (tmp_path / "X.app").mkdir()
    with pytest.raises(MalformedFile, match=reason):
        find(write(tmp_path / "X.app", files))


@pytest.mark.parametrize("name", ["Support Files", "WrappedBundle"])
def test_layouts_not_built_yet_are_named(tmp_path: Path, name: str) -> None:
    """Layouts that are understood and not built are told apart from broken bundles."""
    with pytest.raises(NotSupported):
        find(write(tmp_path / "X.app", {f"{name}/Info.plist": info("X")}))


@pytest.mark.parametrize(
    ("files", "wrong"),
    [
        pytest.param({".DS_Store": b"", "Icon\r": b""}, [], id="Finder's own"),
        pytest.param({".LSOverride": b"", ".SoftwareDepot.tracking": b""}, [], id="other tools' own"),
        pytest.param({"readme.txt": b""}, ["readme.txt"], id="a file"),
        pytest.param({"Extra/readme.txt": b""}, ["Extra"], id="a folder"),
        pytest.param({"link": "Contents/MacOS/tool"}, ["link"], id="a link"),
        pytest.param({".DS_Store": b"#!/bin/sh"}, [".DS_Store"], id="a program in disguise"),
        pytest.param({"Contents/_CodeSignature/CodeSignature": b""}, [], id="what ad-hoc signing leaves"),
        pytest.param(
            {"Contents/_CodeSignature/CodeSignature": b"x"},
            ["Contents/_CodeSignature/CodeSignature"],
            id="a second one",
        ),
        pytest.param({"Contents/_CodeSignature/x": b""}, ["Contents/_CodeSignature/x"], id="beside the seal"),
    ],
)
def test_what_an_apps_root_may_hold(tmp_path: Path, files: dict[str, bytes | str | None], wrong: list[str]) -> None:
    """Nothing but Contents, and what the Finder writes, may stand in an app's root or beside its seal."""
    folder = bundles.app(tmp_path, files=files)
    assert [path for path, _ in unsealed(FolderTree(folder), find(folder))] == wrong


@pytest.mark.parametrize(
    ("files", "wrong"),
    [
        pytest.param({"module.map": b"", ".DS_Store": b""}, [], id="allowed"),
        pytest.param({"Modules": "Versions/Current/Modules"}, [], id="a link home"),
        pytest.param({"Modules": "./Versions/A/Modules"}, [], id="a link to the version"),
        pytest.param({"Modules": "Versions/Current/Headers"}, ["Modules"], id="a link to another name"),
        pytest.param({"Modules": "../Modules"}, ["Modules"], id="a link outside"),
        pytest.param({"readme.txt": b""}, ["readme.txt"], id="a file"),
        pytest.param({"Extra/x": b""}, ["Extra"], id="a folder"),
        pytest.param({"Versions/x": b""}, ["Versions/x"], id="a file among versions"),
        pytest.param({"Versions/Current": "./A"}, [], id="a version beside it"),
        pytest.param({"Versions/Current": "A/"}, ["Versions/Current"], id="a version with a slash"),
        pytest.param({"Versions/Latest": "A"}, ["Versions/Latest"], id="a second current version"),
    ],
)
def test_what_a_frameworks_root_may_hold(
    tmp_path: Path, files: dict[str, bytes | str | None], wrong: list[str]
) -> None:
    """A framework's root holds Versions and links into the current one."""
    folder = write(tmp_path / "Engine.framework", bundles.framework("Engine") | files)
    assert [path for path, _ in unsealed(FolderTree(folder), find(folder))] == wrong


def test_a_link_is_no_way_into_a_bundle(tmp_path: Path) -> None:
    """What lies behind a link is not taken for a part of the bundle."""
    write(tmp_path / "Other", plugin("com.example.other", "tool"))
    folder = write(
        tmp_path / "X.app", {"Contents/Info.plist": info("tool"), "Contents/MacOS": "../../Other/Contents/MacOS"}
    )
    with pytest.raises(MalformedFile, match="main executable"):
        find(folder)
