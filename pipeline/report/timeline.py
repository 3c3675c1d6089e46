"""When each stage ran, and what ran side by side in it: a row of bars for each stage, a table for each run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipeline.journal import Entry
from pipeline.report.markup import Markup, code, element, folded, joined, section, table

# Moments are written to the millisecond: what overlaps by no more than that came one after another.
_ROUNDED = 0.0015
_LANE, _BAR = 7, 14


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    name: str
    begin: float
    end: float
    """Seconds since the run's first line."""


@dataclass(slots=True, kw_only=True)
class _Stage:
    name: str
    begin: float
    end: float | None = None
    failed: bool = False
    jobs: list[_Job] = field(default_factory=list)


def timeline(entries: Sequence[Entry]) -> Markup:
    """Newest run first; earlier ones folded away."""
    runs: dict[str, list[Entry]] = {}
    for entry in entries:
        runs.setdefault(entry.run, []).append(entry)
    shown = [one for run, lines in reversed(runs.items()) if (one := _run(run, lines))]
    if not shown:
        return section("timeline", "Timeline", element("p", "No stage ran."))
    earlier = folded(f"{len(shown) - 1} earlier", *shown[1:], class_="more") if shown[1:] else None
    return section("timeline", "Timeline", shown[0], earlier)


def _run(run: str, lines: Sequence[Entry]) -> Markup | None:
    stages = list(_stages(lines))
    if not stages:
        return None
    whole = max(stage.end or stage.begin for stage in stages) or 1.0
    began = lines[0].time[:19].replace("T", " ")
    columns = ("Stage", "When", "From (s)", "For (s)", "Jobs", "Side by side")
    shown = table(f"Run {run}, from {began} UTC", columns, (_row(stage, whole) for stage in stages))
    jobs = [(stage.name, code(one.name), *_span(one.begin, one.end)) for stage in stages for one in stage.jobs]
    if not jobs:
        return shown
    each = table(f"The jobs of run {run}", ("Stage", "Job", "From (s)", "For (s)"), jobs)
    return joined([shown, folded(f"Each of the {len(jobs)} jobs" if len(jobs) > 1 else "The job", each, class_="more")])


def _row(stage: _Stage, whole: float) -> tuple[str | Markup, ...]:
    end = stage.end if stage.end is not None else stage.begin
    name = f"{stage.name} (failed)" if stage.failed else stage.name if stage.end is not None else f"{stage.name} (cut)"
    bar = _drawn([[_Job(name=name, begin=stage.begin, end=end)]], 0.0, whole, _BAR, "stage")
    lanes = _lanes(stage.jobs)
    chart = _drawn(lanes, stage.begin, end - stage.begin, _LANE, "job") if lanes else ""
    return (name, bar, *_span(stage.begin, end), _count(len(stage.jobs), len(lanes)), chart)


def _span(begin: float, end: float) -> tuple[str, str]:
    return f"{begin:.1f}", f"{end - begin:.3f}"


def _count(jobs: int, lanes: int) -> str:
    if jobs < 2:
        return str(jobs) if jobs else "-"
    return f"{jobs}, {f'up to {lanes} at once' if lanes > 1 else 'one after another'}"


def _stages(lines: Sequence[Entry]) -> Iterator[_Stage]:
    """Each stage of a run; one without an end was cut off by a crash."""
    first = _moment(lines[0].time)
    open_: dict[str, _Stage] = {}
    for entry in lines:
        moment = _moment(entry.time)
        if first is None or moment is None or entry.stage is None:
            continue
        at = max((moment - first).total_seconds(), 0.0)
        if entry.event == "began":
            if entry.stage in open_:
                yield open_[entry.stage]
            open_[entry.stage] = _Stage(name=entry.stage, begin=at)
        elif entry.stage in open_ and entry.event in ("done", "failed", "left"):
            stage = open_.pop(entry.stage)
            stage.end, stage.failed = at, entry.event == "failed"
            yield stage
        elif entry.stage in open_:
            open_[entry.stage].jobs += _jobs(entry, first, open_[entry.stage].begin, at)
    yield from open_.values()


def _jobs(entry: Entry, first: datetime, begin: float, at: float) -> Iterator[_Job]:
    """What took a time of its own: a build, a file's signing, a submission from its first request to the verdict."""
    seconds, argv, times = entry.facts.get("seconds"), entry.facts.get("argv"), entry.facts.get("times")
    name = " ".join(map(str, argv[:4])) if isinstance(argv, list) else entry.artifact or entry.event
    if isinstance(times, dict):
        moments = [moment for one in times.values() if (moment := _moment(str(one))) is not None]
        spans = [(one - first).total_seconds() for one in moments]
        if spans and max(spans) > begin:
            yield _Job(name=name, begin=max(min(spans), begin), end=min(max(spans), at))
    elif isinstance(seconds, int | float):
        yield _Job(name=name, begin=max(at - min(max(seconds, 0.0), at), begin), end=at)


def _lanes(jobs: Sequence[_Job]) -> list[list[_Job]]:
    """As few lanes as hold all jobs without two in one place: as many as ran at once."""
    lanes: list[list[_Job]] = []
    for job in sorted(jobs, key=lambda one: (one.begin, one.end)):
        free = next((lane for lane in lanes if lane[-1].end <= job.begin + _ROUNDED), None)
        if free is None:
            lanes.append([job])
        else:
            free.append(job)
    return lanes


def _drawn(lanes: Sequence[Sequence[_Job]], begin: float, length: float, height: int, kind: str) -> Markup:
    """Decoration: the other columns, and the table of jobs, say the same."""
    scale = 100 / (length or 1.0)
    shapes = [
        element(
            "rect",
            element("title", f"{job.name}: {job.end - job.begin:.3f} s"),
            x=f"{min(scale * (job.begin - begin), 99.5):.2f}%",
            y=str(number * height),
            width=f"{max(scale * (job.end - job.begin), 0.5):.2f}%",
            height=str(height - 1),
            class_=kind,
        )
        for number, lane in enumerate(lanes)
        for job in lane
    ]
    high = str(max(len(lanes), 1) * height)
    return element("svg", *shapes, width="100%", height=high, aria_hidden="true", focusable="false")


def _moment(text: str) -> datetime | None:
    """A log may hold a time that is none: its text is shown in the log, its place here is not."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
