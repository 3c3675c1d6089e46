"""When each stage ran, and what ran side by side in it: a table of bars, one table a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.journal import Entry
from pipeline.report.markup import Content, Markup, code, element, section, table

# A run of many products has hundreds of events: beyond this many, a stage's own are told in the log alone.
_MOST_ROWS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    name: str
    inner: bool
    """Inside of a stage?"""
    begin: float
    end: float
    """Seconds since the run's first line."""
    marks: tuple[float, ...] = ()


def timeline(entries: Sequence[Entry]) -> Markup:
    """Newest run first; earlier ones folded away."""
    runs: dict[str, list[Entry]] = {}
    for entry in entries:
        runs.setdefault(entry.run, []).append(entry)
    shown = [_run(run, lines) for run, lines in reversed(runs.items())]
    shown = [one for one in shown if one]
    if not shown:
        return section("timeline", "Timeline", element("p", "No stage ran."))
    earlier = element("details", element("summary", f"{len(shown) - 1} earlier"), *shown[1:]) if shown[1:] else None
    return section("timeline", "Timeline", shown[0], earlier)


def _run(run: str, lines: Sequence[Entry]) -> Markup:
    first = _moment(lines[0])
    if first is None:
        return Markup()
    bars = list(_bars(lines, first))
    if not bars:
        return Markup()
    whole = max(bar.end for bar in bars) or 1.0
    rows = [(_name(bar), _drawn(bar, whole), f"{bar.begin:.1f}", f"{bar.end - bar.begin:.1f}") for bar in bars]
    began = lines[0].time[:19].replace("T", " ")
    caption = f"Run {run}, from {began} UTC"
    return table(caption, ("Stage", "When", "From (s)", "For (s)"), rows)


def _bars(lines: Sequence[Entry], first: datetime) -> Iterator[_Bar]:
    began: dict[str, float] = {}
    inside: dict[str, list[tuple[Entry, float]]] = {}
    for entry in lines:
        moment = _moment(entry)
        if entry.stage is None or moment is None:
            continue
        at = max((moment - first).total_seconds(), 0.0)
        if entry.event == "began":
            began[entry.stage], inside[entry.stage] = at, []
        elif entry.event in ("done", "failed") and entry.stage in began:
            events = inside.get(entry.stage, [])
            name = entry.stage if entry.event == "done" else f"{entry.stage} (failed)"
            begin = began.pop(entry.stage)
            yield _Bar(name=name, inner=False, begin=begin, end=at, marks=tuple(when for _, when in events))
            yield from list(_commands(events, begin))[:_MOST_ROWS]
        else:
            inside.setdefault(entry.stage, []).append((entry, at))


def _commands(events: Sequence[tuple[Entry, float]], begin: float) -> Iterator[_Bar]:
    """What took a time of its own: where two of them overlap, they ran side by side."""
    for entry, at in events:
        seconds, argv = entry.facts.get("seconds"), entry.facts.get("argv")
        if isinstance(seconds, int | float) and isinstance(argv, list):
            name = " ".join(map(str, argv[:4]))
            yield _Bar(name=name, inner=True, begin=max(at - seconds, begin), end=at)


def _name(bar: _Bar) -> Content:
    return element("span", code(bar.name), class_="inner") if bar.inner else bar.name


def _drawn(bar: _Bar, whole: float) -> Markup:
    """Decoration: the two columns behind it say the same."""
    shapes = [
        element(
            "rect",
            x=f"{100 * bar.begin / whole:.2f}%",
            width=f"{max(100 * (bar.end - bar.begin) / whole, 0.3):.2f}%",
            height="14",
            class_="inner" if bar.inner else "stage",
        )
    ]
    shapes += [
        element("rect", x=f"{100 * mark / whole:.2f}%", width="1", height="14", class_="mark") for mark in bar.marks
    ]
    return element("svg", *shapes, width="100%", height="14", aria_hidden="true", focusable="false")


def _moment(entry: Entry) -> datetime | None:
    """A log may hold a time that is none: its text is shown in the log, its place here is not."""
    try:
        return datetime.strptime(entry.time, "%Y-%m-%dT%H:%M:%S.%fZ")
    except ValueError:
        return None
