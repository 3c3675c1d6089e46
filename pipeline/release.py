"""The order of the stages, stated once; which of them are already done; and the release from the first to the last.

    build thin → sign → universal → app → archive → notarize → staple → package → verify

A stage is done when its record's key is today's key (digests of its inputs, its options, tool versions, our own source)
and its outputs lie on disk as it left them, unless it skipped something. Everything else runs again, and says why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pipeline import manifest, provenance, records
from pipeline.checkout import Facts
from pipeline.comparison import compare
from pipeline.errors import ConfigurationError, VerificationError
from pipeline.journal import LARGEST, LOG, MISSING, verify_chain
from pipeline.model import STAPLED_TICKET, Artifact, Built, Configuration, Plan, StapleStatus, World
from pipeline.stages import app, archive, build_thin, built, notarize, package, sign, staple, universal, verify
from pipeline.stages.context import Context, Stage
from pipeline.version import version_of

STAGES: tuple[Stage, ...] = (build_thin, sign, universal, app, archive, notarize, staple, package, verify)
NAMES = tuple(stage.NAME for stage in STAGES)
RECORDS = "records"
MANIFEST = "release.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One stage as it stands: `plan` is what it left where it is done, and None where it has to run, `why` says so."""

    stage: Stage
    plan: Plan | None
    why: str


def begin(configuration: Configuration, facts: Facts) -> Plan:
    """The plan before any stage: version and commit of the checkout."""
    return Plan(
        configuration=configuration,
        version=version_of(facts.epoch),
        commit=facts.commit,
        dirty=facts.dirty,
        source_epoch=facts.epoch,
    )


def examine(context: Context, plan: Plan) -> Iterator[Step]:
    """Every stage in order: done, or why not. After the first that is not done, the rest wait for it."""
    before: Stage | None = None
    for stage in STAGES:
        if before is not None:
            yield Step(stage=stage, plan=None, why=f"after {before.NAME}")
            continue
        step = _examine_one(context, plan, stage)
        yield step
        if step.plan is None:
            before = stage
        else:
            plan = step.plan


def _examine_one(context: Context, plan: Plan, stage: Stage) -> Step:
    record, problem = records.load(context.host.files, context.folder / RECORDS, stage.NAME)
    if record is None:
        return Step(stage=stage, plan=None, why=problem or "not done yet")
    inputs, options = _facts(context, plan, stage)
    if record.key != _key(context, inputs, options):
        return Step(stage=stage, plan=None, why=_difference(record, inputs, options))
    for output in record.outputs:
        if records.current(context.host.files, context.folder, output) is None:
            return Step(stage=stage, plan=None, why=f"{output.path} is not as it was left")
    after = _restored(plan, record)
    skipped = [f"{one.path}, {words}" for one in after.artifacts for words in one.not_run]
    if skipped:
        return Step(stage=stage, plan=None, why=skipped[0])
    return Step(stage=stage, plan=after, why="done")


def release(context: Context, plan: Plan) -> tuple[Plan, tuple[str, ...]]:
    """Run every stage that is not done, then write the manifest. Returns the whole plan and the stages that ran."""
    ran: list[str] = []
    for stage in STAGES:
        step = _examine_one(context, plan, stage)
        if step.plan is None:
            if not ran:
                # A build takes long, and is of no use to who cannot sign it.
                context.toolchain.make_ready()
            plan = run_stage(context, plan, stage, step.why)
            ran.append(stage.NAME)
        else:
            plan = step.plan
        if stage is build_thin:
            _refuse_reused_version(context, plan)
    return plan, tuple(ran)


def run_stage(
    context: Context, plan: Plan, stage: Stage, why: str, run: Callable[[Context, Plan], Plan] | None = None
) -> Plan:
    """Run one stage and record what it left; what it left in an earlier run and no longer does is removed.

    `run` takes the place of the stage's own: a build of one architecture, or another machine's. Until every
    architecture is there, the stage is not done.
    """
    with context.host.console.group(f"{stage.NAME}: {why}"):
        return _run_stage(context, plan, stage, why, run or stage.run)


