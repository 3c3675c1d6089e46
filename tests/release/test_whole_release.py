"""One rehearsal release from the first stage to the last, looked at from outside."""

from __future__ import annotations

import hashlib
import json
import plistlib
import stat
import subprocess
import zipfile
from pathlib import Path

import lief
import pytest
from builders.clients import need
from builders.workshop import VERSION, Workshop

PRODUCED = [
    "x86_64/meshagent",
    "arm64/meshagent",
    "x86_64/DEBUG_meshagent",
    "arm64/DEBUG_meshagent",
    "universal/meshagent",
    "universal/DEBUG_meshagent",
    "universal/meshagent.app",
    f"archives/meshagent-{VERSION}-rehearsal.zip",
    "universal/meshagent.ticket",
    f"dist/meshagent-{VERSION}-macos-universal-rehearsal.zip",
    "dist/SHA256SUMS",
]
MACHO = [*PRODUCED[:6], "universal/meshagent.app/Contents/MacOS/meshagent"]


def test_manifest_names_every_artifact_with_its_digest(finished: Workshop) -> None:
    """The manifest lists exactly what was made, and each file's SHA-256 is the one it has."""
    manifest = finished.manifest()
    assert sorted(entry["path"] for entry in manifest["artifacts"]) == sorted(PRODUCED)
    for entry in manifest["artifacts"]:
        path = finished.outputs / entry["path"]
        if path.is_file():
            assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
            assert entry["size"] == path.stat().st_size


def test_manifest_says_what_kind_of_release_it_is(finished: Workshop) -> None:
    """World, version (the committer's moment in UTC, not the author's) and commit stand in the manifest."""
    manifest = finished.manifest()
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=finished.folder, capture_output=True, text=True, check=True
    ).stdout.strip()
    facts = {key: manifest[key] for key in ("schema", "release", "version", "world", "toolchain", "commit", "dirty")}
    assert facts == {
        "schema": 1,
        "release": "meshagent",
        "version": VERSION,
        "world": "rehearsal",
        "toolchain": "portable",
        "commit": head,
        "dirty": False,
    }


@pytest.mark.parametrize("path", MACHO)
def test_lief_reads_every_binary(finished: Workshop, path: str) -> None:
    """A parser written by others finds the architectures that the file's place promises, each with a signature."""
    fat = lief.MachO.parse(str(finished.outputs / path))
    assert fat is not None
    kinds = {lief.MachO.Header.CPU_TYPE.X86_64: "x86_64", lief.MachO.Header.CPU_TYPE.ARM64: "arm64"}
    expected = {"x86_64": ["x86_64"], "arm64": ["arm64"]}.get(path.split("/")[0], ["x86_64", "arm64"])
    assert sorted(kinds[binary.header.cpu_type] for binary in fat) == sorted(expected)
    assert all(binary.has_code_signature for binary in fat)


@pytest.mark.llvm
@pytest.mark.parametrize("path", MACHO)
def test_llvm_reads_every_binary(finished: Workshop, path: str) -> None:
    """LLVM's tools list the load commands of every slice and find its signature's place."""
    objdump = need("llvm-objdump")
    shown = subprocess.run(
        [objdump, "--macho", "--private-headers", "--arch=all", finished.outputs / path],
        capture_output=True,
        text=True,
        check=True,
    )
    slices = 1 if path.split("/")[0] != "universal" else 2
    assert shown.stdout.count("cmd LC_CODE_SIGNATURE") == slices
    assert shown.stderr == ""


def symbols(path: Path) -> list[str]:
    """The names in a thin file's symbol table, as LIEF reads them."""
    fat = lief.MachO.parse(str(path))
    assert fat is not None
    return [str(symbol.name) for binary in fat for symbol in binary.symbols]


def test_debug_twin_keeps_what_the_release_lost(finished: Workshop) -> None:
    """The DEBUG twin has more symbols than the release, the program's own static function among them."""
    for arch in ("x86_64", "arm64"):
        debug = symbols(finished.outputs / arch / "DEBUG_meshagent")
        assert "_greet" in debug
        assert len(symbols(finished.outputs / arch / "meshagent")) < len(debug)


