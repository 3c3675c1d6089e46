"""Two machines build an architecture each, a third adopts both and finishes; whatever changed on the way is refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from builders.chain import developer_id
from builders.workshop import Ran, Workshop, new_workshop

ARCHITECTURES = ("x86_64", "arm64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What two clones built: architecture → folder that travels, and the digest told on another way."""

    folders: dict[str, Path]
    digests: dict[str, str]
    third: Workshop


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, prebuilt: Path) -> Fleet:
    """Three clones of one commit in three folders; each of the first two has built its architecture."""
    first = new_workshop(tmp_path_factory.mktemp("fleet") / "first clone", prebuilt)
    clones = [first, *(first.copy(first.folder.with_name(name)) for name in ("second clone", "third clone"))]
    folders, digests = {}, {}
    for clone, arch in zip(clones, ARCHITECTURES, strict=False):
        ran = clone.invoke("build", "--arch", arch)
        assert ran.code == 0, ran.err
        (line,) = ran.out.splitlines()
        place, digests[arch] = line.split()
        folders[arch] = clone.outputs / place
        assert hashlib.sha256((folders[arch] / "build.json").read_bytes()).hexdigest() == digests[arch]
        assert sorted(path.name for path in (clone.outputs / "unsigned").iterdir()) == [arch]
    return Fleet(folders=folders, digests=digests, third=clones[2])


@pytest.fixture
def third(fleet: Fleet, tmp_path: Path) -> Workshop:
    return fleet.third.copy(tmp_path / "another third")


def adopt(workshop: Workshop, fleet: Fleet, arch: str, **changes: Path | str) -> Ran:
    folder = str(changes.get("folder", fleet.folders[arch]))
    return workshop.invoke("build", "--adopt", folder, "--expect", str(changes.get("expect", fleet.digests[arch])))


def travelled(fleet: Fleet, arch: str, to: Path) -> Path:
    """A copy of what an architecture's machine sent."""
    to.mkdir()
    for path in fleet.folders[arch].iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_a_third_machine_finishes_what_two_built(fleet: Fleet, third: Workshop) -> None:
    """After both adoptions the release builds nothing, and its unsigned files are the two machines' bytes."""
    one = adopt(third, fleet, "x86_64")
    assert (one.code, one.out.split()) == (0, ["unsigned/x86_64", fleet.digests["x86_64"]])
    assert "arm64 is still to come" in one.err
    assert "build      would run" in third.invoke("--dry", "release").out
    assert adopt(third, fleet, "arm64").code == 0
    assert "build      done" in third.invoke("--dry", "release").out
    ran = third.invoke("release")
    assert ran.code == 0, ran.err
    log = [json.loads(line) for line in (third.outputs / "audit.jsonl").read_text().splitlines()]
    assert not [entry for entry in log if entry["event"] in ("ran", "built")]
    adopted = {entry["arch"]: entry["record"] for entry in log if entry["event"] == "adopted"}
    assert adopted == fleet.digests
    for entry in third.manifest()["builds"]:
        sent = fleet.folders[entry["arch"]] / Path(entry["path"]).name
        assert entry["sha256"] == hashlib.sha256(sent.read_bytes()).hexdigest()
    assert third.invoke_plain("audit", "--folder", str(third.outputs)).code == 0


def test_both_at_once_and_as_json(fleet: Fleet, third: Workshop) -> None:
    """Several folders, each with its digest, are adopted by one command, which prints one document."""
    words = [word for arch in ARCHITECTURES for word in ("--adopt", str(fleet.folders[arch]))]
    words += [word for arch in ARCHITECTURES for word in ("--expect", f"sha256:{fleet.digests[arch].upper()}")]
    ran = third.invoke("build", *words, "--json")
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    assert document["builds"] == fleet.digests
    assert document["whole"] is True


def test_one_machine_may_build_one_and_adopt_the_other(fleet: Fleet, third: Workshop) -> None:
    """What is built here and what is adopted make one build."""
    assert third.invoke("build", "--arch", "arm64").code == 0
    assert adopt(third, fleet, "x86_64").code == 0
    assert "build      done" in third.invoke("--dry", "release").out


