"""The log, line by line: folded by run and by stage, so that thousands of lines are no wall."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from pipeline.journal import Entry
from pipeline.report.markup import Content, Markup, code, element, folded, section, table

_COLUMNS = ("Line", "UTC", "Event", "Artifact", "Facts")


def log(entries: Sequence[Entry]) -> Markup:
    """Newest run first, each with its stages in order."""
    runs: dict[str, list[Entry]] = {}
    for entry in entries:
        runs.setdefault(entry.run, []).append(entry)
    about = element(
        "p",
        f"All {len(entries)} lines of audit.jsonl, folded. The browser's search finds what is folded, and opens it; "
        "printed is what is open.",
    )
    shown = [_run(run, lines) for run, lines in reversed(runs.items())]
    return section("log", "Log", about, element("div", *shown, class_="log"))


def _run(run: str, lines: Sequence[Entry]) -> Markup:
    words = f"Run {run}, from {_clock(lines[0].time)} UTC: lines {lines[0].line} to {lines[-1].line}"
    stages = [_stage(run, stage, list(group)) for stage, group in groupby(lines, lambda entry: entry.stage)]
    return folded(words, *stages)


def _stage(run: str, stage: str | None, lines: Sequence[Entry]) -> Markup:
    many = "1 line" if len(lines) == 1 else f"{len(lines)} lines"
    failed = ", failed" if any(entry.event == "failed" for entry in lines) else ""
    shown = table(f"{stage or 'Run'} in run {run}, from line {lines[0].line}", _COLUMNS, map(_row, lines))
    return folded(f"{stage or 'the run itself'}: {many}{failed}", shown)


def _row(entry: Entry) -> Sequence[Content]:
    facts = "; ".join(_fact(key, value) for key, value in entry.facts.items())
    return (
        str(entry.line),
        _clock(entry.time),
        entry.event,
        code(entry.artifact) if entry.artifact else "",
        element("span", facts, class_="words"),
    )


def _fact(key: str, value: object) -> str:
    if isinstance(value, Mapping):
        value = ", ".join(f"{name} {item}" for name, item in value.items())
    elif isinstance(value, Iterable) and not isinstance(value, str):
        value = " ".join(map(str, value))
    return f"{key}: {value}"


def _clock(time: str) -> str:
    """`2026-11-21T06:15:30.000000Z` without what no reader needs."""
    return time[:19].replace("T", " ")
