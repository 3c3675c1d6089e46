"""What Apple's tools get wrong, leave out or say otherwise ends a release with its exit code; the next completes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from builders.apple import agreed, calls, pull
from builders.rewinding import rewind
from builders.submissions import demand_once, submissions
from builders.workshop import Workshop
from doubles.bench import Fault

_SIGN = ("--sign", "meshagent")
_SHORT = "short.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    name: str
    code: int
    words: str
    fault: Fault | None = None
    levers: dict[str, object] = field(default_factory=dict)
    config: str = "release.toml"


def says(text: str, code: int, *words: str, tool: str = "codesign") -> Fault:
    return Fault(tool=tool, words=words, exit=code, err=text)


# In the order of the stages that they end.
CASES = (
    Case(name="no runtime", levers={"no-runtime": True}, code=4, words="no hardened runtime"),
    Case(name="no time stamp", levers={"no-timestamp": True}, code=4, words="no secure time stamp"),
    Case(name="other identifier", levers={"identifier": "tool"}, code=4, words="identifier tool"),
    Case(name="does nothing", fault=says("", 0, *_SIGN), code=4, words="codesign left something else"),
    Case(name="time stamps", fault=says("x: The timestamp service is not available.\n", 1), code=11, words="timestamp"),
    Case(name="no key", fault=says("x: errSecInternalComponent\n", 1), code=10, words="set-key-partition-list"),
    Case(name="shows other code", fault=says(f"CDHash={'0' * 40}\n", 0, "-d"), code=9, words="codesign shows CDHash"),
    Case(name="silent", fault=says("", 0, "--verify"), code=9, words="without saying"),
    Case(
        name="finds it invalid", fault=says("x: invalid signature\n", 1, "--verify"), code=9, words="invalid signature"
    ),
    Case(name="lipo damages", levers={"lipo-damages": True}, code=9, words="universal"),
    Case(name="lipo does nothing", fault=says("", 0, "-create", tool="lipo"), code=4, words="lipo exited 0"),
    Case(name="no runtime for the app", levers={"no-runtime": True}, code=4, words="Contents/MacOS/meshagent"),
    Case(name="ditto changes", levers={"ditto-changes": True}, code=9, words="unpacked by ditto"),
    Case(name="ditto does nothing", fault=says("", 0, tool="ditto"), code=9, words="ditto unpacks nothing"),
    Case(
        name="notary refuses the key",
        fault=says("Error: HTTP status code: 401. Unauthenticated.\n", 0, "submit", tool="notarytool"),
        code=10,
        words="issuer",
    ),
    Case(
        name="no verdict", levers={"services": ["polls-in-progress=100000"]}, config=_SHORT, code=7, words="wait of 1 s"
    ),
    Case(
        name="no ticket yet",
        fault=says("The staple and validate action failed! Error 65.\n", 65, "staple", tool="stapler"),
        code=8,
        words="Error 65",
    ),
    Case(
        name="stapler lies",
        fault=says("The staple and validate action worked!\n", 0, "staple", tool="stapler"),
        code=8,
        words="does not have a ticket stapled",
    ),
    Case(name="validator silent", fault=says("", 0, "validate", tool="stapler"), code=8, words="without saying"),
    Case(name="no ticket known", fault=says("", 3, "--check-notarization"), code=9, words="knows no ticket"),
    Case(name="Gatekeeper says less", levers={"lenient": True}, code=9, words="Notarized Developer ID"),
    Case(name="Gatekeeper rejects", fault=says("x: rejected\n", 3, tool="spctl"), code=9, words="rejected"),
    Case(
        name="other version", levers={"version": "26.1120.0615"}, code=9, words="says that it is version 26.1120.0615"
    ),
    Case(name="killed at its start", fault=says("zsh: killed\n", 137, tool="arch"), code=9, words="does not run"),
)


def test_each_ends_the_release_and_the_next_run_goes_on(small: Workshop) -> None:
    """Exit code and words are each one's own, no manifest speaks, and with it gone the release gets past it."""
    short = small.configuration.read_text().replace('"each"', '"each"\nwait = "1s"')
    (small.folder / _SHORT).write_text(short)
    small.commit()
    expected = agreed(small)
    rewind(small, "build")
    for case in CASES:
        pull(small, *([case.fault] if case.fault else []), **case.levers)
        ran = small.invoke_plain("release", "--config", str(small.folder / case.config))
        assert ran.code == case.code, f"{case.name}: {ran.code}\n{ran.err}"
        assert case.words in ran.err, f"{case.name}:\n{ran.err}"
        assert not (small.outputs / "release.json").exists(), case.name
    pull(small)
    ran = small.invoke("release")
    assert ran.code == 0, ran.err
    assert agreed(small) == expected
    demand_once(small.outputs, 2)


@pytest.mark.parametrize(
    ("verdict", "words"),
    [("invalid", ("critical validation errors", "4000")), ("rejected", ("Team is not yet configured", "7000"))],
)
def test_exit_0_of_a_verdict_that_is_none(small: Workshop, verdict: str, words: tuple[str, ...]) -> None:
    """notarytool exits 0 for it; the release ends with 6 and the log as a table, and these bytes are never sent again.

    Other bytes are: a later commit's release completes.
    """
    pull(rewind(small, "archive"), services=[f"verdict={verdict}"])
    ran = small.invoke("release")
    assert ran.code == 6, ran.err
    assert [one for one in words if one not in ran.err] == []
    assert {line["exit"] for line in calls(small, "notarytool")} == {0}
    pull(small)
    again = small.invoke("release")
    assert again.code == 6, again.err
    assert [one.uploads for one in submissions(small.outputs)] == [1, 1]
    (small.folder / "source" / "mended.txt").write_text("mended")
    small.commit("2026-11-21T06:20:00+00:00")
    pull(small, version="26.1121.0620")
    mended = small.invoke("release")
    assert mended.code == 0, mended.err
    assert [one.uploads for one in submissions(small.outputs)] == [1, 1, 1, 1]
