"""The page's other sections, each from the facts it needs to its markup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.journal import Entry
from pipeline.model import NotarizationStatus, StapleStatus, World
from pipeline.notary import Issue, NotaryLog
from pipeline.report.artifacts import BAD, GOOD, of_manifest
from pipeline.report.markup import Content, Markup, badge, code, element, folded, lines, section, table

if TYPE_CHECKING:
    from pipeline.report.page import Finding

_OWN_WORDS = {
    World.REHEARSAL: "REHEARSAL: own certificates, own notary; Apple has no part in it, and no Mac will trust it",
    World.LOCAL: "LOCAL: signed ad hoc, seen by no notary",
}
# More places than this in one cell are folded.
_FEW = 3


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
        head = element("p", badge("DOES NOT HOLD", BAD), f" {many}", class_="verdict")
        shown = [element("li", code(one.where) if one.where else None, " ", one.message) for one in findings]
        return section("verdict", "Verdict", head, element("ul", *shown))
    said: list[Content] = [element("p", badge("HOLDS", GOOD), " Everything is as it was recorded.", class_="verdict")]
    if document["world"] in _OWN_WORDS:
        said.append(element("p", _OWN_WORDS[document["world"]], class_="world"))
    if objections:
        said.append(element("p", badge("NOT FOR PUBLICATION", BAD)))
        said.append(element("ul", *(element("li", one.removeprefix("not for publication: ")) for one in objections)))
    else:
        said.append(element("p", badge("MAY BE PUBLISHED", GOOD)))
    if entries:
        said.append(element("p", f"The log has {len(entries)} lines; the newest is ", code(entries[-1].hash)))
    return section("verdict", "Verdict", *said)


def changes(document: Mapping[str, Any]) -> Markup:
    """What is other than in the release before; what changed alike in several places, once. Sizes come last."""
    said = document.get("changes")
    title = "Since the previous release"
    if not said:
        return section("changes", title, element("p", "There is no release to compare with."))
    if not said["changes"]:
        return section("changes", title, element("p", f"As in {said['since']}: no difference."))
    places: dict[tuple[str, str | None, str | None], list[str]] = {}
    for one in said["changes"]:
        places.setdefault((one["what"], one["before"], one["after"]), []).append(one["where"])
    rows = [
        (what, _value(before), _value(after), _places(where))
        for (what, before, after), where in sorted(places.items(), key=lambda one: one[0][0] == "size")
    ]
    columns = ("What", str(said["since"]), "Now", "Where")
    return section("changes", title, table(f"Differences from {said['since']}", columns, rows))


def _places(where: Sequence[str]) -> Markup:
    shown = element("div", lines(code(one) for one in where), class_="places")
    return shown if len(where) <= _FEW else folded(f"{len(where)} places", shown)


def silenced(
    document: Mapping[str, Any], entries: Sequence[Entry], logs: Mapping[str, NotaryLog], not_judged: Sequence[str]
) -> Markup:
    """What might have been an error and was not counted as one, why, and where."""
    places: dict[tuple[str, str], list[str]] = {}
    for what, why, where in _silenced(document, entries, logs, not_judged):
        places.setdefault((what, why), []).append(where)
    if not places:
        return section("silenced", "Not counted as errors", element("p", "Nothing."))
    rows = [(what, why, _places(where)) for (what, why), where in places.items()]
    shown = table("What was not counted, and why", ("What", "Why", "Where"), rows)
    return section("silenced", "Not counted as errors", shown)


def _silenced(
    document: Mapping[str, Any], entries: Sequence[Entry], logs: Mapping[str, NotaryLog], not_judged: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    for log in logs.values():
        for one in log.issues or ():
            yield f"notary: {one.severity}", _issue(one), one.path or "-"
    for entry in entries:
        if entry.event == "torn":
            yield "torn line", "a crash; sealed by the next run", f"audit.jsonl line {entry.line}"
        elif entry.event == "missing":
            yield "manifest not here", str(entry.facts.get("words")), f"audit.jsonl line {entry.line}"
    if document.get("dirty"):
        yield "uncommitted changes", "a rehearsal, or --allow-dirty", "the checkout"
    for artifact in of_manifest(document):
        said, staple = artifact.notarization, artifact.staple
        if said is not None and said.status is NotarizationStatus.EXCLUDED:
            yield "not notarized", said.reason or "no reason recorded", artifact.path
        if staple is not None and staple.status is not StapleStatus.STAPLED:
            yield f"staple: {staple.status}", staple.reason or "no reason recorded", artifact.path
        for words in artifact.not_run:
            yield "not proved", words, artifact.path
    for what in not_judged:
        yield "not judged", what, "every signature"


def _issue(issue: Issue) -> str:
    return f"{issue.message} (accepted in spite of it)"


def remarks(said: Sequence[str]) -> Markup:
    return section("remarks", "Provenance and history", element("ul", *(element("li", one) for one in said)))


def _value(text: str | None) -> Markup:
    return element("span", "-" if text is None else text, class_="words")
