"""What changed since an earlier release: everything that a reader would ask after, and nothing that always differs."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from builders.outputs import manifest_of, new_outputs

from pipeline import manifest
from pipeline.comparison import Change, compare
from pipeline.host import system_host

SLICE = {
    "arch": "arm64",
    "cdhash": "aa" * 20,
    "identifier": "org.example.tool",
    "team": "TEAM",
    "flags": ["runtime"],
    "entitlements": ["com.apple.security.get-task-allow = true"],
    "libraries": ["/usr/lib/libSystem.B.dylib"],
}


def document(version: str = "26.1121.0615") -> dict[str, Any]:
    artifact = {"product": "tool", "kind": "thin", "debug": False, "sha256": "11" * 32, "size": 7, "slices": []}
    return {
        "schema": 1,
        "version": version,
        "commit": "c0ffee",
        "tools": {"python": "3.11"},
        "minimum_macos": {"tool": {"arm64": "11.0"}},
        "artifacts": [
            artifact | {"path": "arm64/tool", "slices": [copy.deepcopy(SLICE)]},
            artifact | {"path": f"dist/tool-{version}.zip", "kind": "distribution"},
        ],
    }


def test_a_release_does_not_differ_from_itself() -> None:
    """Other digests, CDHashes and a version in a name are no differences of their own."""
    old, new = document(), document()
    new["artifacts"][0] |= {"sha256": "22" * 32}
    new["artifacts"][0]["slices"][0]["cdhash"] = "bb" * 20
    assert compare(old, new) == ()
    later = compare(document("26.1121.0615"), document("26.1121.0620"))
    assert later == (Change(where="release", what="version", before="26.1121.0615", after="26.1121.0620"),)


def test_every_difference_is_told() -> None:
    """Version, commit, tools, systems, size, flags, entitlements, libraries, artifacts come and gone."""
    old, new = document(), document()
    new |= {"commit": "decaf", "tools": {"python": "3.12"}, "minimum_macos": {"tool": {"arm64": "12.0"}}}
    first = new["artifacts"][0]
    first["size"] = 9
    first["slices"][0] |= {"flags": [], "team": None, "entitlements": ["x = 1"]}
    first["slices"][0]["libraries"] = [*SLICE["libraries"], "/usr/lib/libz.dylib"]
    new["artifacts"].append(first | {"path": "arm64/more"})
    del new["artifacts"][1]
    told = {(one.where, one.what, one.before, one.after) for one in compare(old, new)}
    slice_place = "arm64/tool: arm64"
    assert told == {
        ("release", "commit", "c0ffee", "decaf"),
        ("release", "tools python", "3.11", "3.12"),
        ("release", "minimum_macos tool", "arm64 11.0", "arm64 12.0"),
        ("arm64/tool", "size", "7", "9"),
        (slice_place, "team", "TEAM", None),
        (slice_place, "flags", "runtime", ""),
        (slice_place, "entitlement", "com.apple.security.get-task-allow = true", None),
        (slice_place, "entitlement", None, "x = 1"),
        (slice_place, "library", None, "/usr/lib/libz.dylib"),
        ("arm64/more", "artifact", None, "thin"),
        ("dist/tool-{version}.zip", "artifact", "distribution", None),
    }


def test_what_an_older_manifest_does_not_tell_is_no_difference() -> None:
    """A manifest from before entitlements and libraries were told does not make all of them new."""
    old, new = document(), document()
    for name in ("entitlements", "libraries"):
        del old["artifacts"][0]["slices"][0][name]
    assert compare(old, new) == ()


def test_architectures_come_and_go() -> None:
    """A slice that is new, and one that is gone, is named."""
    old, new = document(), document()
    new["artifacts"][0]["slices"].append(copy.deepcopy(SLICE) | {"arch": "x86_64"})
    assert compare(old, new) == (Change(where="arm64/tool", what="architecture", before=None, after="x86_64"),)
    assert compare(new, old) == (Change(where="arm64/tool", what="architecture", before="x86_64", after=None),)


def test_the_release_before_is_the_newest_of_another_version(tmp_path: Path) -> None:
    """Of history's manifests the newest of another version is taken, and of one made twice the later."""
    folder = new_outputs(tmp_path / "macos", runs=3)
    files = system_host().files
    found = manifest.before(files, folder, "26.1121.0003")
    assert found is not None
    assert found.name == "26.1121.0002.json"
    again = manifest_of(folder) | {"version": "26.1121.0002"}
    (folder / "history" / "26.1121.0002-2.json").write_text(json.dumps(again))
    found = manifest.before(files, folder, "26.1121.0003")
    assert found is not None
    assert found.name == "26.1121.0002-2.json"
    other = manifest.before(files, folder, "26.1121.0002")
    assert other is not None
    assert other.name == "26.1121.0001.json"
    assert manifest.before(files, tmp_path, "26.1121.0002") is None
