"""What an audit tells, as data, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.model import World

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run, as the log tells it."""

    id: str
    began: str
    ended: str
    """Times of its first and last line, UTC."""
    stages: tuple[str, ...]
    """Those that it did."""
    outcome: str
    sealed: int
    """How many lines that a crash had torn it sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One artifact that is as the manifest says, and what was found out about it."""

    path: str
    kind: str
    sha256: str
    words: tuple[str, ...]
    nested: Mapping[str, Mapping[str, str]]
    """Code inside an app: path in it → architecture → CDHash."""
    not_judged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """Everything holds; this is what it is."""

    folder: Path
    release: str
    version: str
    world: World
    toolchain: str
    doubles: bool
    commit: str | None
    dirty: bool
    lines: int
    head: str
    runs: tuple[Run, ...]
    earlier: tuple[str, ...]
    lost: tuple[str, ...]
    """Earlier manifests that a run recorded and that are not in the folder."""
    provenance: tuple[str, ...]
    artifacts: tuple[Told, ...]
    objections: tuple[str, ...]
    """What keeps it from being published, though it holds."""
    publishable: bool
    """Was the gate asked, and did it agree?"""
    page: str = ""
    """What is to be said of report.html, where one lies in the folder."""

    def to_text(self) -> str:
        return "\n".join(self._lines())

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self), "folder": str(self.folder), "world": str(self.world)}

    def _lines(self) -> Iterator[str]:
        yield f"{self.release} {self.version} · world {self.world} · toolchain {self.toolchain}"
        if self.world is World.REHEARSAL:
            yield "REHEARSAL: own certificates, own notary; Apple has no part in it, and no Mac will trust it"
        elif self.world is World.LOCAL:
            yield "LOCAL: signed ad hoc, seen by no notary"
        if self.doubles:
            yield "DOUBLES: made with stand-ins for Apple's tools"
        source = f"commit {self.commit}" if self.commit else "no commit"
        yield f"made from {source}{', with changes that were not committed' if self.dirty else ''}"
        yield ""
        runs = "1 run" if len(self.runs) == 1 else f"{len(self.runs)} runs"
        yield f"The log holds: {self.lines} lines, {runs}; the newest line is {self.head}"
        for run in self.runs:
            if run.sealed:
                yield "  a crash tore the last line; it was sealed by the next run"
            did = ", ".join(run.stages) or "no stage"
            yield f"  {run.began}  run {run.id}: {did}; {run.outcome}"
        if self.earlier:
            yield f"Earlier manifests are as they were recorded: {', '.join(self.earlier)}"
        if self.lost:
            yield f"Earlier manifests that are not here (removed, or cut off by a crash): {', '.join(self.lost)}"
        for words in self.provenance:
            yield f"Provenance: {words}"
        yield ""
        yield f"The manifest and {len(self.artifacts)} artifacts are as they were recorded:"
        for artifact in self.artifacts:
            yield f"  {artifact.path} ({artifact.kind})  sha256 {artifact.sha256}"
            for words in artifact.words:
                yield f"      {words}"
        if self.page:
            yield f"  {self.page}"
        yield ""
        for what in sorted({what for artifact in self.artifacts for what in artifact.not_judged}):
            yield f"Not judged: {what}."
        yield "It may be published." if self.publishable else "Everything is as it was recorded."
