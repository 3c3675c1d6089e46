"""Two releases of one commit, in clones in different folders, signed at the same moment with the same key."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from builders.signing import signatures
from builders.workshop import Workshop, new_workshop

from pipeline.codesign.cms import TIMESTAMP_TOKEN, parse_cms
from pipeline.codesign.superblob import Slot
from pipeline.macho import BytesSource, read_slices

NOW = "2026-11-21T06:30:00+00:00"
LEVER = Path(__file__).parents[1] / "fakes" / "standing_clock.py"
CODE = [
    *(f"{place}/{twin}meshagent" for place in ("x86_64", "arm64", "universal") for twin in ("", "DEBUG_")),
    "universal/meshagent.app/Contents/MacOS/meshagent",
]
SAME = [
    *(f"unsigned/{arch}/{twin}meshagent" for arch in ("x86_64", "arm64") for twin in ("", "DEBUG_")),
    *(f"unsigned/{arch}/build.json" for arch in ("x86_64", "arm64")),
    "universal/meshagent.app/Contents/Info.plist",
    "universal/meshagent.app/Contents/PkgInfo",
    "universal/meshagent.app/Contents/_CodeSignature/CodeResources",
]


def release(workshop: Workshop) -> None:
    ran = workshop.invoke("release", lever=LEVER, environment={"NOW": NOW})
    assert ran.code == 0, ran.err


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, prebuilt: Path) -> tuple[Workshop, Workshop]:
    """Two clones of one repository, in folders of other names, with one rehearsal's keys."""
    origin = new_workshop(tmp_path_factory.mktemp("origin") / "repository", prebuilt)
    clones = []
    for name in ("first", "second and longer"):
        folder = tmp_path_factory.mktemp("clones") / name
        subprocess.run(["git", "clone", "-q", origin.folder, folder], check=True, capture_output=True)
        clones.append(Workshop(folder=folder))
    first, second = clones
    release(first)
    shutil.copytree(first.outputs / "rehearsal" / "keys", second.outputs / "rehearsal" / "keys")
    shutil.copytree(first.outputs / "rehearsal" / "anchors", second.outputs / "rehearsal" / "anchors")
    release(second)
    return first, second


@pytest.mark.parametrize("path", SAME)
def test_files_without_a_time_stamp_are_the_same(twins: tuple[Workshop, Workshop], path: str) -> None:
    """What the build made, its record, and what a bundle holds besides code: the same bytes."""
    first, second = ((one.outputs / path).read_bytes() for one in twins)
    assert first == second


@pytest.mark.parametrize("path", CODE)
def test_signed_code_differs_in_the_time_stamp_alone(twins: tuple[Workshop, Workshop], path: str) -> None:
    """Code, CodeDirectories, requirements, entitlements and the signature itself are the same bytes."""
    one, other = ((workshop.outputs / path).read_bytes() for workshop in twins)
    assert len(one) == len(other)
    pairs = zip(read_slices(BytesSource(one)), read_slices(BytesSource(other)), strict=True)
    for slice_, twin in pairs:
        assert slice_.image == twin.image
        assert slice_.image.signature is not None
        end = slice_.image.signature.dataoff
        assert slice_.source.read(0, end) == twin.source.read(0, end)
    for ours, theirs in zip(signatures(one), signatures(other), strict=True):
        assert [each.cdhash for each in ours.directories] == [each.cdhash for each in theirs.directories]
        for slot in set(Slot) - {Slot.CMS}:
            assert ours.blob(slot) == theirs.blob(slot)
        mine, yours = parse_cms(ours.cms), parse_cms(theirs.cms)
        assert mine.certificates == yours.certificates
        assert mine.signer.signature == yours.signer.signature
        assert mine.signer.signed == yours.signer.signed
        assert [one.oid for one in mine.signer.unsigned] == [TIMESTAMP_TOKEN]


def test_the_manifest_differs_only_where_it_must(twins: tuple[Workshop, Workshop]) -> None:
    """Digests of what holds a time stamp or a ticket, submissions and the log's head; nothing else."""
    first, second = (workshop.manifest() for workshop in twins)
    for document in (first, second):
        del document["log"]
        for artifact in document["artifacts"]:
            for key in ("sha256", "size"):
                del artifact[key]
            (artifact.get("notarization") or {}).pop("submission", None)
    assert first == second
