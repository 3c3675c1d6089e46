"""What a CI service is told: groups, annotations, a summary, JUnit's XML; and no orders by strangers."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

import pytest
from builders.workshop import VERSION, Workshop

from pipeline.host import Console
from pipeline.host.workflow import inert, order
from pipeline.redact import Redactor, Secret


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
    assert "does not hold" in summary.read_text()


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
    names = {case.get("name") for case in suite}
    artifacts = {one["path"] for one in released.manifest()["artifacts"]}
    assert names == artifacts | {"daemon and agent", "a second parser's opinion"}
    assert suite.attrib["failures"] == "0"
    for name in ("arm64/meshagent", "dist/SHA256SUMS"):
        data = bytearray((released.outputs / name).read_bytes())
        data[len(data) // 2] ^= 1
        (released.outputs / name).write_bytes(data)
    assert released.invoke("verify", "--junit", str(path)).code == 9
    suite = ElementTree.parse(path).getroot()[0]
    failed = {case.get("name") for case in suite if case.find("failure") is not None}
    assert failed == {"arm64/meshagent", "dist/SHA256SUMS"}
    assert suite.attrib["failures"] == "2"


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


def test_secrets_do_not_reach_the_runner() -> None:
    """Annotations and group titles pass through the redactor."""
    redact, messages = Redactor(), io.StringIO()
    redact.register(Secret("hunter22"))
    console = Console(redact, messages=messages, results=messages, in_workflow=True)
    with console.group("signs with hunter22"):
        console.annotate("error", "hunter22 is wrong", "hunter22")
    assert "hunter22" not in messages.getvalue()
    assert messages.getvalue().count("[redacted]") == 3
