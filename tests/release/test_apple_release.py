"""Whole releases with Apple's toolchain, through doubles: what they leave is what the portable one leaves."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from builders.apple import (
    EACH,
    TWO_PRODUCTS,
    agreed,
    bench_of,
    calls,
    log_of,
    new_apple_workshop,
    pull,
)
from builders.rewinding import rewind
from builders.submissions import demand_once, records, submissions
from builders.workshop import VERSION, Workshop
from doubles.bench import Fault

_MISJUDGING = Path(__file__).parents[1] / "fakes" / "misjudging.py"
_SEQUENTIAL = f'{EACH}mode = "sequential"\n'
_APP = "universal/meshagent.app"
_TICKET = "Contents/CodeResources"


def moments(workshop: Workshop, state: str) -> list[datetime]:
    """When each submission was `uploaded` or `accepted`, by its own record, in the order in which they were begun."""
    begun = {one.sha256: number for number, one in enumerate(submissions(workshop.outputs))}
    ordered = sorted(records(workshop.outputs), key=lambda record: begun[record["archive"]["sha256"]])
    return [datetime.fromisoformat(record["times"][state]) for record in ordered]


def tools_asked(workshop: Workshop) -> list[str]:
    """What notarytool was asked for, in order: submit, info, log."""
    return [line["argv"][2] for line in calls(workshop, "notarytool") if "--version" not in line["argv"]]


def staple_of(workshop: Workshop, path: str) -> dict[str, str]:
    (artifact,) = [one for one in workshop.manifest()["artifacts"] if one["path"] == path]
    staple: dict[str, str] = artifact["staple"]
    return staple


def test_both_toolchains_tell_the_same(portable_finished: Workshop, apple_finished: Workshop) -> None:
    """Paths, CDHashes, identifiers, teams, flags, entitlements, statuses and reasons are equal; who made it is not."""
    assert agreed(apple_finished) == agreed(portable_finished)
    assert apple_finished.manifest()["toolchain"] == "apple"


def test_all_are_sent_before_the_first_is_accepted(apple_finished: Workshop) -> None:
    """Side by side: four archives, each uploaded once, all of them before there was a verdict on any."""
    demand_once(apple_finished.outputs, 4)
    asked = tools_asked(apple_finished)
    assert asked[:4] == ["submit"] * 4
    assert "submit" not in asked[4:]
    assert asked.count("log") == 4
    assert max(moments(apple_finished, "uploaded")) <= min(moments(apple_finished, "accepted"))


def test_one_after_the_other(portable_finished: Workshop, prebuilt: Path, tmp_path: Path, program: str) -> None:
    """A whole release in sequence: each archive has its verdict before the next is sent; the result is the same."""
    keys = portable_finished.outputs / "rehearsal"
    workshop = new_apple_workshop(tmp_path, prebuilt, keys=keys, body=TWO_PRODUCTS, more=_SEQUENTIAL, program=program)
    ran = workshop.invoke("release")
    assert ran.code == 0, ran.err
    assert agreed(workshop) == agreed(portable_finished)
    demand_once(workshop.outputs, 4)
    asked = [words for words in tools_asked(workshop) if words != "info"]
    assert asked == ["submit", "log"] * 4
    uploaded, accepted = moments(workshop, "uploaded"), moments(workshop, "accepted")
    assert all(done <= sent for done, sent in zip(accepted, uploaded[1:], strict=False))


def test_a_release_by_doubles_says_so_and_is_not_published(apple_finished: Workshop) -> None:
    """The manifest is marked `doubles`; console and audit say it, and the gate refuses it for that reason."""
    assert apple_finished.manifest()["doubles"] is True
    assert "DOUBLES" in apple_finished.invoke("--dry", "release").err
    assert "DOUBLES" in apple_finished.invoke_plain("audit", "--folder", str(apple_finished.outputs)).out
    gate = apple_finished.invoke_plain("audit", "--folder", str(apple_finished.outputs), "--gate")
    assert gate.code == 9
    assert "doubles" in gate.err


def test_manifest_and_log_name_the_tools(apple_finished: Workshop) -> None:
    """macOS, Xcode, SDK and codesign stand in the manifest; the log has every call with the tool's own words."""
    tools = apple_finished.manifest()["tools"]
    assert (tools["macos"], tools["xcode"], tools["sdk"]) == ("26.1 (25B78)", "Xcode 26.1 Build version 17B55", "26.1")
    said = [line["words"] for line in calls(apple_finished)]
    assert any("The staple and validate action worked!" in words for words in said)
    assert any("source=Notarized Developer ID" in words for words in said)


