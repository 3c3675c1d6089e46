"""The page's sections but the timeline, each from the facts it needs to its markup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.journal import Entry
from pipeline.manifest import artifact_from_json
from pipeline.model import Artifact, Kind, NotarizationStatus, Slice, StapleStatus, World
from pipeline.notary import Issue, NotaryLog
from pipeline.report.markup import Content, Markup, badge, code, element, joined, lines, section, table

if TYPE_CHECKING:
    from pipeline.report.page import Finding

_OWN_WORDS = {
    World.REHEARSAL: "REHEARSAL: own certificates, own notary; Apple has no part in it, and no Mac will trust it",
    World.LOCAL: "LOCAL: signed ad hoc, seen by no notary",
}
_GOOD, _BAD, _NEUTRAL = "good", "bad", "neutral"


def origin(document: Mapping[str, Any]) -> Markup:
    """Where the release comes from, in a line."""
    if not document:
        return element("p", "No release is finished here.")
    commit = document["commit"]
    words: list[Content] = [f"world {document['world']} · toolchain {document['toolchain']} · "]
    words += ["commit ", code(commit)] if commit else ["no commit"]
    words.append(", with changes that were not committed" if document["dirty"] else "")
    return element("p", *words)


def verdict(
    findings: Sequence[Finding], objections: Sequence[str], document: Mapping[str, Any], entries: Sequence[Entry]
) -> Markup:
    """Does it hold, and may it be published? First on the page."""
    if findings:
        many = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
        head = element("p", badge("DOES NOT HOLD", _BAD), f" {many}", class_="verdict")
        shown = [element("li", code(one.where) if one.where else None, " ", one.message) for one in findings]
        return section("verdict", "Verdict", head, element("ul", *shown))
    said: list[Content] = [element("p", badge("HOLDS", _GOOD), " Everything is as it was recorded.", class_="verdict")]
    if document["world"] in _OWN_WORDS:
        said.append(element("p", _OWN_WORDS[document["world"]], class_="world"))
    if objections:
        said.append(element("p", badge("NOT FOR PUBLICATION", _BAD)))
        said.append(element("ul", *(element("li", one.removeprefix("not for publication: ")) for one in objections)))
    else:
        said.append(element("p", badge("MAY BE PUBLISHED", _GOOD)))
    if entries:
        said.append(element("p", f"The log has {len(entries)} lines; the newest is ", code(entries[-1].hash)))
    return section("verdict", "Verdict", *said)


def changes(document: Mapping[str, Any]) -> Markup:
    """What is other than in the release before."""
    said = document.get("changes")
    if not said:
        return section("changes", "Since the previous release", element("p", "There is no release to compare with."))
    if not said["changes"]:
        return section("changes", "Since the previous release", element("p", f"As in {said['since']}: no difference."))
    rows = [(one["where"], one["what"], _or_none(one["before"]), _or_none(one["after"])) for one in said["changes"]]
    title = f"Differences from {said['since']}"
    return section("changes", "Since the previous release", table(title, ("Where", "What", said["since"], "Now"), rows))


def artifacts(document: Mapping[str, Any], told: Mapping[str, Sequence[str]]) -> Markup:
    """Every artifact and every slice."""
    rows = []
    for artifact in _artifacts(document):
        words = told.get(artifact.path, ())
        more = element("details", element("summary", "What it proves"), *(element("p", one) for one in words))
        name = [code(artifact.path), element("div", f"{artifact.kind}{', DEBUG' if artifact.debug else ''}")]
        rows.append(
            (
                joined(name),
                f"{artifact.size:,}",
                lines(_slice(one) for one in artifact.slices),
                _notarized(artifact),
                _stapled(artifact),
                joined([element("div", code(artifact.sha256)), more if words else None]),
            )
        )
    columns = ("Artifact", "Bytes", "Slices", "Notarization", "Staple", "SHA-256")
    return section("artifacts", "Artifacts", table("Artifacts and their slices", columns, rows))


def _slice(one: Slice) -> Markup:
    about = f"{one.identifier}; team {one.team or 'none'}; {', '.join(one.flags) or 'no flags'}"
    parts: list[Content] = [element("strong", one.arch), " ", code(one.cdhash), element("div", about)]
    parts += [element("div", "entitlement ", code(text)) for text in one.entitlements or ()]
    return joined(parts)


def _notarized(artifact: Artifact) -> Content:
    said = artifact.notarization
    if said is None:
        return "-"
    kind = {NotarizationStatus.ACCEPTED: _GOOD, NotarizationStatus.EXCLUDED: _NEUTRAL}.get(said.status, _BAD)
    return badge(str(said.status), kind)


def _stapled(artifact: Artifact) -> Content:
    said = artifact.staple
    if said is None:
        return "-"
    return badge(str(said.status), _GOOD if said.status is StapleStatus.STAPLED else _NEUTRAL)


def notary(document: Mapping[str, Any], logs: Mapping[str, NotaryLog]) -> Markup:
    """The notary's answer, each CDHash that it lists held against ours."""
    ours = {(one.cdhash, one.arch): artifact for artifact in _artifacts(document) for one in artifact.slices}
    # Of several artifacts with one CDHash the one that was in the archive is named.
    for artifact in _artifacts(document):
        if artifact.kind is not Kind.THIN:
            ours |= {(one.cdhash, one.arch): artifact for one in artifact.slices}
    parts = []
    for archive in _artifacts(document):
        said = archive.notarization
        if archive.kind is not Kind.ARCHIVE or said is None:
            continue
        parts.append(element("h3", archive.path))
        parts.append(element("p", _notarized(archive), " submission ", code(said.submission or "none")))
        log = logs.get(archive.sha256)
        if log is None:
            parts.append(element("p", "Its log is not in this folder."))
            continue
        parts.append(element("p", f"{log.summary or ''} (status code {log.status_code})"))
        rows = [
            (code(one.path), one.arch or "-", code(one.cdhash), _joined(ours.get((one.cdhash, one.arch or ""))))
            for one in log.ticket_contents or ()
        ]
        parts.append(table(f"What the ticket of {archive.path} covers", ("Path", "Slice", "CDHash", "Ours"), rows))
    return section("notary", "The notary's answer", *(parts or [element("p", "No notary was asked.")]))