def test_thin_cdhash_is_the_slices(finished: Workshop) -> None:
    """A thin file and its slice in the universal file have one CDHash; the app's is another."""
    artifacts = {entry["path"]: entry for entry in finished.manifest()["artifacts"]}
    joined = {entry["arch"]: entry["cdhash"] for entry in artifacts["universal/meshagent"]["slices"]}
    inside = {entry["arch"]: entry["cdhash"] for entry in artifacts["universal/meshagent.app"]["slices"]}
    for arch in ("x86_64", "arm64"):
        assert artifacts[f"{arch}/meshagent"]["slices"][0]["cdhash"] == joined[arch] != inside[arch]


def test_every_slice_has_the_hardened_runtime_and_the_team(finished: Workshop) -> None:
    """Every slice is signed with the runtime flag, the product's identifier and the rehearsal's team, DEBUG or not."""
    slices = [one for entry in finished.manifest()["artifacts"] for one in entry.get("slices", [])]
    assert len(slices) == 4 + 4 + 2
    assert {one["identifier"] for one in slices} == {"com.example.meshagent"}
    assert {tuple(one["flags"]) for one in slices} == {("runtime",)}
    assert len({one["team"] for one in slices}) == 1
    assert slices[0]["team"]


def test_notarization_and_stapling_are_told_for_each(finished: Workshop) -> None:
    """Accepted for what ships, excluded for DEBUG; the app is stapled, a bare tool says why it is not."""
    artifacts = {entry["path"]: entry for entry in finished.manifest()["artifacts"]}
    told = {
        path: (entry["notarization"]["status"], entry["staple"]["status"])
        for path, entry in artifacts.items()
        if entry["kind"] in ("thin", "universal", "app")
    }
    assert told == {
        "x86_64/meshagent": ("accepted", "not-stapleable"),
        "arm64/meshagent": ("accepted", "not-stapleable"),
        "universal/meshagent": ("accepted", "not-stapleable"),
        "universal/meshagent.app": ("accepted", "stapled"),
        "x86_64/DEBUG_meshagent": ("excluded", "excluded"),
        "arm64/DEBUG_meshagent": ("excluded", "excluded"),
        "universal/DEBUG_meshagent": ("excluded", "excluded"),
    }
    assert "Error 73" in artifacts["universal/meshagent"]["staple"]["reason"]


def test_archives_hold_no_debug_and_no_appledouble(finished: Workshop) -> None:
    """What the notary got and what users get is the bare tool and the app, with their modes."""
    for path in (PRODUCED[7], PRODUCED[9]):
        with zipfile.ZipFile(finished.outputs / path) as archive:
            assert archive.testzip() is None
            names = archive.namelist()
            tops = {name.split("/")[0] for name in names}
            assert tops == {"meshagent", "meshagent.app"}
            assert not [name for name in names if "DEBUG" in name or "/._" in name]
            for name in ("meshagent", "meshagent.app/Contents/MacOS/meshagent"):
                assert stat.S_IMODE(archive.getinfo(name).external_attr >> 16) == 0o755
            assert ("meshagent.app/Contents/CodeResources" in names) == path.startswith("dist/")


def test_information_plist(finished: Workshop) -> None:
    """Info.plist carries the version twice, the identifier, the lowest system and LSUIElement."""
    plist = plistlib.loads((finished.outputs / "universal/meshagent.app/Contents/Info.plist").read_bytes())
    assert plist["CFBundleVersion"] == plist["CFBundleShortVersionString"] == VERSION
    assert plist["CFBundleIdentifier"] == "com.example.meshagent"
    assert plist["LSMinimumSystemVersion"] == "10.13"
    assert plist["LSUIElement"] is True


def test_sums_are_what_sha256sum_prints(finished: Workshop) -> None:
    """`sha256sum -c` accepts SHA256SUMS."""
    tool = need("sha256sum", "shasum")
    subprocess.run([tool, "-c", "SHA256SUMS"], cwd=finished.outputs / "dist", check=True, capture_output=True)


def test_unsigned_files_are_kept_as_built(finished: Workshop, prebuilt: Path) -> None:
    """What the build made lies under unsigned/, byte for byte, with its digest in build.json."""
    for arch in ("x86_64", "arm64"):
        record = json.loads((finished.outputs / "unsigned" / arch / "build.json").read_text())
        assert record["version"] == VERSION
        for entry in record["outputs"]:
            built = (finished.outputs / entry["path"]).read_bytes()
            assert built == (prebuilt / arch / ("DEBUG_tool" if entry["debug"] else "tool")).read_bytes()
            assert entry["sha256"] == hashlib.sha256(built).hexdigest()


