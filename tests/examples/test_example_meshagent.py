"""MeshAgent's configurations, run on a miniature of its tree, in both layouts that users have."""

from __future__ import annotations

import json
import plistlib
import shutil
from pathlib import Path

import lief
import pytest
from builders.workshop import ROOT, Workshop

MINIATURE = Path(__file__).parent / "miniature"
LAYOUTS = ("release", "release-kvm1")
FRAMEWORKS = {"IOKit", "ApplicationServices", "SystemConfiguration", "CoreServices", "CoreGraphics", "CoreFoundation"}
SECTION = ("__CGPreLoginApp", "__cgpreloginapp")


@pytest.fixture(scope="module")
def zig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all checkouts: what zig itself needs is compiled once."""
    return tmp_path_factory.mktemp("zig")


def checkout(folder: Path, layout: str, zig: Path) -> Workshop:
    """A miniature checkout of this layout, with the example's configuration at its top."""
    shutil.copytree(MINIATURE, folder, ignore=shutil.ignore_patterns("layouts"))
    shutil.copyfile(MINIATURE / "layouts" / f"{layout}.mk", folder / "makefile")
    shutil.copyfile(ROOT / "examples" / "meshagent" / f"{layout}.toml", folder / "release.toml")
    (folder / ".gitignore").write_text("/build/\n*.o\n/meshagent_*\n/DEBUG_*\n")
    workshop = Workshop(folder=folder)
    workshop.outputs.mkdir(parents=True)
    (workshop.outputs / "zig").symlink_to(zig)
    workshop.commit()
    return workshop


@pytest.fixture(scope="module", params=LAYOUTS)
def released(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, zig: Path
) -> tuple[str, Workshop]:
    """A whole release of each layout, in a path with a space."""
    workshop = checkout(tmp_path_factory.mktemp("mesh") / "a checkout", request.param, zig)
    ran = workshop.invoke("release")
    assert ran.code == 0, ran.err
    return request.param, workshop


def read(path: Path) -> lief.MachO.Binary:
    fat = lief.MachO.parse(str(path))
    assert fat is not None
    binary = fat.at(0)
    assert binary is not None
    return binary


def test_both_layouts_give_the_same_kinds_of_outputs(released: tuple[str, Workshop]) -> None:
    """Thin, universal and DEBUG binaries come out, each with the identifier; no DEBUG file was notarized or packed."""
    layout, workshop = released
    artifacts = {entry["path"]: entry for entry in workshop.manifest()["artifacts"]}
    for folder in ("x86_64", "arm64", "universal"):
        release, debug = artifacts[f"{folder}/meshagent"], artifacts[f"{folder}/DEBUG_meshagent"]
        assert release["notarization"]["status"] == "accepted"
        assert debug["notarization"]["status"] == "excluded"
        assert {one["identifier"] for one in release["slices"] + debug["slices"]} == {"com.ylianst.meshagent"}
    assert ("universal/meshagent.app" in artifacts) == (layout == "release-kvm1")
    assert ("launchd/tacticalrmm/meshagent-agent.plist" in artifacts) == (layout == "release-kvm1")


def test_each_architecture_has_its_own_objects(released: tuple[str, Workshop]) -> None:
    """The agent's id in each slice is that of its architecture: nothing of one build got into the other."""
    _, workshop = released
    for arch, kind in (("x86_64", "X86_64"), ("arm64", "ARM64")):
        release, debug = (read(workshop.outputs / arch / name) for name in ("meshagent", "DEBUG_meshagent"))
        assert release.header.cpu_type.name == kind
        assert len(list(release.symbols)) < len(list(debug.symbols))


def test_frameworks_and_the_login_windows_section(released: tuple[str, Workshop]) -> None:
    """LIEF reads the frameworks that were demanded, and in the one layout the section, in every slice."""
    layout, workshop = released
    fat = lief.MachO.parse(str(workshop.outputs / "universal" / "meshagent"))
    assert fat is not None
    for binary in fat:
        linked = {str(library.name).rpartition("/")[2] for library in binary.libraries}
        expected = FRAMEWORKS | ({"Security"} if layout == "release-kvm1" else set())
        assert linked == expected | {"libSystem.B.dylib"}
        has = any((one.segment_name, one.name) == SECTION for one in binary.sections)
        assert has == (layout == "release-kvm1")


def test_the_version_is_that_of_its_commit(released: tuple[str, Workshop]) -> None:
    """The version comes from MeshAgent's own repository, and stands in the app."""
    layout, workshop = released
    version = workshop.manifest()["version"]
    assert version == "26.1121.0615"
    if layout == "release-kvm1":
        plist = workshop.outputs / "universal" / "meshagent.app" / "Contents" / "Info.plist"
        assert plistlib.loads(plist.read_bytes())["CFBundleVersion"] == version


def test_a_lost_section_fails_the_build(tmp_path: Path, zig: Path) -> None:
    """A makefile that lost the login-window section or a framework: exit 3, and its name."""
    workshop = checkout(tmp_path / "tree", "release-kvm1", zig)
    makefile = workshop.folder / "makefile"
    makefile.write_text(makefile.read_text().replace("LOGIN_WINDOW := yes", ""))
    ran = workshop.invoke("build")
    assert ran.code == 3
    assert ",".join(SECTION) in ran.err
    makefile.write_text(makefile.read_text().replace("MORE_FRAMEWORKS := Security", "LOGIN_WINDOW := yes"))
    ran = workshop.invoke("build")
    assert ran.code == 3
    assert "Security" in ran.err


def test_a_stale_output_is_never_taken(tmp_path: Path, zig: Path) -> None:
    """A build that fails, where an earlier one's binary lies in the tree: exit 3, and that binary is gone."""
    workshop = checkout(tmp_path / "tree", "release", zig)
    assert workshop.invoke("build").code == 0
    (workshop.folder / "meshconsole" / "main.c").write_text("#error no\n")
    ran = workshop.invoke("build")
    assert ran.code == 3
    assert not (workshop.folder / "meshagent_osx-x86-64").exists()


def test_both_builds_share_the_tree_one_after_the_other(tmp_path: Path, zig: Path) -> None:
    """The log shows: clean, one architecture, clean, the other; a second build begins clean again."""
    workshop = checkout(tmp_path / "tree", "release", zig)
    assert workshop.invoke("build").code == 0
    assert workshop.invoke("build").code == 0
    log = [json.loads(line) for line in (workshop.outputs / "audit.jsonl").read_text().splitlines()]
    commands = [" ".join(entry["argv"]) for entry in log if entry["event"] == "ran"]
    once = ["make clean", "make macos ARCHID=16", "make clean", "make macos ARCHID=29"]
    assert commands == once + once