def _joined(artifact: Artifact | None) -> Markup:
    if artifact is None:
        return badge("not ours", _BAD)
    return joined([badge("same", _GOOD), " ", code(artifact.path)])


def silenced(
    document: Mapping[str, Any], entries: Sequence[Entry], logs: Mapping[str, NotaryLog], not_judged: Sequence[str]
) -> Markup:
    """What might have been an error and was not counted as one, and why."""
    rows: list[tuple[Content, ...]] = []
    for artifact in _artifacts(document):
        said, staple = artifact.notarization, artifact.staple
        if said is not None and said.status is NotarizationStatus.EXCLUDED:
            rows.append((code(artifact.path), "not notarized", said.reason or "no reason recorded"))
        if staple is not None and staple.status is not StapleStatus.STAPLED:
            rows.append((code(artifact.path), f"staple: {staple.status}", staple.reason or "no reason recorded"))
        rows += [(code(artifact.path), "not proved", words) for words in artifact.not_run]
    for log in logs.values():
        rows += [(code(one.path or "-"), f"notary: {one.severity}", _issue(one)) for one in log.issues or ()]
    rows += [(f"line {entry.line}", "torn line", "a crash; sealed by the next run") for entry in _torn(entries)]
    rows += [("every signature", "not judged", what) for what in not_judged]
    if not rows:
        return section("silenced", "Not counted as errors", element("p", "Nothing."))
    return section(
        "silenced", "Not counted as errors", table("What was not counted, and why", ("Where", "What", "Why"), rows)
    )


def _issue(issue: Issue) -> str:
    return f"{issue.message} (accepted in spite of it)"


def _torn(entries: Sequence[Entry]) -> Iterator[Entry]:
    return (entry for entry in entries if entry.event == "torn")


def remarks(said: Sequence[str]) -> Markup:
    return section("remarks", "Provenance and history", element("ul", *(element("li", one) for one in said)))


def log(entries: Sequence[Entry]) -> Markup:
    """Every line, folded away."""
    rows = [
        (
            str(entry.line),
            _clock(entry.time),
            f"{entry.stage or ''} {entry.event}".strip(),
            code(entry.artifact) if entry.artifact else "",
            element("span", "; ".join(_fact(key, value) for key, value in entry.facts.items()), class_="words"),
        )
        for entry in entries
    ]
    shown = table("The log, line by line", ("Line", "UTC", "Event", "Artifact", "Facts"), rows)
    return section("log", "Log", element("details", element("summary", f"{len(entries)} lines"), shown))


def _fact(key: str, value: object) -> str:
    if isinstance(value, Mapping):
        value = ", ".join(f"{name} {item}" for name, item in value.items())
    elif isinstance(value, list | tuple):
        value = " ".join(map(str, value))
    return f"{key}: {value}"


def _clock(time: str) -> str:
    """`2026-11-21T06:15:30.000000Z` without what no reader needs."""
    return time[:19].replace("T", " ")


def _or_none(text: str | None) -> str:
    return "-" if text is None else text


def _artifacts(document: Mapping[str, Any]) -> tuple[Artifact, ...]:
    return tuple(artifact_from_json(one) for one in document.get("artifacts", ()))
