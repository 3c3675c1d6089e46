"""What a stage's record says: by which key it ran, what it read, and what it left in the plan and on disk.

The key is over digests of the stage's inputs, its options, tool versions and our own source: nothing goes by a date.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from pipeline import manifest, records
from pipeline.model import STAPLED_TICKET, Artifact, Built, Plan, StapleStatus
from pipeline.stages.context import Context, Stage

RECORDS = "records"
"""The folder of them, in the output folder."""


def facts_of(context: Context, plan: Plan, stage: Stage) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """Inputs (path → digest) and options of a stage, in the form that JSON gives back."""
    options: dict[str, Any] = json.loads(json.dumps(dict(stage.options(context, plan)), default=str))
    return dict(stage.inputs(plan)), options


def key_of(context: Context, inputs: Mapping[str, str], options: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal digits, of all that decides what the stage makes."""
    parts = {
        "inputs": dict(inputs),
        "options": dict(options),
        "toolchain": context.toolchain.name,
        "tools": dict(context.toolchain.versions()),
        "source": own_digest(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def own_digest() -> str:
    """Of the program itself: another version of it may make other bytes."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def difference(record: records.StageRecord, inputs: Mapping[str, str], options: Mapping[str, Any]) -> str:
    """Why the record's key is not today's, in words."""
    for old, new in ((record.inputs, inputs), (record.options, options)):
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                return f"{name} has changed"
    return "the tools or the pipeline itself have changed"


def record_of(context: Context, before: Plan, after: Plan, stage: Stage) -> records.StageRecord:
    """What a stage that has just run leaves for the next run."""
    # Read again: a stage can decide an option's value (a ticket that is stapled).
    inputs, options = facts_of(context, before, stage)
    files, folder = context.host.files, context.folder
    return records.StageRecord(
        stage=stage.NAME,
        key=key_of(context, inputs, options),
        inputs=inputs,
        options=options,
        outputs=tuple(records.stat_of(files, folder, path, _not_its_own(path)) for path in outputs_of(before, after)),
        artifacts=tuple(_delta(before, after)),
        finished=context.host.clock.now().isoformat(),
        run=context.journal.run,
    )


def outputs_of(before: Plan, after: Plan) -> list[str]:
    """Paths that this stage made: of new artifacts and builds, and of artifacts whose bytes are other than before."""
    known = {artifact.path: artifact.sha256 for artifact in before.artifacts}
    paths = [one.path for one in after.builds if one not in before.builds]
    paths += [artifact.path for artifact in after.artifacts if known.get(artifact.path) != artifact.sha256]
    staples = {artifact.path: artifact.staple for artifact in before.artifacts}
    stapled = [one for one in after.artifacts if one.staple and one.staple != staples.get(one.path)]
    return paths + [
        f"{app.path}/{STAPLED_TICKET}" for app in stapled if app.staple and app.staple.status is StapleStatus.STAPLED
    ]


def _not_its_own(path: str) -> tuple[str, ...]:
    """A bundle's ticket is the staple stage's output, not that of the stage that made the bundle."""
    return (STAPLED_TICKET,) if path.endswith(".app") else ()


def _delta(before: Plan, after: Plan) -> Iterator[dict[str, Any]]:
    for one in after.builds:
        if one not in before.builds:
            yield {"built": manifest.built_to_json(one)}
    for artifact in after.artifacts:
        if artifact not in before.artifacts:
            yield {"artifact": manifest.artifact_to_json(artifact)}


def restored(plan: Plan, record: records.StageRecord) -> Plan:
    """The plan with what the stage added to it."""
    builds: list[Built] = [manifest.built_from_json(entry["built"]) for entry in record.artifacts if "built" in entry]
    made: list[Artifact] = [
        manifest.artifact_from_json(entry["artifact"]) for entry in record.artifacts if "artifact" in entry
    ]
    return replace(plan, builds=plan.builds + tuple(builds)).with_artifacts(*made)
