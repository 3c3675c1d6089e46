"""What every stage is given, and how a stage does independent work side by side."""

from __future__ import annotations

import os
import plistlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from pipeline.codesign.entitlement_text import check_entitlements
from pipeline.config.placeholders import demand_filled
from pipeline.errors import ConfigurationError, Terminated
from pipeline.host import Host, seconds_since
from pipeline.model import Artifact, Plan, Product
from pipeline.toolchain import Toolchain

Result = TypeVar("Result")
_TURN = 1.0
"""Seconds."""


class Log(Protocol):
    """Where events go: the audit log."""

    @property
    def run(self) -> str: ...

    @property
    def head(self) -> str: ...

    def record(self, event: str, *, stage: str | None = None, artifact: str | None = None, **facts: object) -> str: ...

    def seal(self) -> None: ...


class SilentLog:
    """For commands that only look: they leave no trace."""

    run = ""
    head = ""

    def record(self, event: str, *, stage: str | None = None, artifact: str | None = None, **facts: object) -> str:
        return ""

    def seal(self) -> None:
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    host: Host
    toolchain: Toolchain
    journal: Log
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

    def entitlements(self, product: Product, *, debug: bool) -> bytes | None:
        """The entitlements plist, verbatim where it is a file. Only a DEBUG twin gets get-task-allow."""
        chosen = product.sign.debug_entitlements if debug else product.sign.entitlements
        if chosen is None:
            return None
        if chosen == "get-task-allow":
            return plistlib.dumps({"com.apple.security.get-task-allow": True})
        if isinstance(chosen, str):
            raise ConfigurationError(f"unknown entitlements {chosen!r}", where=f"product {product.name}")
        return self.entitlements_in(chosen)

    def entitlements_in(self, path: Path) -> bytes:
        """A file of entitlements, verbatim. Raises MalformedFile for one that an Apple parser would refuse later."""
        data = demand_filled(self.host.files.read(path), str(path))
        check_entitlements(data, str(path))
        return data

    def event(self, stage: str) -> Callable[..., object]:
        """Writes an event of this stage to the audit log."""

        def write(event: str, artifact: str | None = None, **facts: object) -> object:
            return self.journal.record(event, stage=stage, artifact=artifact, **facts)

        return write

    def timed(self, stage: str) -> Callable[..., object]:
        """As `event`, for a job that begins now: each event tells for how many `seconds` the job has run.

        By them the log shows what ran side by side.
        """
        event, began = self.event(stage), self.host.clock.monotonic()

        def write(name: str, artifact: str | None = None, **facts: object) -> object:
            seconds = seconds_since(self.host.clock, began)
            return event(name, artifact=artifact, seconds=seconds, **facts)

        return write


def text_of(plist: bytes | None) -> str | None:
    """A plist's bytes as JSON can hold them, for a stage's options."""
    return plist.decode("utf-8", "backslashreplace") if plist is not None else None


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


def side_by_side(context: Context, stage: str, jobs: Iterable[Callable[[], Result]]) -> list[Result]:
    """Run every job of a stage at once and return their results in order; a terminal shows how many are done.

    Of several failures the first in order is raised, after the jobs under way have ended; jobs not begun are dropped.
    """
    waiting = list(jobs)
    # Two at least: a job may wait for its neighbour (a time-stamp server, another build), whatever the number of cores.
    pool = ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2))
    try:
        with context.host.console.progress(stage, len(waiting), unit="", announced=True) as bar:
            futures = [pool.submit(job) for job in waiting]
            for future in futures:
                future.add_done_callback(lambda _done: bar.update(1))
            return [_result_of(future) for future in futures]
    except (KeyboardInterrupt, Terminated):
        # Or the end of each compiler would be waited for, and the next one begun.
        pool.shutdown(wait=False, cancel_futures=True)
        context.host.runner.stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _result_of(future: Future[Result]) -> Result:
    """Waited for in turns: a signal that comes just before a wait begins is seen only when that wait ends."""
    while not future.done():
        wait([future], timeout=_TURN)
    return future.result()
