"""The manifest: what is written is what the release is, comes back, and never overwrites an earlier record."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import manifest
from pipeline.errors import VerificationError
from pipeline.host import Files
from pipeline.model import (
    ArchiveLayout,
    Artifact,
    BuildOptions,
    Built,
    Configuration,
    Kind,
    Notarization,
    NotarizationStatus,
    NotaryMode,
    NotaryOptions,
    Plan,
    Product,
    SignOptions,
    Slice,
    Staple,
    StapleStatus,
    World,
)

TOOL = Artifact(
    product="tool",
    path="universal/tool",
    kind=Kind.UNIVERSAL,
    sha256="11" * 32,
    size=7,
    unsigned_sha256="22" * 32,
    slices=(
        Slice(arch="x86_64", cdhash="aa" * 20, identifier="org.example.tool", team="TEAM", flags=("runtime",)),
        Slice(arch="arm64", cdhash="bb" * 20, identifier="org.example.tool", team=None, flags=()),
    ),
    notarization=Notarization(
        status=NotarizationStatus.ACCEPTED, submission="id", archive="archives/tool.zip", reason="said"
    ),
    staple=Staple(status=StapleStatus.NOT_STAPLEABLE, reason="a bare Mach-O", ticket="universal/tool.ticket"),
    contents=("x", "y"),
    not_run=("arm64: not run: no way to",),
)
BARE = Artifact(product="tool", path="dist/SHA256SUMS", kind=Kind.DISTRIBUTION, sha256="33" * 32, size=0)
BUILT = Built(product="tool", arch="arm64", debug=True, path="unsigned/arm64/DEBUG_tool", sha256="44" * 32, size=3)
TOOL_AS_JSON = {
    "product": "tool",
    "path": "universal/tool",
    "kind": "universal",
    "debug": False,
    "sha256": "11" * 32,
    "size": 7,
    "unsigned_sha256": "22" * 32,
    "slices": [
        {
            "arch": "x86_64",
            "cdhash": "aa" * 20,
            "identifier": "org.example.tool",
            "team": "TEAM",
            "flags": ["runtime"],
        },
        {"arch": "arm64", "cdhash": "bb" * 20, "identifier": "org.example.tool", "team": None, "flags": []},
    ],
    "notarization": {
        "status": "accepted",
        "submission": "id",
        "archive": "archives/tool.zip",
        "reason": "said",
    },
    "staple": {"status": "not-stapleable", "reason": "a bare Mach-O", "ticket": "universal/tool.ticket"},
    "contents": ["x", "y"],
    "not_run": ["arm64: not run: no way to"],
}
BARE_AS_JSON = {
    "product": "tool",
    "path": "dist/SHA256SUMS",
    "kind": "distribution",
    "debug": False,
    "sha256": "33" * 32,
    "size": 0,
    "slices": [],
}


def plan(folder: Path, **changes: Any) -> Plan:
    product = Product(
        name="tool",
        identifier="org.example.tool",
        source=folder,
        architectures=("arm64",),
        debug=True,
        require_frameworks=(),
        require_sections=(),
        build=BuildOptions(
            command=("make",),
            values={},
            output=None,
            debug_output=None,
            inputs=(),
            serial=False,
            clean=(),
            environment=(),
            minimum_macos={"x86_64": "10.13", "arm64": "11.0"},
            xcode=None,
        ),
        sign=SignOptions(identity="secret/path.p12", entitlements=None, debug_entitlements=None, era="macos-26"),
        app=None,
    )
    configuration = Configuration(
        path=folder / "release.toml",
        release="tool",
        world=World.REHEARSAL,
        toolchain="portable",
        tools=None,
        previous=None,
        products=(product,),
        notary=NotaryOptions(
            profile=None,
            credentials=None,
            archives=ArchiveLayout.ONE,
            mode=NotaryMode.PARALLEL,
            wait=timedelta(minutes=1),
        ),
    )
    begun = Plan(configuration=configuration, version="26.1121.0615", commit="c0ffee", dirty=False, source_epoch=5)
    return replace(begun, builds=(BUILT,), artifacts=(TOOL, BARE), **changes)


def data(folder: Path, **changes: Any) -> bytes:
    return manifest.to_bytes(
        manifest.build(plan(folder, **changes), head="00" * 32, toolchain="portable", tools={"zig": "1"})
    )


def test_the_keys_that_others_rely_on(tmp_path: Path) -> None:
    """Scripts find every key of the contract, spelled so, with these values."""
    document = json.loads(data(tmp_path))
    expected = {
        "schema": 1,
        "release": "tool",
        "products": ["tool"],
        "version": "26.1121.0615",
        "world": "rehearsal",
        "toolchain": "portable",
        "commit": "c0ffee",
        "dirty": False,
        "doubles": False,
    }
    assert {key: document[key] for key in expected} == expected
    assert document["artifacts"] == [TOOL_AS_JSON, BARE_AS_JSON]


def test_the_same_facts_give_the_same_bytes(tmp_path: Path) -> None:
    """Nothing of the machine, its paths or the moment is in it."""
    assert data(tmp_path / "a") == data(tmp_path / "b")
    assert str(tmp_path).encode() not in data(tmp_path)
    assert b"p12" not in data(tmp_path)


def test_artifacts_come_back_whole() -> None:
    """Every field of an artifact and of a build survives being written, none is forgotten."""
    for artifact in (TOOL, BARE):
        written = json.loads(json.dumps(manifest.artifact_to_json(artifact)))
        assert manifest.artifact_from_json(written) == artifact
    assert manifest.built_from_json(json.loads(json.dumps(manifest.built_to_json(BUILT)))) == BUILT
    # A field that has only its default here would be lost without this test's notice.
    assert all(getattr(TOOL, one.name) != one.default for one in fields(Artifact) if one.name != "debug")


def test_a_manifest_of_a_later_program_is_read(tmp_path: Path) -> None:
    """Keys that are unknown here are passed over and stay."""
    document = json.loads(data(tmp_path))
    document["later"] = 1
    document["artifacts"][0]["later"] = 1
    assert manifest.from_bytes(manifest.to_bytes(document))["later"] == 1


def change(edit: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def apply(data: bytes) -> bytes:
        document = json.loads(data)
        edit(document)
        return json.dumps(document).encode()

    return apply


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-10],
        lambda data: b"[]",
        lambda data: b"\xff\xfe",
        lambda data: b"[" * 100_000,
        change(lambda document: document.update(schema=2)),
        change(lambda document: document.pop("schema")),
        change(lambda document: document.pop("log")),
        change(lambda document: document.update(log=[])),
        change(lambda document: document.update(world="moon")),
        change(lambda document: document.update(version=5)),
        change(lambda document: document.update(dirty="no")),
        change(lambda document: document.update(dirty=0)),
        change(lambda document: document.update(commit=5)),
        change(lambda document: document.pop("commit")),
        change(lambda document: document.update(artifacts={})),
        change(lambda document: document["artifacts"].append(5)),
        change(lambda document: document["artifacts"].append(document["artifacts"][0])),
        change(lambda document: document["artifacts"][0].update(path="../outside")),
        change(lambda document: document["artifacts"][0].update(path="/etc/passwd")),
        change(lambda document: document["artifacts"][0].update(path="a/../../b")),
        change(lambda document: document["artifacts"][0].update(path="")),
        change(lambda document: document["artifacts"][0].update(kind="poem")),
        change(lambda document: document["artifacts"][0].update(size=True)),
        change(lambda document: document["artifacts"][0].update(slices=None)),
        change(lambda document: document["artifacts"][0]["slices"][0].pop("cdhash")),
        change(lambda document: document["artifacts"][0]["slices"][0].update(flags="runtime")),
        change(lambda document: document["artifacts"][0]["notarization"].update(status="maybe")),
        change(lambda document: document["artifacts"][0].update(notarization="accepted")),
        change(lambda document: document["artifacts"][0]["staple"].update(ticket=5)),
        change(lambda document: document["artifacts"][0].update(contents=[5])),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Any file that is not a manifest of the known schema, whole and typed, is a verification error at its path."""
    path = tmp_path / "release.json"
    path.write_bytes(damage(data(tmp_path)))
    with pytest.raises(VerificationError) as caught:
        manifest.load(Files(), path)
    assert caught.value.where == str(path)


