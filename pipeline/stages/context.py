"""What every stage is given, and how a stage does independent work side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from pipeline.host import Host
from pipeline.journal import Journal
from pipeline.model import Artifact, Plan
from pipeline.toolchain import Toolchain

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    host: Host
    toolchain: Toolchain
    journal: Journal
    folder: Path
    """build/macos: every path of an artifact is relative to it."""
    source_keys: Mapping[str, str]
    """Product → digest of its source tree: what a build's key is made of."""

    def path(self, artifact: Artifact) -> Path:
        return self.folder / artifact.path

    def work(self, stage: str) -> Path:
        """An empty folder of the stage's own, on the file system of the outputs so that a rename can end the work."""
        folder = self.folder / ".work" / stage
        self.host.files.remove(folder)
        self.host.files.make_folder(folder)
        return folder

    def event(self, stage: str) -> Callable[..., object]:
        """Writes an event of this stage to the audit log."""

        def write(event: str, **facts: object) -> object:
            return self.journal.record(event, stage=stage, **facts)

        return write


class Stage(Protocol):
    """What a stage's module offers."""

    NAME: str

    def inputs(self, plan: Plan) -> Mapping[str, str]:
        """Path under the output folder → digest, of everything the stage reads."""
        ...

    def options(self, context: Context, plan: Plan) -> Mapping[str, object]:
        """What else decides the result, as JSON can hold it."""
        ...

    def run(self, context: Context, plan: Plan) -> Plan: ...


def digests(artifacts: Iterable[Artifact]) -> dict[str, str]:
    return {artifact.path: artifact.sha256 for artifact in artifacts}


def side_by_side(jobs: Iterable[Callable[[], Result]]) -> list[Result]:
    """Run every job at once and return their results in order.

    Of several failures the first in order is raised, after the jobs under way have ended; jobs not begun are dropped.
    """
    # Two at least: a job may wait for its neighbour (a time-stamp server, another build), whatever the number of cores.
    pool = ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2))
    try:
        futures = [pool.submit(job) for job in jobs]
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
