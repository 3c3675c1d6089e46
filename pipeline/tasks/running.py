"""What the release verbs do, and what they print."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline import manifest
from pipeline import release as order
from pipeline.errors import ConfigurationError, MalformedFile, ReleaseError
from pipeline.host import Host
from pipeline.model import Artifact, Kind, Plan, World
from pipeline.notary import Records, describe_submission
from pipeline.stages import verify
from pipeline.stages.context import Context
from pipeline.tasks import ci
from pipeline.tasks.assembly import announce, assembled, configuration_of, provenance_signer


def release(host: Host, path: str | None, *, as_json: bool, dry: bool, allow_dirty: bool) -> None:
    configuration = configuration_of(host, path)
    # Before anything runs: a release whose provenance cannot be signed, or that has nothing to be compared with, is not
    # begun.
    signer = None if dry else provenance_signer(host, configuration)
    if configuration.previous is not None:
        manifest.load(host.files, configuration.previous)
    with assembled(host, configuration, writes=not dry, allow_dirty=allow_dirty) as (context, plan):
        announce(host, configuration, plan)
        if dry:
            for error in dict.fromkeys(map(str, configuration.unready)):
                host.console.say(f"not ready: {error}")
            _show_steps(context, plan, as_json=as_json)
            return
        plan, ran = order.release(context, plan)
        finished = not ran and order.is_finished(context, plan, signer)
        if not finished:
            head = order.finish(context, plan, signer)
            host.console.say(f"log: {context.folder / 'audit.jsonl'}, newest line {head}")
        order.attest(context, signer)
        _tell_ci(host, context, plan)
        if finished:
            host.console.say("nothing to do: every stage is done, and its outputs are as it left them")
            host.console.say(f"log: {context.folder / 'audit.jsonl'}, newest line {context.journal.head}")
        _summarise(host, context, plan, as_json=as_json)


def one_stage(
    host: Host, path: str | None, name: str, *, as_json: bool, dry: bool, allow_dirty: bool, junit: str | None = None
) -> None:
    if junit is not None and not dry:
        # What an earlier run found speaks no longer, whatever becomes of this one.
        host.files.remove(Path(junit).absolute())
    configuration = configuration_of(host, path)
    looks_only = name == "verify"
    with assembled(host, configuration, writes=not (dry or looks_only), allow_dirty=allow_dirty) as (context, plan):
        announce(host, configuration, plan)
        if dry:
            _show_steps(context, plan, as_json=as_json, only=name)
            return
        if looks_only:
            after = _verified(context, plan, Path(junit).absolute() if junit else None)
            host.console.say(f"verified: {len(after.artifacts)} artifacts, every byte")
            for words in _skipped(after):
                host.console.say(words)
        else:
            plan = order.left_by(context, plan, name)
            after = order.run_stage(context, plan, order.STAGES[order.NAMES.index(name)], "asked for")
        changed = [artifact for artifact in after.artifacts if looks_only or artifact not in plan.artifacts]
        built = [manifest.built_to_json(one) for one in after.builds if one not in plan.builds]
        if as_json:
            document = {"stage": name, "artifacts": [manifest.artifact_to_json(one) for one in changed], "built": built}
            host.console.document(document)
        else:
            for one in built:
                host.console.result(f"{one['path']}  {one['sha256']}")
            _table(host, changed)


def _verified(context: Context, plan: Plan, junit: Path | None) -> Plan:
    """`junit`: where the results go before anything is raised: a failed verification is what the file is for."""
    judged: list[verify.Judged] = []
    try:
        plan = order.left_by(context, plan, verify.NAME, trusting=True)
        judged = verify.judge(context, plan)
    except ReleaseError as error:
        judged = [verify.Judged(name="the stages before", kind="release", error=error, seconds=0.0)]
    if junit is not None:
        name = f"{plan.configuration.release} {plan.version}"
        context.host.files.write(junit, ci.junit(name, judged, context.host.clock.now()))
    return verify.demand(plan, judged)


def status(host: Host, path: str | None, *, as_json: bool) -> None:
    configuration = configuration_of(host, path)
    with assembled(host, configuration, writes=False, allow_dirty=True) as (context, plan):
        announce(host, configuration, plan)
        _show_steps(context, plan, as_json=as_json)


def clean(host: Host, path: str | None, *, forget: bool, dry: bool) -> None:
    configuration = configuration_of(host, path)
    folder = configuration.folder
    kept = {"audit.jsonl", "history", ".lock"} | (set() if forget else {"notary", "rehearsal"})
    if not folder.is_dir():
        host.console.say("nothing to remove")
        return
    with host.files.lock(folder / ".lock"):
        for words in _submissions_left(host, folder / "notary") if forget else ():
            host.console.say(f"{'would forget' if dry else 'forgotten'}: {words}")
        entries = [entry for entry in sorted(folder.iterdir()) if entry.name not in kept]
        if not dry:
            manifest.retire(host.files, folder)
        for entry in entries:
            host.console.say(f"{'would remove' if dry else 'removed'}: {entry.name}")
            if not dry and entry.name != manifest.NAME:
                host.files.remove(entry)
        if not entries:
            host.console.say("nothing to remove")


def _submissions_left(host: Host, folder: Path) -> Iterator[str]:
    """A line for each submission that stays behind at the notary, abandoned ones too."""
    records = Records(host, folder)
    for sha256 in records.archives():
        try:
            record = records.load(sha256)
        except MalformedFile as error:
            yield f"what {records.path(sha256).name} was about: {error.message}"
        else:
            yield from describe_submission(record).splitlines() if record else ()


def explain(host: Host, text: str) -> None:
    from pipeline.explain import explain as find

    found = find(sys.stdin.read() if text == "-" else text)
    if not found:
        raise ConfigurationError("nothing is known of this text or code", remedy="give more of the message")
    for one in found:
        host.console.result(
            f"{one.tool}: {one.says}\n  means: {one.meaning}\n  a retry {one.retry}\n  do: {one.remedy}"
        )


def _show_steps(context: Context, plan: Plan, *, as_json: bool, only: str | None = None) -> None:
    steps = [step for step in order.examine(context, plan) if only in (None, step.stage.NAME)]
    submissions = Records(context.host, context.folder / "notary").all()
    if as_json:
        document: dict[str, Any] = {
            "version": plan.version,
            "world": plan.configuration.world,
            "stages": [{"stage": s.stage.NAME, "done": s.plan is not None, "why": s.why} for s in steps],
            "submissions": [one.to_json() for one in submissions],
        }
        context.host.console.document(document)
        return
    for step in steps:
        context.host.console.result(
            f"{step.stage.NAME:<10} {'done' if step.plan is not None else f'would run: {step.why}'}"
        )
    for one in submissions:
        context.host.console.result(describe_submission(one))


def _summarise(host: Host, context: Context, plan: Plan, *, as_json: bool) -> None:
    if as_json:
        host.console.result(host.files.read(context.folder / manifest.NAME).decode().rstrip("\n"))
        return
    _table(host, plan.artifacts)
    for words in _skipped(plan):
        host.console.result(words)
    world = plan.configuration.world
    ending = "" if world is World.REAL else f" ({world.upper()}: not for publication)"
    for package in plan.of(Kind.DISTRIBUTION):
        host.console.result(f"{context.path(package)}{ending}")


def _tell_ci(host: Host, context: Context, plan: Plan) -> None:
    world = plan.configuration.world
    words = [f"world {world}" + ("" if world is World.REAL else f" ({world.upper()}: not for publication)")]
    words.append(f"newest line of the log: {context.journal.head}")
    words += _skipped(plan)
    ci.summarise(host, f"{plan.configuration.release} {plan.version}", words, _rows(plan.artifacts))


def _skipped(plan: Plan) -> list[str]:
    """What was not proved, in a line each."""
    return [f"{artifact.path}, {words}" for artifact in plan.artifacts for words in artifact.not_run]


def _rows(artifacts: Sequence[Artifact]) -> list[tuple[str, str, str, str]]:
    rows = [("artifact", "architectures", "notarization", "staple")]
    for artifact in artifacts:
        rows.append(
            (
                artifact.path,
                ", ".join(entry.arch for entry in artifact.slices) or "-",
                str(artifact.notarization.status) if artifact.notarization else "-",
                str(artifact.staple.status) if artifact.staple else "-",
            )
        )
    return rows


def _table(host: Host, artifacts: Sequence[Artifact]) -> None:
    if not artifacts:
        return
    rows = _rows(artifacts)
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        host.console.result("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
