"""The documents of the log and of the manifest know everything that a real release writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from builders.workshop import ROOT, Workshop


def words(document: str) -> set[str]:
    """Everything that a document sets in code."""
    text = Path(ROOT, "docs", document).read_text("utf-8")
    return set(re.findall(r"`([^`\n]+)`", text)) | set(re.findall(r"[\w-]+", " ".join(re.findall(r"\|.*\|", text))))


def test_every_event_of_a_release_is_documented(finished: Workshop) -> None:
    """docs/audit-log.md names each event that a release logs, and each of its facts."""
    known = words("audit-log.md")
    for line in (finished.outputs / "audit.jsonl").read_text().splitlines():
        entry = json.loads(line)
        assert {entry["event"]} | entry.keys() <= known, entry


def test_every_key_of_the_manifest_is_documented(finished: Workshop) -> None:
    """docs/manifest.md names each key of release.json, of its artifacts and of what they hold."""
    manifest = finished.manifest()
    keys = set(manifest) | set(manifest["log"])
    for part in (*manifest["builds"], *manifest["artifacts"]):
        nested = [part, *part.get("slices", []), part.get("notarization", {}), part.get("staple", {})]
        keys |= {key for document in nested for key in document}
    assert keys <= words("manifest.md")
