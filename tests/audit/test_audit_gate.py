"""The publish gate: nothing to object to only where everything is there; each thing that is missing is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipeline.audit.evidence import Evidence
from pipeline.audit.gate import objections
from pipeline.journal import Entry
from pipeline.manifest import artifact_from_json, artifact_to_json
from pipeline.model import Artifact, Kind, Notarization, NotarizationStatus, Slice, Staple, StapleStatus

ACCEPTED = Notarization(status=NotarizationStatus.ACCEPTED, submission="id", archive="archives/tool.zip")
BESIDE = Staple(status=StapleStatus.NOT_STAPLEABLE, reason="bare", ticket="universal/tool.ticket")


def code(path: str, kind: Kind, staple: Staple) -> Artifact:
    team = Slice(arch="arm64", cdhash="aa" * 20, identifier="org.example.tool", team="TEAM", flags=("runtime",))
    facts: dict[str, Any] = {"product": "tool", "sha256": "11" * 32, "size": 7, "slices": (team,)}
    return Artifact(path=path, kind=kind, notarization=ACCEPTED, staple=staple, **facts)


def good() -> tuple[dict[str, Any], list[Artifact]]:
    document = {
        "world": "real",
        "dirty": False,
        "commit": "c0ffee",
        "doubles": False,
        "provenance": {"statement": "provenance.json", "key": None},
    }
    artifacts = [
        code("arm64/tool", Kind.THIN, BESIDE),
        code("universal/tool", Kind.UNIVERSAL, BESIDE),
        code("universal/tool.app", Kind.APP, Staple(status=StapleStatus.STAPLED)),
        Artifact(
            product="tool",
            path="dist/tool.zip",
            kind=Kind.DISTRIBUTION,
            sha256="22" * 32,
            size=9,
            contents=("universal/tool", "universal/tool.app"),
        ),
    ]
    return document, artifacts


def reasons(document: dict[str, Any], artifacts: list[Artifact], *, unverified: str | None = None) -> list[str]:
    entries = tuple(
        Entry(
            line=number,
            seq=number,
            run="one",
            time="2026-11-21T00:00:00.000000Z",
            event="verified",
            stage="verify",
            artifact=artifact.path,
            facts={"sha256": artifact.sha256},
            previous="00" * 32,
            hash="00" * 32,
        )
        for number, artifact in enumerate(artifacts, 1)
        if artifact.path != unverified
    )
    told = tuple(artifact_from_json(artifact_to_json(artifact)) for artifact in artifacts)
    evidence = Evidence(entries=entries, manifest=document, artifacts=told, runs=(), earlier=(), lost=())
    return [one.message.removeprefix("not for publication: ") for one in objections(evidence)]


def test_a_whole_real_release_passes() -> None:
    """Signed, accepted, with its tickets, verified, from a clean commit, in the real world: nothing to object to."""
    assert reasons(*good()) == []


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("world", "rehearsal", 'world "rehearsal" is no real release'),
        ("world", "local", 'world "local" is no real release'),
        ("dirty", True, "not committed"),
        ("commit", None, "no commit"),
        ("doubles", True, "doubles"),
        ("doubles", None, "doubles"),
        ("provenance", None, "no provenance"),
    ],
)
def test_each_fact_of_the_release_counts(key: str, value: object, words: str) -> None:
    """One fact other than it has to be is one reason, which names it."""
    document, artifacts = good()
    (reason,) = reasons(document | {key: value}, artifacts)
    assert words in reason


@pytest.mark.parametrize(
    ("number", "change", "words"),
    [
        (0, lambda one: replace(one, notarization=None), "arm64/tool is not notarized"),
        (
            1,
            lambda one: replace(one, notarization=replace(ACCEPTED, status=NotarizationStatus.PENDING)),
            "universal/tool",
        ),
        (
            1,
            lambda one: replace(one, notarization=replace(ACCEPTED, status=NotarizationStatus.EXCLUDED)),
            "not notarized",
        ),
        (1, lambda one: replace(one, staple=replace(BESIDE, ticket=None)), "universal/tool has no ticket beside it"),
        (1, lambda one: replace(one, staple=None), "universal/tool has no ticket beside it"),
        (2, lambda one: replace(one, staple=BESIDE), "universal/tool.app has no stapled ticket"),
        (1, lambda one: replace(one, not_run=("x86_64: not run: no Rosetta",)), "universal/tool, x86_64: not run"),
        (2, lambda one: replace(one, slices=()), "universal/tool.app is not signed"),
        (2, lambda one: replace(one, slices=(replace(one.slices[0], flags=()),)), "hardened runtime"),
        (2, lambda one: replace(one, slices=(replace(one.slices[0], team=None),)), "is not signed by a team"),
        (3, lambda one: replace(one, contents=("universal/DEBUG_tool",)), "DEBUG_tool, which does not ship"),
        (3, lambda one: replace(one, kind=Kind.ARCHIVE), "nothing to publish"),
    ],
)
def test_each_artifact_counts(number: int, change: Callable[[Artifact], Artifact], words: str) -> None:
    """One artifact other than it has to be is one reason, which names it."""
    document, artifacts = good()
    artifacts[number] = change(artifacts[number])
    (reason,) = reasons(document, artifacts)
    assert words in reason


@pytest.mark.parametrize("path", ["arm64/tool", "universal/tool", "universal/tool.app", "dist/tool.zip"])
def test_skipped_is_not_green(path: str) -> None:
    """What the log does not tell to have been verified as it is, is refused."""
    document, artifacts = good()
    assert reasons(document, artifacts, unverified=path) == [f"{path} was not verified after it was made"]


def test_a_debug_binary_is_nobodys_business() -> None:
    """What never ships needs no notary."""
    document, artifacts = good()
    debug = replace(artifacts[0], path="arm64/DEBUG_tool", debug=True, notarization=None, staple=None, slices=())
    assert reasons(document, [*artifacts, debug]) == []
