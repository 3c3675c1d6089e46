"""What a CI service is told: groups, annotations, a summary, JUnit's XML; and no orders by strangers."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from builders.workshop import VERSION, Workshop

from pipeline.errors import HostRefused, VerificationError
from pipeline.host import Console
from pipeline.host.workflow import inert, order
from pipeline.redact import Redactor, Secret
from pipeline.stages.verify import Judged
from pipeline.tasks.ci import junit
from pipeline.toolchain import Tried


def test_a_release_on_githubs_runner(released: Workshop, tmp_path: Path) -> None:
    """Each stage is a group, the summary tells version, world, every artifact and the log's newest hash."""
    summary = tmp_path / "summary.md"
    runner = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    (released.outputs / "records" / "verify.json").unlink()
    ran = released.invoke("release", environment=runner)
    assert ran.code == 0, ran.err
    assert "::group::verify: not done yet\n" in ran.err
    assert ran.err.count("::group::") == ran.err.count("::endgroup::\n") == 1
    text = summary.read_text()
    for words in (f"## meshagent {VERSION}", "REHEARSAL: not for publication", "universal/meshagent.app"):
        assert words in text
    assert (
        released.invoke_plain("audit", "--folder", str(released.outputs)).out.split("newest line is ")[1][:64] in text
    )


def test_each_finding_is_an_annotation(released: Workshop, tmp_path: Path) -> None:
    """Two files changed: two annotations, each on a line of its own; a failed audit is in the summary too."""
    for path in ("dist/SHA256SUMS", "universal/meshagent.ticket"):
        (released.outputs / path).write_bytes(b"x")
    summary = tmp_path / "summary.md"
    runner = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    ran = released.invoke_plain("audit", "--folder", str(released.outputs), environment=runner)
    assert ran.code == 9
    annotations = [line for line in ran.err.splitlines() if line.startswith("::error ")]
    assert any("title=dist/SHA256SUMS" in line for line in annotations)
    assert any("universal/meshagent.ticket" in line for line in annotations)
    text = summary.read_text()
    assert "Failed with exit code 9" in text
    assert "dist/SHA256SUMS" in text


def test_elsewhere_nothing_is_ordered(finished: Workshop) -> None:
    """Without the runner the output is plain lines."""
    ran = finished.invoke("status")
    assert ran.code == 0
    assert "::" not in ran.err + ran.out


