"""For a person: a submission in a line or two; a notary log as a table of what the scanner found and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.explain import explain
from pipeline.notary.log import Issue, NotaryLog
from pipeline.notary.submission import Submission
from pipeline.notary.wire import NotaryStatus

# More rows than a screen holds help nobody; the whole log lies beside the submission's record.
_MOST_PATHS = 40
_UNKNOWN_ARCHITECTURE = "__unknown__"


def describe_submission(one: Submission) -> str:
    """Which archive, which id, how far and since when; a line more for each submission that was abandoned."""
    since = one.times.get(one.state)
    words = str(one.state) if one.state.is_final else f"pending, {one.state}"
    lines = [
        f"{one.archive}: {f'submission {one.id}' if one.id else 'no id yet'}: {words}"
        + (f" since {since:%Y-%m-%d %H:%M} UTC" if since else "")
        + (f"; the notary says {one.said}" if one.said and not one.state.is_final else "")
    ]
    lines += [f"{one.archive}: submission {left.id}: abandoned: {left.reason}" for left in one.abandoned]
    return "\n".join(_plain(line) for line in lines)


def describe_log(log: NotaryLog) -> str:
    """Stable text, ending without a newline; nothing in it can steer a terminal."""
    status = log.status or "no status in it"
    code = f" ({log.status_code})" if log.status_code else ""
    lines = [f"{status}: {log.summary}{code}" if log.summary else f"{status}{code}"]
    facts = {"archive": log.archive, "submission": log.submission, "uploaded": log.uploaded, "sha256": log.sha256}
    lines += [f"  {name:<12}{value}" for name, value in facts.items() if value]
    if not log.is_whole:
        lacks = f"it lacks {', '.join(log.missing)}" if log.missing else "it was cut"
        lines.append(f"  not whole   this copy of the log ends early ({lacks}); there may be more than it says")
    if log.answer is NotaryStatus.ACCEPTED:
        covered = {(entry.arch, entry.cdhash) for entry in log.ticket_contents or ()}
        lines.append(f"  covered     {_count(len(covered), 'code hash', 'code hashes')}")
    lines += _table(log)
    if not log.issues and log.answer is not NotaryStatus.ACCEPTED:
        lines += [f"  → {found.remedy}" for found in explain(log.summary or "")[:1]]
    return "\n".join(_plain(line) for line in lines)


def _table(log: NotaryLog) -> Iterator[str]:
    by_path: dict[str, list[Issue]] = {}
    for issue in log.issues or ():
        by_path.setdefault(_inside(issue.path, log.archive), []).append(issue)
    for path in list(by_path)[:_MOST_PATHS]:
        yield f"  {path}"
        for severity, message, slices in _rows(by_path[path]):
            yield f"    {severity:<9}{slices:<16}{message}"
            remedy = next((found.remedy for found in explain(message)), None)
            if remedy:
                yield f"    {'':<25}→ {remedy}"
    if len(by_path) > _MOST_PATHS:
        yield f"  … and {_count(len(by_path) - _MOST_PATHS, 'more path', 'more paths')}: the log lies beside the record"


def _rows(issues: list[Issue]) -> Iterator[tuple[str, str, str]]:
    """Severity, message and the slices that share them."""
    slices: dict[tuple[str, str], list[str]] = {}
    for issue in issues:
        named = slices.setdefault((issue.severity, issue.message), [])
        architecture = issue.architecture
        if architecture and architecture != _UNKNOWN_ARCHITECTURE and architecture not in named:
            named.append(architecture)
    for (severity, message), named in slices.items():
        yield severity, message, ", ".join(named) or "-"


def _inside(path: str | None, archive: str | None) -> str:
    """The path inside the archive, whose name is told once above."""
    if not path:
        return "(the archive)"
    return path.removeprefix(f"{archive}/") if archive else path


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _plain(line: str) -> str:
    return "".join(one if one.isprintable() else "�" for one in line)