def _run_stage(context: Context, plan: Plan, stage: Stage, why: str, run: Callable[[Context, Plan], Plan]) -> Plan:
    files, folder = context.host.files, context.folder
    old, _ = records.load(files, folder / RECORDS, stage.NAME)
    # From here on no record and no manifest may speak for outputs that are about to change.
    files.remove(folder / RECORDS / f"{stage.NAME}.json")
    _retire(context)
    inputs, options = _facts(context, plan, stage)
    context.journal.record(
        "began",
        stage=stage.NAME,
        why=why,
        key=_key(context, inputs, options),
        release=plan.configuration.release,
        version=plan.version,
        world=plan.configuration.world,
        commit=plan.commit,
        dirty=plan.dirty,
        toolchain=context.toolchain.name,
        tools=dict(context.toolchain.versions()),
    )
    began = context.host.clock.monotonic()
    try:
        after = run(context, plan)
    except BaseException as error:
        context.journal.record("failed", stage=stage.NAME, error=type(error).__name__, words=str(error))
        raise
    if stage is build_thin and not built.is_whole(after):
        context.journal.record("left", stage=stage.NAME, words="a part of the architectures")
        return after
    outputs = _outputs(plan, after)
    for stale in {entry.path for entry in old.outputs} - set(outputs) if old else ():
        files.remove(folder / stale)
    # Read again: a stage can decide an option's value (a ticket that is stapled).
    inputs, options = _facts(context, plan, stage)
    records.save(
        files,
        folder / RECORDS,
        records.StageRecord(
            stage=stage.NAME,
            key=_key(context, inputs, options),
            inputs=inputs,
            options=options,
            outputs=tuple(records.stat_of(files, folder, path, _not_its_own(path)) for path in outputs),
            artifacts=tuple(_delta(plan, after)),
            finished=context.host.clock.now().isoformat(),
            run=context.journal.run,
        ),
    )
    seconds = round((context.host.clock.monotonic() - began).total_seconds(), 3)
    context.journal.record("done", stage=stage.NAME, seconds=seconds, outputs=outputs)
    return after


def left_by(context: Context, plan: Plan, name: str, *, trusting: bool = False) -> Plan:
    """The plan that the stages before `name` left; ConfigurationError where one of them has to run first.

    `trusting` takes the records' word for it: for `verify`, which then holds every byte against them. They say nothing
    of another version than the checkout's: VerificationError.
    """
    for stage in STAGES[: NAMES.index(name)]:
        if trusting:
            record, problem = records.load(context.host.files, context.folder / RECORDS, stage.NAME)
            if record is None:
                raise VerificationError(f"{stage.NAME}: {problem or 'not done yet'}", remedy="run invoke release")
            if stage is build_thin and record.options.get("version") != plan.version:
                raise VerificationError(
                    f"what lies here is version {record.options.get('version')}, and the checkout is {plan.version}",
                    remedy="run invoke release; invoke audit judges an earlier one",
                )
            plan = _restored(plan, record)
            continue
        step = _examine_one(context, plan, stage)
        if step.plan is None:
            raise ConfigurationError(
                f"{stage.NAME} has to run before {name}: {step.why}",
                remedy=f"run invoke {stage.NAME}, or invoke release",
            )
        plan = step.plan
        if stage is build_thin:
            _refuse_reused_version(context, plan)
    return plan


def is_finished(context: Context, plan: Plan, signer: provenance.Signer | None = None) -> bool:
    """The manifest on disk describes exactly this plan, and names the key that will sign its provenance."""
    path = context.folder / MANIFEST
    if not path.is_file():
        return False
    written = manifest.load(context.host.files, path)
    named = {"statement": provenance.STATEMENT, "key": signer.key_id if signer else None}
    return bool(
        written.get("provenance") == named
        and written["artifacts"] == [manifest.artifact_to_json(artifact) for artifact in plan.artifacts]
        and (written["version"], written["commit"], written["dirty"]) == (plan.version, plan.commit, plan.dirty)
    )


def finish(context: Context, plan: Plan, signer: provenance.Signer | None = None) -> str:
    """Write the manifest and the run's last line of the log, each naming the other; returns the log's head.

    `signer` will sign the provenance, which `attest` writes.
    """
    _retire(context)
    _tell_missing(context)
    document = manifest.build(
        plan,
        head=context.journal.head,
        toolchain=context.toolchain.name,
        tools=context.toolchain.versions(),
        build_records={path: context.host.files.sha256(context.folder / path) for path in built.records(plan)},
        provenance={"statement": provenance.STATEMENT, "key": signer.key_id if signer else None},
    )
    document["changes"] = _changes(context, plan, document)
    data = manifest.to_bytes(document)
    # The log first: a kill between the two leaves a run without a manifest, never a manifest that no line names.
    head = context.journal.record("finished", manifest=hashlib.sha256(data).hexdigest(), version=plan.version)
    manifest.save(context.host.files, context.folder, data)
    return head