def test_junit_has_a_case_for_each_artifact(released: Workshop, tmp_path: Path) -> None:
    """All green; then with two files changed: exactly their cases failed, and the exit code is 9."""
    path = tmp_path / "verify.xml"
    assert released.invoke("verify", "--junit", str(path)).code == 0
    suite = ElementTree.parse(path).getroot()[0]
    names = {case.get("name") for case in suite.iter("testcase")}
    artifacts = {one["path"] for one in released.manifest()["artifacts"]}
    assert names == artifacts | {"daemon and agent", "a second parser's opinion"}
    assert counts(suite) == {"failures": 0, "errors": 0, "skipped": 4}
    # Gatekeeper was not asked of what it would be asked of: skipped is told as skipped.
    skipped = {case.get("name") for case in suite.iter("testcase") if case.find("skipped") is not None}
    assert skipped == {"arm64/meshagent", "x86_64/meshagent", "universal/meshagent", "universal/meshagent.app"}
    for name in ("arm64/meshagent", "dist/SHA256SUMS"):
        data = bytearray((released.outputs / name).read_bytes())
        data[len(data) // 2] ^= 1
        (released.outputs / name).write_bytes(data)
    assert released.invoke("verify", "--junit", str(path)).code == 9
    suite = ElementTree.parse(path).getroot()[0]
    failed = {case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None}
    assert failed == {"arm64/meshagent", "dist/SHA256SUMS"}
    assert counts(suite) == {"failures": 2, "errors": 0, "skipped": 3}
    (released.outputs / "arm64" / "meshagent").write_bytes(b"no Mach-O at all")
    assert released.invoke("verify", "--junit", str(path)).code == 9
    assert counts(ElementTree.parse(path).getroot()[0])["failures"] == 2


def counts(suite: ElementTree.Element) -> dict[str, int]:
    """What a suite says it holds, after it was counted again."""
    told = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    found = {name: len(suite.findall(f"testcase/{kind}")) for name, kind in told.items()}
    assert {name: int(suite.attrib[name]) for name in found} == found
    assert int(suite.attrib["tests"]) == len(suite.findall("testcase"))
    return found


def test_results_of_an_earlier_run_do_not_stay(released: Workshop, tmp_path: Path) -> None:
    """Where nothing can be verified the file says so; where not even that, there is none."""
    path = tmp_path / "verify.xml"
    path.write_text("<testsuites/>")
    (released.outputs / "records" / "package.json").unlink()
    assert released.invoke("verify", "--junit", str(path)).code == 9
    suite = ElementTree.parse(path).getroot()[0]
    assert counts(suite) == {"failures": 1, "errors": 0, "skipped": 0}
    released.configuration.write_text("no TOML")
    assert released.invoke("verify", "--junit", str(path)).code == 2
    assert not path.exists()


def test_results_have_the_form_that_is_read() -> None:
    """What Ant's schema demands is there, in its order; what Jenkins' does not know is not; hostile texts are texts."""
    judged = [
        Judged(
            name="a\x1b<&",
            kind="thin",
            error=VerificationError("page \x00"),
            seconds=0.5,
            tried=Tried(said={"gatekeeper": "not asked", "arm64": "runs"}),
        ),
        Judged(name="b", kind="app", error=HostRefused("no permission", where="b"), seconds=0.25),
    ]
    root = ElementTree.fromstring(junit("tool 1", judged, datetime(2026, 11, 21, 6, 15, 30, 5, tzinfo=UTC)))
    assert (root.tag, root.attrib) == ("testsuites", {})
    (suite,) = root
    assert suite.attrib == {
        "name": "tool 1", "package": "verify", "id": "0", "hostname": "localhost", "timestamp": "2026-11-21T06:15:30",
        "time": "0.750", "tests": "4", "failures": "1", "errors": "1", "skipped": "1",
    }  # fmt: skip
    assert [one.tag for one in suite] == ["properties", *["testcase"] * 4, "system-out", "system-err"]
    for case in suite.iter("testcase"):
        assert set(case.attrib) == {"classname", "name", "time"}
        assert len(case) <= 1
    (failure,), (error,) = suite.iter("failure"), suite.iter("error")
    assert failure.attrib == {"message": "page \\u0000", "type": "VerificationError"}
    assert (error.get("type"), error.text) == ("HostRefused", "b: no permission")


@pytest.mark.parametrize(
    "text",
    [
        "::error::owned",
        "  ::add-mask::x",
        "fine\n::stop-commands::x",
        "a\r::debug::x",
        "x ##[error]y",
        "\u2028::group::x",
    ],
)
def test_no_text_is_an_order(text: str) -> None:
    """Whatever a tool prints or a file is called, no line of it begins as an order does; the old form is nowhere."""
    shown = inert(text)
    assert not [line for line in shown.splitlines() if line.lstrip().startswith("::")]
    assert "##[" not in shown


def test_an_order_is_one_line() -> None:
    """Line ends, commas, colons and percent signs cannot end a command or begin another."""
    made = order("error", "a\r\n::set-output::b%", title="x,y:z\n")
    assert made == "::error title=x%2Cy%3Az%0A::a%0D%0A::set-output::b%25"


def test_no_text_steers_a_terminal() -> None:
    """Escapes, controls and directions of writing are shown, not obeyed; line ends and tabs stay."""
    messages, results = io.StringIO(), io.StringIO()
    console = Console(Redactor(), messages=messages, results=results)
    for speak in (console.say, console.result):
        speak("a\x1b[2Jb\rc\x9bd\u202egnp.exe\n\te ü 中")
    shown = "a\\u001b[2Jb\\u000dc\\u009bd\\u202egnp.exe\n\te ü 中\n"
    assert (messages.getvalue(), results.getvalue()) == (shown, shown)


def test_secrets_do_not_reach_the_runner() -> None:
    """Annotations and group titles pass through the redactor."""
    redact, messages = Redactor(), io.StringIO()
    redact.register(Secret("hunter22"))
    console = Console(redact, messages=messages, results=messages, in_workflow=True)
    with console.group("signs with hunter22"):
        console.annotate("error", "hunter22 is wrong", "hunter22")
    assert "hunter22" not in messages.getvalue()
    assert messages.getvalue().count("[redacted]") == 3