@pytest.mark.parametrize("name", ["meshagent", "DEBUG_meshagent", "build.json"])
def test_a_changed_byte_is_refused(fleet: Fleet, third: Workshop, tmp_path: Path, name: str) -> None:
    """One byte of a binary, of its twin or of the record: exit 9, the file is named, nothing is adopted."""
    folder = travelled(fleet, "x86_64", tmp_path / "sent")
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    ran = adopt(third, fleet, "x86_64", folder=folder)
    assert ran.code == 9
    assert name in ran.err
    assert not (third.outputs / "unsigned" / "x86_64").exists()


def test_a_missing_file_a_link_and_a_stranger_architecture_are_refused(
    fleet: Fleet, third: Workshop, tmp_path: Path
) -> None:
    """A file that did not arrive, or is a link, is refused; so is the record of another architecture."""
    folder = travelled(fleet, "x86_64", tmp_path / "sent")
    (folder / "meshagent").unlink()
    assert adopt(third, fleet, "x86_64", folder=folder).code == 9
    (folder / "meshagent").symlink_to(fleet.folders["x86_64"] / "meshagent")
    assert adopt(third, fleet, "x86_64", folder=folder).code == 9
    assert adopt(third, fleet, "x86_64", folder=fleet.folders["arm64"]).code == 9


def test_a_file_that_nobody_named_is_refused(fleet: Fleet, third: Workshop, tmp_path: Path) -> None:
    """One file or folder more than build.json names: exit 9, and its name."""
    folder = travelled(fleet, "x86_64", tmp_path / "sent")
    (folder / "libextra.dylib").write_bytes(b"x")
    ran = adopt(third, fleet, "x86_64", folder=folder)
    assert ran.code == 9
    assert "holds libextra.dylib, which build.json does not name" in ran.err
    assert not (third.outputs / "unsigned").exists()


