"""What a continuous-integration service is given: JUnit's XML of a verification, the summary of a job."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree

from pipeline.host import Host
from pipeline.stages.verify import Judged

# XML 1.0 has no way to write these.
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$@])")


def junit(name: str, judged: Iterable[Judged]) -> bytes:
    """A test suite with a case for each artifact, as JUnit writes them."""
    judged = list(judged)
    failures = sum(one.error is not None for one in judged)
    skipped = sum(one.error is None and bool(one.not_run) for one in judged)
    counts = {"tests": str(len(judged)), "failures": str(failures), "errors": "0", "skipped": str(skipped)}
    root = ElementTree.Element("testsuites", counts)
    seconds = f"{sum(one.seconds for one in judged):.3f}"
    suite = ElementTree.SubElement(root, "testsuite", {"name": _xml(name), "time": seconds, **counts})
    for one in judged:
        facts = {"classname": f"verify.{one.kind}", "name": _xml(one.name), "time": f"{one.seconds:.3f}"}
        case = ElementTree.SubElement(suite, "testcase", facts)
        if one.error is not None:
            said = {"message": _xml(one.error.message), "type": type(one.error).__name__}
            ElementTree.SubElement(case, "failure", said).text = _xml(str(one.error))
        elif one.not_run:
            ElementTree.SubElement(case, "skipped", {"message": _xml("; ".join(one.not_run))})
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def summarise(host: Host, title: str, words: Sequence[str], rows: Sequence[Sequence[str]] = ()) -> None:
    """Add to the summary of the job that runs this; elsewhere nothing. `rows`: a table, its head first."""
    place = host.environment.get("GITHUB_STEP_SUMMARY")
    if not host.console.in_workflow or not place:
        return
    lines = [f"## {_markdown(title)}", "", *(f"{_markdown(one)}\n" for one in words)]
    for number, row in enumerate(rows):
        lines.append(f"| {' | '.join(map(_markdown, row))} |")
        if number == 0:
            lines.append("|---" * len(row) + "|")
    host.files.append(Path(place), host.redact("\n".join(lines) + "\n\n").encode("utf-8", "backslashreplace"))


def _xml(text: str) -> str:
    return _NOT_XML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _markdown(text: str) -> str:
    """A text that is nothing but text, on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
