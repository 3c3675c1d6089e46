"""Two releases of one commit, in clones in different folders, signed at the same moment with the same key."""

from __future__ import annotations

import re
import shutil
import subprocess
from fnmatch import fnmatchcase as fnmatch
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
# The pipeline's own state, of which nothing is concluded.
STATE = ("records", "rehearsal", "zig", ".work", ".lock")
PAGE = Path(__file__).parents[2] / "docs" / "auditing.md"


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


def listed() -> dict[str, str]:
    """The table in docs/auditing.md: pattern of the files that differ → why."""
    table = PAGE.read_text().partition("## Made twice")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|$", table, re.MULTILINE)
    return {pattern: why for names, why in rows for pattern in re.findall(r"`([^`]+)`", names)}


def files(workshop: Workshop) -> dict[str, bytes]:
    """Path → content, of everything that a release left, a submission under its archive's name."""
    found = {path.relative_to(workshop.outputs).as_posix(): path for path in workshop.outputs.rglob("*")}
    archive = next(one["sha256"] for one in workshop.manifest()["artifacts"] if one["kind"] == "archive")
    return {
        name.replace(archive, "ARCHIVE"): path.read_bytes()
        for name, path in found.items()
        if path.is_file() and name.partition("/")[0] not in STATE
    }


def test_what_differs_is_what_the_page_lists(twins: tuple[Workshop, Workshop]) -> None:
    """Every file of both is the same, byte for byte, or listed in docs/auditing.md; and nothing listed is the same."""
    first, second = map(files, twins)
    assert first.keys() == second.keys()
    different = {name for name in first if first[name] != second[name]}
    patterns = listed()
    assert different == {name for name in first if any(fnmatch(name, pattern) for pattern in patterns)}
    for pattern in patterns:
        assert any(fnmatch(name, pattern) for name in different), pattern


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
