"""The page: what it is made of, and in which order."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.journal import Entry
from pipeline.notary import NotaryLog
from pipeline.report import sections
from pipeline.report.artifacts import Nested, artifacts, notary
from pipeline.report.log import log
from pipeline.report.markup import Markup, element, joined
from pipeline.report.timeline import timeline

_GENERATOR = re.compile(r'<meta name="generator" content="([0-9a-f]{64})">')
_STYLE = Path(__file__).with_name("style.css")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    where: str | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that the page tells; what an audit could not read is empty."""

    manifest: Mapping[str, Any] | None
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]
    """What the audit found; none where everything holds."""
    objections: tuple[str, ...]
    """What keeps the release from being published, though it holds."""
    told: Mapping[str, tuple[str, ...]]
    """An artifact's path → what the audit says of it."""
    not_judged: tuple[str, ...]
    remarks: tuple[str, ...]
    """What else the audit says of the release."""
    generator: str
    """Which program wrote the page: only the same one writes the same page."""
    notary: Mapping[str, NotaryLog]
    """An archive's SHA-256 → the notary's log of it."""
    nested: Nested
    """Code inside apps."""


_PARTS = {
    "verdict": "Verdict",
    "changes": "Changes",
    "artifacts": "Artifacts",
    "notary": "Notary",
    "silenced": "Not counted",
    "timeline": "Timeline",
    "remarks": "Provenance",
    "log": "Log",
}


def build(facts: Facts) -> bytes:
    """The page. The same facts give the same bytes."""
    style = _STYLE.read_text("utf-8")
    document = facts.manifest or {}
    title = f"{document.get('release', 'no release')} {document.get('version', '')}".strip()
    body = [
        element("a", "To the verdict", href="#verdict", class_="skip"),
        element("header", element("h1", title), sections.origin(document), _contents()),
        element(
            "main",
            sections.verdict(facts.findings, facts.objections, document, facts.entries),
            sections.changes(document),
            artifacts(document, facts.told),
            notary(document, facts.notary, facts.nested),
            sections.silenced(document, facts.entries, facts.notary, facts.not_judged),
            timeline(facts.entries),
            sections.remarks(facts.remarks),
            log(facts.entries),
        ),
        element("footer", element("p", "A view of what invoke audit judged; it proves nothing by itself.")),
    ]
    return _document(title, facts.generator, style, joined(body)).encode("utf-8")


def _contents() -> Markup:
    links = (element("li", element("a", words, href=f"#{name}")) for name, words in _PARTS.items())
    return element("nav", element("ul", *links), aria_label="Contents")


def generator_of(data: bytes) -> str | None:
    """Which program wrote a page; None for what is none of ours."""
    found = _GENERATOR.search(data.decode("utf-8", "replace"))
    return found[1] if found else None


def _document(title: str, generator: str, style: str, body: Markup) -> str:
    """No script and nothing from elsewhere may run or load, whatever stands in the page."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = [
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        Markup(f'<meta name="generator" content="{generator}">'),
        element("title", title),
        # Raw: a style sheet is not escaped, and this one is ours.
        Markup(f"<style>{style}</style>"),
    ]
    return f'<!doctype html>\n<html lang="en"><head>{joined(head)}</head><body>{body}</body></html>\n'
