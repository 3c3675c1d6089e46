"""Whatever the bytes are, an inspection ends with a report: chance chooses what is spoilt."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from builders.chance import Change, changes
from builders.workbench import Workbench
from builders.zips import tree_members, zip_of
from hypothesis import given, settings

from pipeline.rehearsal.inspection import Report, Roots, inspect

Inspect = Callable[[bytes], Report]


@pytest.fixture(scope="module")
def judge(workbench: Workbench) -> Inspect:
    anchors = workbench.services.anchors
    roots = Roots(code=anchors.roots, timestamps=anchors.timestamp_roots)

    def judged(archive: bytes) -> Report:
        with tempfile.TemporaryDirectory() as folder:
            place, scratch = Path(folder, "archive"), Path(folder, "scratch")
            place.write_bytes(archive)
            scratch.mkdir()
            return inspect(place, "a.zip", roots, datetime.now(UTC), scratch)

    return judged


@settings(deadline=None, max_examples=60)
@given(spoil=changes())
def test_spoilt_members(app: Path, judge: Inspect, spoil: list[Change]) -> None:
    """Executable, seal, Info.plist and resources of an app, each changed anywhere, its zip well made."""
    members = tree_members(app, "Agent.app")
    names = sorted(name for name, content in members.items() if isinstance(content, bytes) and content)
    for change in spoil:
        name = names[change.where % len(names)]
        content = members[name]
        assert isinstance(content, bytes)
        members[name] = change.apply(content)
    assert isinstance(judge(zip_of(members)), Report)


@settings(deadline=None, max_examples=60)
@given(spoil=changes())
def test_spoilt_signatures(thin: bytes, judge: Inspect, spoil: list[Change]) -> None:
    """The signature of a tool, where most of what is parsed stands."""
    start = thin.index(bytes.fromhex("fade0cc0"))
    head, signature = thin[:start], thin[start : start + 9000]
    for change in spoil:
        signature = change.apply(signature)
    assert isinstance(judge(zip_of({"tool": head + signature + thin[start + 9000 :]})), Report)


@settings(deadline=None, max_examples=60)
@given(spoil=changes())
def test_spoilt_archives(thin: bytes, judge: Inspect, spoil: list[Change]) -> None:
    """The zip itself."""
    archive = zip_of({"a/tool": thin, "b": b"text" * 50})
    for change in spoil:
        archive = change.apply(archive)
    assert isinstance(judge(archive), Report)