def test_every_slice_was_started_and_told_its_version(apple_finished: Workshop) -> None:
    """For each notarized file and slice the log says that it ran, with the release's version."""
    tried = {line["artifact"]: line for line in log_of(apple_finished) if line["event"] == "tried"}
    expected = {
        place.replace("*", product): archs
        for product in ("meshagent", "meshrelay")
        for place, archs in {
            "x86_64/*": ["x86_64"],
            "arm64/*": ["arm64"],
            "universal/*": ["x86_64", "arm64"],
            "universal/*.app": ["x86_64", "arm64"],
        }.items()
    }
    assert set(tried) == set(expected)
    for path, archs in expected.items():
        assert [tried[path][arch] for arch in archs] == [f"runs: {VERSION}"] * len(archs)


def test_second_release_runs_nothing(apple_released: Workshop) -> None:
    """A second run right after the first does nothing, and calls nothing but for versions, of which no log tells."""
    names = ("release.json", "audit.jsonl", "provenance.json")
    before = [(apple_released.outputs / name).read_bytes() for name in names]
    ran = apple_released.invoke("release")
    assert ran.code == 0, ran.err
    assert "nothing to do" in ran.err
    assert [(apple_released.outputs / name).read_bytes() for name in names] == before


def test_no_secret_of_the_notary_is_left(apple_finished: Workshop) -> None:
    """No key of the API lies outside of the rehearsal's own folder, nor in the log."""
    key = (apple_finished.outputs / "rehearsal" / "keys" / "AuthKey.p8").read_bytes().splitlines()[1]
    holders = [
        path.relative_to(apple_finished.outputs).parts[0]
        for path in apple_finished.outputs.rglob("*")
        if path.is_file() and key in path.read_bytes()
    ]
    assert set(holders) == {"rehearsal"}


@pytest.mark.parametrize(("generation", "code"), [("old", 73), ("2026", 66)])
def test_a_misjudged_tool_ends_as_not_stapleable(small: Workshop, generation: str, code: int) -> None:
    """Where the type was misjudged and stapler is called on the bare tool, its 73 or 66 leads to the ticket beside."""
    kept = small.outputs / "universal" / "meshagent.ticket"
    ticket = kept.read_bytes()
    pull(rewind(small, "notarize"), stapler=generation)
    ran = small.invoke("release", lever=_MISJUDGING)
    assert ran.code == 0, ran.err
    assert kept.read_bytes() == ticket
    assert staple_of(small, "universal/meshagent")["status"] == "not-stapleable"
    assert staple_of(small, _APP) == {"status": "stapled"}
    assert [line["exit"] for line in calls(small, "stapler", "staple", "meshagent")] == [code]


@pytest.mark.parametrize("code", [73, 66])
def test_an_app_that_cannot_be_stapled_ends_with_8(small: Workshop, code: int) -> None:
    """The same numbers on an app are a failure: exit 8, and its old ticket stays until a later run has a new one."""
    ticket = small.outputs / _APP / _TICKET
    ticket.write_bytes(b"an older ticket")
    said = "The staple and validate action failed! Error 73.\n" if code == 73 else ""
    pull(rewind(small, "notarize"), Fault(tool="stapler", words=("staple", "meshagent.app"), exit=code, out=said))
    ran = small.invoke("release")
    assert ran.code == 8, ran.err
    assert ticket.read_bytes() == b"an older ticket"
    assert not (small.outputs / "release.json").exists()
    pull(small)
    again = small.invoke("release")
    assert again.code == 0, again.err
    assert ticket.read_bytes() != b"an older ticket"