def test_rehearsal_is_named_everywhere(released: Workshop) -> None:
    """Console, manifest, log and archive names say that this is a rehearsal."""
    ran = released.invoke("release")
    assert "REHEARSAL" in ran.err
    assert "REHEARSAL" in ran.out
    assert released.manifest()["world"] == "rehearsal"
    assert '"rehearsal"' in (released.outputs / "audit.jsonl").read_text()
    assert [path.name for path in (released.outputs / "dist").glob("*rehearsal*")]


def test_second_release_runs_nothing(released: Workshop) -> None:
    """A second `invoke release` right after the first runs no stage, says so, and changes no byte."""
    before = {path: path.read_bytes() for path in released.outputs.rglob("*") if path.is_file()}
    ran = released.invoke("release")
    assert ran.code == 0, ran.err
    assert "nothing to do" in ran.err
    assert {path: path.read_bytes() for path in released.outputs.rglob("*") if path.is_file()} == before


def test_dry_tells_the_same_beforehand(released: Workshop, workshop: Workshop) -> None:
    """`--dry` says that all is done where it is, what would run and why where it is not, and changes nothing."""
    done = released.invoke("--dry", "release")
    assert [line.split()[1] for line in done.out.splitlines()[:9]] == ["done"] * 9
    fresh = workshop.invoke("--dry", "release")
    assert fresh.code == 0
    assert fresh.out.splitlines()[0].split(None, 1) == ["build", "would run: not done yet"]
    assert not (workshop.folder / "build").exists()


def test_changed_source_runs_again_from_the_build(released: Workshop) -> None:
    """A commit in another minute changes the version: every stage runs again, and the old manifest goes to history."""
    (released.folder / "source" / "new.txt").write_text("new")
    released.commit("2026-11-21T06:20:00+00:00")
    stale = released.invoke("verify")
    assert stale.code == 9
    assert f"what lies here is version {VERSION}, and the checkout is 26.1121.0620" in stale.err
    ran = released.invoke("release")
    assert ran.code == 0, ran.err
    assert released.manifest()["version"] == "26.1121.0620"
    assert [path.name for path in (released.outputs / "history").iterdir()] == [f"{VERSION}.json"]
    assert not list((released.outputs / "dist").glob(f"*{VERSION}*"))


def test_a_version_stands_for_one_state_of_the_bytes(released: Workshop) -> None:
    """Two commits of one minute share a version: the second is refused where it builds other bytes, by every command
    that goes on from the build, and is a release where it builds the same."""
    tool = released.folder / "source" / "prebuilt" / "x86_64" / "tool"
    data = tool.read_bytes()
    tool.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    released.commit()
    for command in ("release", "sign"):
        ran = released.invoke(command)
        assert ran.code == 2, ran.err
        assert f"version {VERSION} was already released" in ran.err
    tool.write_bytes(data)
    released.commit()
    ran = released.invoke("release")
    assert ran.code == 0, ran.err


def test_a_variable_that_a_build_is_given_is_a_part_of_its_key(workshop: Workshop) -> None:
    """[build] environment: another value builds again, and no record holds the value."""
    workshop.configure(more='\n[product.build]\nenvironment = ["FLAVOUR"]\n')
    assert workshop.invoke("build", environment={"FLAVOUR": "tell-tale"}).code == 0
    same = workshop.invoke("--dry", "release", environment={"FLAVOUR": "tell-tale"})
    assert same.out.splitlines()[0].split() == ["build", "done"]
    for other in ({"FLAVOUR": "other"}, {}):
        ran = workshop.invoke("--dry", "release", environment=other)
        assert ran.out.splitlines()[0].startswith("build      would run: products has changed")
    written = [path.read_bytes() for path in workshop.outputs.rglob("*") if path.is_file()]
    assert written
    assert not any(b"tell-tale" in data for data in written)


def test_json_is_one_document(released: Workshop) -> None:
    """`--json` prints the manifest on standard output, and nothing else there."""
    assert json.loads(released.invoke("release", "--json").out) == released.manifest()
