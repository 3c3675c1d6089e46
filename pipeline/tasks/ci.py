"""What a continuous-integration service is given: JUnit's XML of a verification, the summary of a job."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

from pipeline.errors import MalformedFile, VerificationError
from pipeline.host import Host
from pipeline.stages.verify import Judged
from pipeline.toolchain import NOT

# XML 1.0 has no way to write these.
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$@])")


def junit(name: str, judged: Iterable[Judged], when: datetime) -> bytes:
    """A test suite with a case for each artifact, in the form that Ant's schema and Jenkins' both take.

    What this host could not try is a case of its own, and skipped. What was no verdict (a file that cannot be read) is
    an error, not a failure. `when`: the moment of the verification, UTC.
    """
    suite = ElementTree.Element("testsuite")
    ElementTree.SubElement(suite, "properties")
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    seconds = 0.0
    for one in judged:
        seconds += one.seconds
        counts["tests"] += 1
        case = _case(suite, one.kind, one.name, one.seconds)
        if one.error is not None:
            failed = isinstance(one.error, VerificationError | MalformedFile)
            counts["failures" if failed else "errors"] += 1
            said = {"message": _xml(one.error.message), "type": type(one.error).__name__}
            ElementTree.SubElement(case, "failure" if failed else "error", said).text = _xml(str(one.error))
        for what, why in one.tried.said.items() if one.tried else ():
            counts["tests"] += 1
            case = _case(suite, what, one.name, 0.0)
            if why.startswith(NOT):
                counts["skipped"] += 1
                ElementTree.SubElement(case, "skipped", {"message": _xml(why)})
    for output in ("system-out", "system-err"):
        ElementTree.SubElement(suite, output)
    own = {"name": _xml(name), "package": "verify", "id": "0", "hostname": "localhost", "time": f"{seconds:.3f}"}
    suite.attrib |= own | {"timestamp": f"{when:%Y-%m-%dT%H:%M:%S}"} | {key: str(n) for key, n in counts.items()}
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _case(suite: ElementTree.Element, kind: str, name: str, seconds: float) -> ElementTree.Element:
    facts = {"classname": f"verify.{kind}", "name": _xml(name), "time": f"{seconds:.3f}"}
    return ElementTree.SubElement(suite, "testcase", facts)


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
