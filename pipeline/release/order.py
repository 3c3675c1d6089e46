"""The order of the stages, stated once; which of them are already done; and the release from the first to the last.

    build thin → sign → universal → app → archive → notarize → staple → package → verify

A stage is done when its record's key is today's key (digests of its inputs, its options, tool versions, our own source)
and its outputs lie on disk as it left them, unless it skipped something. Everything else runs again, and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline import manifest, records
from pipeline.checkout import Facts
from pipeline.errors import ConfigurationError, VerificationError
from pipeline.host import seconds_since
from pipeline.model import Configuration, Plan, World
from pipeline.release.finish import retire
from pipeline.release.recorded import RECORDS, difference, facts_of, key_of, outputs_of, record_of, restored
from pipeline.stages import app, archive, build_thin, built, notarize, package, sign, staple, universal, verify
from pipeline.stages.context import Context, Stage
from pipeline.version import version_of

STAGES: tuple[Stage, ...] = (build_thin, sign, universal, app, archive, notarize, staple, package, verify)
NAMES = tuple(stage.NAME for stage in STAGES)


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
    inputs, options = facts_of(context, plan, stage)
    if record.key != key_of(context, inputs, options):
        return Step(stage=stage, plan=None, why=difference(record, inputs, options))
    for output in record.outputs:
        if records.current(context.host.files, context.folder, output) is None:
            return Step(stage=stage, plan=None, why=f"{output.path} is not as it was left")
    after = restored(plan, record)
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
    retire(context)
    inputs, options = facts_of(context, plan, stage)
    context.journal.record(
        "began",
        stage=stage.NAME,
        why=why,
        key=key_of(context, inputs, options),
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
    outputs = outputs_of(plan, after)
    for stale in {entry.path for entry in old.outputs} - set(outputs) if old else ():
        files.remove(folder / stale)
    records.save(files, folder / RECORDS, record_of(context, plan, after, stage))
    seconds = seconds_since(context.host.clock, began)
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
            plan = restored(plan, record)
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