def _tell_missing(context: Context) -> None:
    """A manifest that a run recorded and that is not here: a kill kept it from being written, or it was taken away.

    Said once, in a line of its own; `audit` refuses a folder that lacks one in silence.
    """
    files, folder = context.host.files, context.folder
    context.journal.seal()
    entries = verify_chain(files.read(folder / LOG, limit=LARGEST), LOG) if (folder / LOG).is_file() else ()
    told = {entry.facts.get("manifest") for entry in entries if entry.event == MISSING}
    here = {files.sha256(path) for path in (folder / manifest.HISTORY).glob("*.json")}
    for entry in entries:
        digest = entry.facts.get("manifest")
        if entry.event == "finished" and digest not in here | told:
            words = "a crash came before it was written, or it was taken away"
            context.journal.record(MISSING, manifest=digest, version=entry.facts.get("version"), words=words)


def _retire(context: Context) -> None:
    """Manifest, provenance and report no longer speak for what lies in the folder."""
    manifest.retire(context.host.files, context.folder)
    provenance.retire(context.host.files, context.folder)
    context.host.files.remove(context.folder / manifest.REPORT)


def attest(context: Context, signer: provenance.Signer | None = None) -> None:
    """Write the provenance that goes with manifest and log as they lie on disk; nothing where it is there already."""
    files, folder = context.host.files, context.folder
    entries = verify_chain(files.read(folder / LOG, limit=LARGEST), LOG)
    provenance.write(files, folder, provenance.statement(files, folder, files.read(folder / MANIFEST), entries), signer)


def _changes(context: Context, plan: Plan, document: dict[str, Any]) -> dict[str, Any] | None:
    """What is other than in the release that the configuration names, or in the newest earlier one."""
    files = context.host.files
    path = plan.configuration.previous or manifest.before(files, context.folder, plan.version)
    if path is None:
        return None
    before = manifest.load(files, path)
    changes = [asdict(change) for change in compare(before, document)]
    return {"since": before["version"], "sha256": files.sha256(path), "changes": changes}


def _facts(context: Context, plan: Plan, stage: Stage) -> tuple[dict[str, str], dict[str, Any]]:
    """Inputs and options in the form that JSON gives back."""
    options: dict[str, Any] = json.loads(json.dumps(dict(stage.options(context, plan)), default=str))
    return dict(stage.inputs(plan)), options


def _key(context: Context, inputs: dict[str, str], options: dict[str, Any]) -> str:
    key = {
        "inputs": inputs,
        "options": options,
        "toolchain": context.toolchain.name,
        "tools": dict(context.toolchain.versions()),
        "source": own_digest(),
    }
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


@cache
def own_digest() -> str:
    """Of the program itself: another version of it may make other bytes."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _difference(record: records.StageRecord, inputs: dict[str, str], options: dict[str, Any]) -> str:
    for old, new in ((dict(record.inputs), inputs), (dict(record.options), options)):
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                return f"{name} has changed"
    return "the tools or the pipeline itself have changed"


def _outputs(before: Plan, after: Plan) -> list[str]:
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


def _restored(plan: Plan, record: records.StageRecord) -> Plan:
    builds: list[Built] = [manifest.built_from_json(entry["built"]) for entry in record.artifacts if "built" in entry]
    made: list[Artifact] = [
        manifest.artifact_from_json(entry["artifact"]) for entry in record.artifacts if "artifact" in entry
    ]
    return replace(plan, builds=plan.builds + tuple(builds)).with_artifacts(*made)


def _refuse_reused_version(context: Context, plan: Plan) -> None:
    """Two commits of one minute share a version; what was released under it must not be released with other bytes."""
    for earlier in manifest.earlier(context.host.files, context.folder):
        if earlier["version"] != plan.version or earlier.get("commit") == plan.commit:
            continue
        released = {entry.get("unsigned_sha256") for entry in earlier["artifacts"]} - {None}
        if plan.configuration.world is World(earlier["world"]) and released != {one.sha256 for one in plan.builds}:
            raise ConfigurationError(
                f"version {plan.version} was already released from commit {earlier.get('commit')} with other bytes",
                remedy="commit again in another minute",
            )