def test_architectures_swapped_are_refused(fleet: Fleet, third: Workshop, tmp_path: Path) -> None:
    """The other machine's binaries under this one's record; and under a record made to fit them: exit 9, named."""
    folder = travelled(fleet, "x86_64", tmp_path / "sent")
    for name in ("meshagent", "DEBUG_meshagent"):
        (folder / name).write_bytes((fleet.folders["arm64"] / name).read_bytes())
    ran = adopt(third, fleet, "x86_64", folder=folder)
    assert ran.code == 9
    assert "meshagent: is not the file that build.json names" in ran.err
    record = json.loads((folder / "build.json").read_text())
    for one in record["outputs"]:
        data = (folder / Path(one["path"]).name).read_bytes()
        one.update(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    data = json.dumps(record).encode()
    (folder / "build.json").write_bytes(data)
    lying = adopt(third, fleet, "x86_64", folder=folder, expect=hashlib.sha256(data).hexdigest())
    assert lying.code == 9
    assert "built for arm64 instead of x86_64" in lying.err


def test_a_refused_offer_takes_nothing_back(released: Workshop) -> None:
    """What was finished before it stays finished: its manifest, its records, what it would run next."""
    own = str(released.outputs / "unsigned" / "arm64")
    before = released.manifest()
    assert released.invoke("build", "--adopt", own, "--expect", "0" * 64).code == 9
    assert released.manifest() == before
    assert "would run" not in released.invoke("--dry", "release").out


def test_another_version_is_refused(fleet: Fleet, third: Workshop) -> None:
    """The same commit under another SOURCE_DATE_EPOCH is another version."""
    words = ("--adopt", str(fleet.folders["x86_64"]), "--expect", fleet.digests["x86_64"])
    ran = third.invoke("build", *words, environment={"SOURCE_DATE_EPOCH": "1790000000"})
    assert ran.code == 9
    assert "was built with another version: 26.1121.0615" in ran.err


_REAL = """
[sign]
identity = "bin/identity.pem"
[notary]
credentials = "bin/notary.json"
[provenance]
key = "bin/provenance.pem"
"""


def test_a_builder_has_no_keys(third: Workshop) -> None:
    """A real release's builder builds without the keys; who signs is told the first that is missing, before a build."""
    third.configure(world="real", more=_REAL)
    dry = third.invoke("release", "--dry")
    assert dry.code == 0, dry.err
    assert dry.err.count("not ready: release.toml line ") == 3
    whole = third.invoke("release")
    assert whole.code == 2
    assert not (third.outputs / "unsigned").exists()
    built = third.invoke("build", "--arch", "x86_64", "--arch", "arm64")
    assert built.code == 0, built.err
    alone = third.invoke("sign")
    assert alone.code == 2
    for ran in (whole, alone):
        assert re.search(r"release\.toml line \d+, key \[sign\]\.identity: no such file", ran.err)


def test_keys_that_are_none_stop_a_real_release_before_its_build(third: Workshop) -> None:
    """The identity is opened first: what is none is an error before the compiler starts."""
    third.configure(world="real", more=_REAL.partition("[provenance]")[0])
    (third.folder / "bin").mkdir()
    for name in ("identity.pem", "notary.json"):
        (third.folder / "bin" / name).write_text("no key")
        (third.folder / "bin" / name).chmod(0o600)
    ran = third.invoke("release", "--allow-dirty")
    assert ran.code in (2, 10)
    assert "identity.pem" in ran.err
    assert not (third.outputs / "unsigned").exists()


def test_an_identity_that_has_ended_stops_a_real_release_before_its_build(third: Workshop) -> None:
    """Nobody would take what it signs: exit 10 with the day, and nothing is compiled."""
    third.configure(world="real", more=_REAL.partition("[provenance]")[0])
    (third.folder / "bin").mkdir()
    ended = developer_id(not_before=datetime(2019, 1, 1, tzinfo=UTC), not_after=datetime(2024, 3, 1, tzinfo=UTC))
    for name, text in (("identity.pem", ended.pem), ("notary.json", b"{}")):
        (third.folder / "bin" / name).write_bytes(text)
        (third.folder / "bin" / name).chmod(0o600)
    ran = third.invoke("release", "--allow-dirty")
    assert ran.code == 10
    assert "identity.pem: certificate" in ran.err
    assert "expired on 2024-03-01" in ran.err
    assert not (third.outputs / "unsigned").exists()


def test_another_commit_is_refused(fleet: Fleet, third: Workshop) -> None:
    """A third machine that stands on another commit refuses, even of the same minute."""
    (third.folder / "elsewhere.txt").write_text("x")
    third.commit()
    ran = adopt(third, fleet, "x86_64")
    assert ran.code == 9
    assert "another commit" in ran.err


def test_another_configuration_is_refused(fleet: Fleet, third: Workshop) -> None:
    """A release.toml that differs is refused, though nothing of the build depends on the change."""
    text = third.configuration.read_text()
    third.configuration.write_text(text.replace('display-name = "Mesh Agent"', 'display-name = "Other"'))
    ran = adopt(third, fleet, "x86_64")
    assert ran.code == 9
    assert "was built with another" in ran.err
    third.configuration.write_text(text)
    assert adopt(third, fleet, "x86_64").code == 0


def test_a_record_that_lies_is_refused(fleet: Fleet, third: Workshop, tmp_path: Path) -> None:
    """Even with the right digest, a record may not name files elsewhere, or fewer than the release builds."""
    changes: list[Callable[[dict[str, Any]], object]] = [
        lambda record: record["outputs"].pop(),
        lambda record: record["outputs"][0].update(path="unsigned/x86_64/../../meshagent"),
        lambda record: record["outputs"][0].update(path="universal/meshagent"),
        lambda record: record.update(arch="arm64"),
        lambda record: record.update(schema=2),
        lambda record: record.update(outputs=None),
    ]
    for change in changes:
        folder = travelled(fleet, "x86_64", tmp_path / f"sent {len(list(tmp_path.iterdir()))}")
        record = json.loads((folder / "build.json").read_text())
        change(record)
        data = json.dumps(record).encode()
        (folder / "build.json").write_bytes(data)
        assert adopt(third, fleet, "x86_64", folder=folder, expect=hashlib.sha256(data).hexdigest()).code == 9
    assert not list((third.outputs / "unsigned").glob("*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--arch", "ppc"], '"ppc" is none of x86_64, arm64'),
        (["--adopt", "."], "1 --adopt and 0 --expect"),
        (["--adopt", ".", "--expect", "abc"], "is not a SHA-256"),
        (["--adopt", "nowhere", "--expect", "0" * 64], "no such folder"),
        (["--adopt", ".", "--expect", "0" * 64, "--arch", "arm64"], "--arch builds and --adopt takes"),
    ],
)
def test_command_lines_that_mean_nothing(third: Workshop, words: list[str], said: str) -> None:
    """Half a pair, no digest, an unknown architecture: exit 2, before anything is touched."""
    ran = third.invoke("build", *words)
    assert ran.code == 2
    assert said in ran.err