def test_a_stapler_that_takes_the_old_ticket_away_took_it_from_a_copy(small: Workshop) -> None:
    """Apple's stapler removes the ticket that is there before it fails: the app's own is untouched."""
    ticket = small.outputs / _APP / _TICKET
    old = ticket.read_bytes()
    pull(small, **{"stapler-cannot-write": True})
    ran = small.invoke("staple")
    assert ran.code == 8, ran.err
    assert ticket.read_bytes() == old


def test_a_slice_that_was_not_run_is_never_green(small: Workshop, tmp_path: Path) -> None:
    """Without Rosetta the release says which slices nobody started, wherever it is read, and the gate refuses it."""
    pull(rewind(small, "package"), **{"cannot-run": ["x86_64"]})
    ran = small.invoke("release")
    assert ran.code == 0, ran.err
    words = "x86_64: not run: this Mac cannot run the architecture (softwareupdate --install-rosetta)"
    told = {one["path"]: one["not_run"] for one in small.manifest()["artifacts"] if "not_run" in one}
    assert told == {path: [words] for path in ("x86_64/meshagent", "universal/meshagent", _APP)}
    assert ran.out.count(words) == 3
    gate = small.invoke_plain("audit", "--folder", str(small.outputs), "--gate")
    assert gate.code == 9
    assert f"universal/meshagent, {words}" in gate.err
    page = small.invoke_plain("report", "--folder", str(small.outputs))
    assert page.code == 0, page.err
    assert (small.outputs / "report.html").read_text().count("not run: this Mac cannot run") >= 3
    junit = small.invoke("verify", "--junit", str(tmp_path / "verify.xml"))
    assert junit.code == 0, junit.err
    (suite,) = ElementTree.parse(tmp_path / "verify.xml").getroot()
    assert suite.attrib["skipped"] == "3"
    assert {case.attrib["name"] for case in suite.iter("testcase") if case.find("skipped") is not None} == set(told)


def test_what_was_not_run_is_tried_again(small: Workshop) -> None:
    """A release that skipped something is not done: the next run starts the slices, and nothing is signed anew."""
    pull(rewind(small, "package"), **{"cannot-run": ["x86_64"]})
    assert small.invoke("release").code == 0
    pull(small)
    ran = small.invoke("release")
    assert ran.code == 0, ran.err
    assert "verify: universal/meshagent" in ran.err or "verify: x86_64/meshagent" in ran.err
    assert "sign:" not in ran.err
    assert not [one for one in small.manifest()["artifacts"] if "not_run" in one]
    assert (small.outputs / _APP / _TICKET).is_file()
    assert "nothing to do" in small.invoke("release").err


def test_a_missing_tool_is_named(small: Workshop) -> None:
    """A folder of tools without codesign is exit 12, and names it; the system's is never used in its place."""
    (bench_of(small).folder / "codesign").unlink()
    ran = small.invoke("sign")
    assert ran.code == 12
    assert "codesign" in ran.err


def test_passing_trouble_costs_nothing(small: Workshop) -> None:
    """Time stamps and looks at the notary that fail twice are asked for again; nothing is sent twice."""
    offline = 'Error: HTTPError(statusCode: nil, error: Error Domain=NSURLErrorDomain Code=-1009 "offline")'
    pull(
        rewind(small, "build"),
        Fault(tool="codesign", words=("--sign",), times=2, err="x: A timestamp was expected but was not found.\n"),
        Fault(tool="notarytool", words=("info",), times=2, err=offline),
    )
    ran = small.invoke("release")
    assert ran.code == 0, ran.err
    demand_once(small.outputs, 2)


def test_a_keychain_without_the_identity_stops_a_real_release_before_its_build(
    tmp_path: Path, prebuilt: Path, program: str
) -> None:
    """World real: the identity is chosen first; exit 10, and no compiler ran. A machine that only builds needs none."""
    workshop = new_apple_workshop(tmp_path, prebuilt, program=program)
    more = '[sign]\nidentity = "Developer ID Application: Nobody"\n[notary]\nprofile = "n"\n'
    workshop.configure(world="real", tools=tmp_path / "tools", more=more)
    ran = workshop.invoke("release")
    assert ran.code == 10, ran.err
    assert "no such identity" in ran.err
    assert not (workshop.outputs / "unsigned").exists()
    built = workshop.invoke("build", "--arch", "arm64")
    assert built.code == 0, built.err
