"""The whole release with Apple's toolchain, through doubles: what it leaves is what the portable one leaves."""

from __future__ import annotations

import json
import plistlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from builders.apple import bench_of, new_apple_workshop
from builders.workshop import VERSION, Workshop, new_workshop
from doubles.bench import Fault

from pipeline.host import Files
from pipeline.rehearsal import State

_MISJUDGING = Path(__file__).parents[1] / "fakes" / "misjudging.py"
_TERMINATING = Path(__file__).parents[1] / "fakes" / "terminating.py"
_EACH = '\n[notary]\narchives = "each"\n'


@pytest.fixture(scope="session")
def apple_finished(finished: Workshop, prebuilt: Path, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A whole release by Apple's toolchain, with the keys of the portable one. Not to be changed."""
    folder = tmp_path_factory.mktemp("apple")
    workshop = new_apple_workshop(folder, prebuilt, keys=finished.outputs / "rehearsal", more=_EACH)
    bench_of(workshop).set(version=VERSION)
    ran = workshop.invoke("release")
    assert ran.code == 0, ran.err
    return workshop


@pytest.fixture
def apple_released(apple_finished: Workshop, tmp_path: Path) -> Workshop:
    """A copy of it with its doubles, to be changed."""
    shutil.copytree(apple_finished.folder.parent, tmp_path / "copy", symlinks=True)
    return Workshop(folder=tmp_path / "copy" / apple_finished.folder.name)


def told(workshop: Workshop) -> dict[str, Any]:
    """What both toolchains have to agree on: everything but times, time stamps and what follows from them."""
    artifacts = {}
    for entry in workshop.manifest()["artifacts"]:
        if entry["kind"] == "archive":
            continue
        keys = ("product", "kind", "debug", "slices", "unsigned_sha256")
        artifacts[entry["path"]] = {key: entry.get(key) for key in keys} | {
            name: (entry[name]["status"], entry[name].get("reason")) if name in entry else None
            for name in ("notarization", "staple")
        }
    manifest = workshop.manifest()
    same = ("schema", "release", "products", "version", "world", "dirty", "source_epoch", "minimum_macos", "builds")
    return {"artifacts": artifacts, **{key: manifest[key] for key in same}}


def ran_tools(workshop: Workshop) -> list[dict[str, Any]]:
    lines = map(json.loads, (workshop.outputs / "audit.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == "ran" and "/tools/" in line["argv"][0]]


def test_both_toolchains_tell_the_same(finished: Workshop, apple_finished: Workshop) -> None:
    """CDHashes, identifiers, teams, flags, statuses and reasons are equal; only who made it is not."""
    assert told(apple_finished) == told(finished)
    assert apple_finished.manifest()["toolchain"] == "apple"


def test_a_release_by_doubles_says_so_and_is_not_published(apple_released: Workshop) -> None:
    """The manifest is marked `doubles`, and the gate refuses it for that reason."""
    assert apple_released.manifest()["doubles"] is True
    gate = apple_released.invoke_plain("audit", "--folder", str(apple_released.outputs), "--gate")
    assert gate.code == 9
    assert "doubles" in gate.err


def test_manifest_and_log_name_the_tools(apple_finished: Workshop) -> None:
    """macOS, Xcode, SDK and codesign stand in the manifest; the log has every call with the tool's own words."""
    tools = apple_finished.manifest()["tools"]
    assert (tools["macos"], tools["xcode"], tools["sdk"]) == ("26.1 (25B78)", "Xcode 26.1 Build version 17B55", "26.1")
    said = [line["words"] for line in ran_tools(apple_finished)]
    assert any("The staple and validate action worked!" in words for words in said)
    assert any("source=Notarized Developer ID" in words for words in said)


def test_each_archive_was_sent_once(apple_finished: Workshop) -> None:
    """One submission for the bare tool, one for the app, each uploaded once."""
    submissions = State(apple_finished.outputs / "rehearsal", Files()).submissions()
    assert [one.uploads for one in submissions] == [1, 1]


def test_every_slice_was_started_and_told_its_version(apple_finished: Workshop) -> None:
    """For each notarized file and slice the log says that it ran, with the release's version."""
    lines = map(json.loads, (apple_finished.outputs / "audit.jsonl").read_text().splitlines())
    tried = {line["artifact"]: line for line in lines if line["event"] == "tried"}
    expected = {
        "x86_64/meshagent": ["x86_64"],
        "arm64/meshagent": ["arm64"],
        "universal/meshagent": ["x86_64", "arm64"],
        "universal/meshagent.app": ["x86_64", "arm64"],
    }
    assert set(tried) == set(expected)
    for path, archs in expected.items():
        assert [tried[path][arch] for arch in archs] == [f"runs: {VERSION}"] * len(archs)


def test_second_release_runs_nothing(apple_released: Workshop) -> None:
    """A second run right after the first does nothing, and calls nothing but for versions."""
    before = (apple_released.outputs / "release.json").read_bytes()
    ran = apple_released.invoke("release")
    assert ran.code == 0, ran.err
    assert "nothing to do" in ran.err
    assert (apple_released.outputs / "release.json").read_bytes() == before


def test_no_secret_of_the_notary_is_left(apple_finished: Workshop) -> None:
    """No key of the API lies outside of the rehearsal's own folder, nor in the log."""
    key = (apple_finished.outputs / "rehearsal" / "keys" / "AuthKey.p8").read_bytes().splitlines()[1]
    holders = [
        path.relative_to(apple_finished.outputs).parts[0]
        for path in apple_finished.outputs.rglob("*")
        if path.is_file() and key in path.read_bytes()
    ]
    assert set(holders) <= {"rehearsal"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('identifier = "com.example.meshagent"', 'identifier = "com.example.other"'),
        ("[app]", '[sign]\nentitlements = "e.plist"\n[app]'),
        ("[app]", '[sign]\ndebug-entitlements = "none"\n[app]'),
    ],
)
def test_each_option_changes_both_alike(finished: Workshop, prebuilt: Path, tmp_path: Path, old: str, new: str) -> None:
    """A changed [sign] option changes the CDHashes of both toolchains, to the same ones."""
    apple = new_apple_workshop(tmp_path / "apple", prebuilt, keys=finished.outputs / "rehearsal")
    portable = new_workshop(tmp_path / "portable" / "a checkout", prebuilt)
    shutil.copytree(finished.outputs / "rehearsal" / "keys", portable.outputs / "rehearsal" / "keys")
    hashes = []
    for workshop in (apple, portable):
        (workshop.folder / "e.plist").write_bytes(plistlib.dumps({"com.apple.security.cs.allow-jit": True}))
        workshop.configuration.write_text(workshop.configuration.read_text().replace(old, new))
        workshop.commit()
        for stage in ("build", "sign"):
            ran = workshop.invoke(stage)
            assert ran.code == 0, ran.err
        record = json.loads((workshop.outputs / "records" / "sign.json").read_text())
        hashes.append([entry["artifact"]["slices"] for entry in record["artifacts"]])
    assert hashes[0] == hashes[1]
    usual = [entry["slices"] for entry in finished.manifest()["artifacts"] if entry["kind"] == "thin"]
    assert hashes[0] != usual


@pytest.mark.parametrize("generation", ["old", "2026"])
def test_a_misjudged_tool_ends_as_not_stapleable(apple_released: Workshop, generation: str) -> None:
    """Where the type was misjudged and stapler is called on the bare tool, its 73 or 66 leads to the ticket beside."""
    bench_of(apple_released).set(stapler=generation)
    ran = apple_released.invoke("staple", lever=_MISJUDGING)
    assert ran.code == 0, ran.err
    assert (apple_released.outputs / "universal" / "meshagent.ticket").is_file()
    assert [line for line in ran_tools(apple_released) if line["argv"][2:3] == ["staple"] and line["exit"] in (66, 73)]


def test_an_app_that_cannot_be_stapled_ends_with_8(apple_released: Workshop) -> None:
    """Error 73 on the app is exit 8, and its old ticket stays."""
    ticket = apple_released.outputs / "universal" / "meshagent.app" / "Contents" / "CodeResources"
    old = ticket.read_bytes()
    bench_of(apple_released).set(**{"stapler-cannot-write": True})
    ran = apple_released.invoke("staple")
    assert ran.code == 8
    assert ticket.read_bytes() == old


@pytest.mark.parametrize(
    ("stage", "levers", "code", "words"),
    [
        ("sign", {"no-runtime": True}, 4, "no hardened runtime"),
        ("verify", {"version": "26.1120.0615"}, 9, "says that it is version 26.1120.0615"),
        ("verify", {"lenient": True}, 9, "does not say"),
    ],
)
def test_levers_stop_the_release(
    apple_released: Workshop, stage: str, levers: dict[str, object], code: int, words: str
) -> None:
    """What a tool did not do, or says otherwise, ends the stage with its exit code and a message."""
    bench_of(apple_released).set(**levers)
    ran = apple_released.invoke(stage)
    assert ran.code == code, ran.err
    assert words in ran.err


def test_sequential_submissions(apple_released: Workshop) -> None:
    """One after the other, each archive has its verdict before the next is sent; all are accepted."""
    text = apple_released.configuration.read_text().replace('"each"', '"each"\nmode = "sequential"')
    apple_released.configuration.write_text(text)
    shutil.rmtree(apple_released.outputs / "notary")
    ran = apple_released.invoke("notarize")
    assert ran.code == 0, ran.err
    calls = [line["argv"][2] for line in ran_tools(apple_released) if line["argv"][1:2] == ["notarytool"]]
    later = calls[len(calls) - calls[::-1].index("log") - 1 :]
    assert "submit" not in later


def test_a_missing_tool_is_named(apple_released: Workshop) -> None:
    """A folder of tools without codesign is exit 12, and names it; the system's is never used in its place."""
    (bench_of(apple_released).folder / "codesign").unlink()
    ran = apple_released.invoke("sign")
    assert ran.code == 12
    assert "codesign" in ran.err


@pytest.mark.parametrize("at", ["--force --sign", "-create", "notarytool submit", "notarytool info", "spctl"])
def test_terminated_in_the_middle_completes_when_run_again(
    finished: Workshop, prebuilt: Path, tmp_path: Path, at: str
) -> None:
    """SIGTERM as a tool starts ends with 143; the next run completes with one upload for each archive."""
    workshop = new_apple_workshop(tmp_path / "apple", prebuilt, keys=finished.outputs / "rehearsal", more=_EACH)
    ended = workshop.invoke("release", lever=_TERMINATING, environment={"TERM_AT": at})
    assert ended.code == 143, ended.err
    again = workshop.invoke("release")
    assert again.code == 0, again.err
    submissions = State(workshop.outputs / "rehearsal", Files()).submissions()
    assert sum(one.uploads for one in submissions) == 2
    assert told(workshop) == told(finished)


def test_passing_trouble_costs_nothing(finished: Workshop, prebuilt: Path, tmp_path: Path) -> None:
    """Time stamps and looks at the notary that fail twice are asked for again; nothing is sent twice."""
    workshop = new_apple_workshop(tmp_path / "apple", prebuilt, keys=finished.outputs / "rehearsal", more=_EACH)
    offline = 'Error: HTTPError(statusCode: nil, error: Error Domain=NSURLErrorDomain Code=-1009 "offline")'
    bench_of(workshop).set(
        Fault(tool="codesign", words=("--sign",), times=2, err="x: A timestamp was expected but was not found.\n"),
        Fault(tool="notarytool", words=("info",), times=2, err=offline),
    )
    ran = workshop.invoke("release")
    assert ran.code == 0, ran.err
    submissions = State(workshop.outputs / "rehearsal", Files()).submissions()
    assert [one.uploads for one in submissions] == [1, 1]


def test_a_keychain_without_the_identity_stops_a_real_release_before_its_build(tmp_path: Path, prebuilt: Path) -> None:
    """World real: the identity is chosen first; exit 10, and no compiler ran. A machine that only builds needs none."""
    workshop = new_apple_workshop(tmp_path, prebuilt)
    more = '[sign]\nidentity = "Developer ID Application: Nobody"\n[notary]\nprofile = "n"\n'
    workshop.configure(world="real", tools=tmp_path / "tools", more=more)
    ran = workshop.invoke("release")
    assert ran.code == 10, ran.err
    assert "no such identity" in ran.err
    assert not (workshop.outputs / "unsigned").exists()
    built = workshop.invoke("build", "--arch", "arm64")
    assert built.code == 0, built.err