def test_an_earlier_manifest_moves_to_history(tmp_path: Path) -> None:
    """A new manifest takes the place of the old one, which is kept under its version."""
    first, second = data(tmp_path), data(tmp_path, version="26.1122.0000")
    manifest.save(Files(), tmp_path, first)
    manifest.save(Files(), tmp_path, first)
    assert not (tmp_path / "history").exists()
    manifest.save(Files(), tmp_path, second)
    assert (tmp_path / "release.json").read_bytes() == second
    assert (tmp_path / "history" / "26.1121.0615.json").read_bytes() == first
    versions = [document["version"] for document in manifest.earlier(Files(), tmp_path)]
    assert sorted(versions) == ["26.1121.0615", "26.1122.0000"]


def test_no_record_of_a_version_is_overwritten(tmp_path: Path) -> None:
    """The same version made again with other facts stands beside the first; the very same bytes stand once."""
    manifests = [data(tmp_path), data(tmp_path, dirty=True), data(tmp_path, commit="beef")]
    for one in (*manifests, manifests[0]):
        manifest.save(Files(), tmp_path, one)
    manifest.retire(Files(), tmp_path)
    manifest.retire(Files(), tmp_path)
    assert not (tmp_path / "release.json").exists()
    kept = {path.name: path.read_bytes() for path in (tmp_path / "history").iterdir()}
    assert kept == {
        "26.1121.0615.json": manifests[0],
        "26.1121.0615-2.json": manifests[1],
        "26.1121.0615-3.json": manifests[2],
    }


def test_a_damaged_manifest_is_kept_too(tmp_path: Path) -> None:
    """What cannot be read is not thrown away when a new release takes its place."""
    (tmp_path / "release.json").write_bytes(b"{")
    manifest.save(Files(), tmp_path, data(tmp_path))
    assert (tmp_path / "history" / "release.unreadable").read_bytes() == b"{"
    assert len(list(manifest.earlier(Files(), tmp_path))) == 1
