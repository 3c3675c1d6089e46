"""Read everything back from disk and demand that it is what the release says: the last stage, and a command.

Of every Mach-O and bundle: all digests, signatures, chains and time stamps (through the toolchain); the CDHashes
recorded; a second parser's opinion. Of every ticket: its signature, and that it names every CDHash, those of code
inside an app too. Of what ships: the zip's members.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.disk import Contents, code_hashes, tree_digest
from pipeline.disk.archive import demand_members
from pipeline.errors import ReleaseError, VerificationError
from pipeline.host import seconds_since
from pipeline.launchd import JobFile, parse_job, program_of
from pipeline.launchd import judge as judge_jobs
from pipeline.model import STAPLED_TICKET, Artifact, Kind, NotarizationStatus, Plan, Slice, StapleStatus
from pipeline.stages.context import Context, digests, side_by_side
from pipeline.toolchain import Tried
from pipeline.toolchain.second_opinion import demand_agreement

NAME = "verify"


def inputs(plan: Plan) -> Mapping[str, str]:
    return digests(plan.artifacts)


def options(context: Context, plan: Plan) -> Mapping[str, object]:
    """The stapled tickets are outside the bundles' digests."""
    tickets = {}
    for app in plan.of(Kind.APP):
        ticket = context.path(app) / STAPLED_TICKET
        tickets[app.path] = context.host.files.sha256(ticket) if ticket.is_file() else None
    return {"world": plan.configuration.world, "tickets": tickets}


def run(context: Context, plan: Plan) -> Plan:
    return demand(plan, judge(context, plan))


def demand(plan: Plan, judged: Sequence[Judged]) -> Plan:
    """The plan with what could not be tried. Raises the first error."""
    for one in judged:
        if one.error is not None:
            raise one.error
    tried = {one.name: one.tried for one in judged}
    return plan.with_artifacts(
        *(replace(one, not_run=told.not_run if (told := tried[one.path]) else ()) for one in plan.artifacts)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One thing that was verified, and what was wrong with it."""

    name: str
    """An artifact's path."""
    kind: str
    error: ReleaseError | None
    seconds: float
    tried: Tried | None = None
    """What came of starting it; None for what is not started."""


def judge(context: Context, plan: Plan) -> list[Judged]:
    """Every artifact, whatever is wrong with others; last what a second parser says of those that hold."""
    jobs = (
        partial(_judge, context, artifact.path, str(artifact.kind), partial(_verify, context, plan, artifact))
        for artifact in plan.artifacts
    )
    judged = side_by_side(context, NAME, jobs)
    good = {one.name for one in judged if one.error is None}
    code = [artifact for artifact in plan.of(Kind.THIN, Kind.UNIVERSAL, Kind.APP) if artifact.path in good]
    paths = {artifact.path: _executable(context, artifact) for artifact in code}
    opinion = partial(demand_agreement, context.host.runner, paths)
    return [
        *judged,
        _judge(context, "daemon and agent", "launchd", partial(_demand_meetings, context, plan)),
        _judge(context, "a second parser's opinion", "parser", opinion),
    ]


def _judge(context: Context, name: str, kind: str, verify: Callable[[], Tried | None]) -> Judged:
    began = context.host.clock.monotonic()
    error = None
    tried = None
    try:
        tried = verify()
    except ReleaseError as caught:
        error = caught
    seconds = seconds_since(context.host.clock, began)
    return Judged(name=name, kind=kind, error=error, seconds=seconds, tried=tried)


def _verify(context: Context, plan: Plan, artifact: Artifact) -> Tried | None:
    event, path = context.timed(NAME), context.path(artifact)
    if not path.exists():
        raise VerificationError("is missing", where=artifact.path)
    contents = Contents()
    tried = None
    if artifact.kind in (Kind.THIN, Kind.UNIVERSAL, Kind.APP):
        _verify_code(context, artifact, path, contents)
    elif artifact.kind is Kind.TICKET:
        _verify_ticket(context, plan, artifact, path)
    elif artifact.kind is Kind.DISTRIBUTION and artifact.path.endswith(".zip"):
        members = {ship.rpartition("/")[2]: context.folder / ship for ship in artifact.contents}
        demand_members(path, members, artifact.path)
    if artifact.slices and artifact.notarization and artifact.notarization.status is NotarizationStatus.ACCEPTED:
        tried = context.toolchain.try_out(path, artifact.slices, plan.version)
        context.event(NAME)("tried", artifact=artifact.path, **tried.said)
    # Last, because whatever was found before says more precisely what is wrong.
    _demand_digest(plan, artifact, path, contents)
    event("verified", artifact=artifact.path, sha256=artifact.sha256)
    return tried


def _demand_meetings(context: Context, plan: Plan) -> None:
    """Daemon and agent of each layout start one file of this release and find each other.

    The daemon accepts a peer by its CDHash: whichever architecture runs, a thin file has the universal file's slice.
    """
    jobs: dict[str, dict[str, dict[str, Any]]] = {}
    for artifact in plan.of(Kind.LAUNCHD):
        layout, _, name = artifact.path.rpartition("/")
        jobs.setdefault(layout, {})[name] = parse_job(context.host.files.read(context.path(artifact)))
    for layout, pair in jobs.items():
        findings = judge_jobs(
            [JobFile(path=f"{layout}/{name}", job=job, mode=0o644, owner=0) for name, job in sorted(pair.items())],
            programs=[tool.product for tool in plan.of(Kind.UNIVERSAL, debug=False)],
        )
        if findings:
            raise VerificationError(findings[0].message, where=findings[0].path)
        (program,) = {program_of(job) for job in pair.values()}
        cdhashes = _demand_one_code(plan, str(program).rpartition("/")[2])
        context.event(NAME)("meets", artifact=layout, program=program, cdhashes=cdhashes)


def _demand_one_code(plan: Plan, product: str) -> dict[str, str]:
    """Architecture → the CDHash that both jobs run with, the same in every bare file of the product."""
    found: dict[str, str] = {}
    for tool in plan.of(Kind.UNIVERSAL, Kind.THIN, debug=False):
        for one in tool.slices if tool.product == product else ():
            if found.setdefault(one.arch, one.cdhash) != one.cdhash:
                raise VerificationError(
                    f"CDHash {one.cdhash} instead of {found[one.arch]}: daemon and agent would not accept each other",
                    where=f"{tool.path}: {one.arch}",
                )
    return found


def _verify_code(context: Context, artifact: Artifact, path: Path, contents: Contents) -> None:
    slices = context.toolchain.verify(path, contents)
    _demand_same_slices(artifact, slices)
    if artifact.staple and artifact.staple.status is StapleStatus.STAPLED:
        ticket = context.toolchain.stapled(path)
        if ticket is None:
            raise VerificationError("its stapled ticket is gone", where=artifact.path)
        nested = [cdhash for slices in code_hashes(path).values() for cdhash in slices.values()]
        _demand_proof(context, ticket, artifact, f"{artifact.path}/{STAPLED_TICKET}", nested)


def _executable(context: Context, artifact: Artifact) -> Path:
    path = context.path(artifact)
    return path / "Contents" / "MacOS" / artifact.product if artifact.kind is Kind.APP else path


def _verify_ticket(context: Context, plan: Plan, artifact: Artifact, path: Path) -> None:
    ticket = context.host.files.read(path)
    for tool in plan.of(Kind.THIN, Kind.UNIVERSAL, debug=False):
        if tool.staple and tool.staple.ticket == artifact.path:
            _demand_proof(context, ticket, tool, artifact.path)


def _demand_proof(context: Context, ticket: bytes, artifact: Artifact, where: str, nested: Sequence[str] = ()) -> None:
    try:
        context.toolchain.prove(ticket, [*(entry.cdhash for entry in artifact.slices), *nested])
    except VerificationError as error:
        raise error.at(where) from None


def _demand_same_slices(artifact: Artifact, slices: tuple[Slice, ...]) -> None:
    for recorded, found in zip(artifact.slices, slices, strict=False):
        if recorded != found:
            raise VerificationError(
                f"signed otherwise than the release recorded: {found}, not {recorded}",
                where=f"{artifact.path}: {recorded.arch}",
            )
    if len(slices) != len(artifact.slices):
        raise VerificationError(f"{len(slices)} slices instead of {len(artifact.slices)}", where=artifact.path)


def _demand_digest(plan: Plan, artifact: Artifact, path: Path, contents: Contents) -> None:
    found = tree_digest(path, frozenset({STAPLED_TICKET}), contents)
    if found != artifact.sha256:
        place = _differing_slice(plan, artifact, path)
        raise VerificationError(
            f"SHA-256 {found} differs from the recorded {artifact.sha256}, in bytes that no signature covers",
            where=f"{artifact.path}{place}",
        )


def _differing_slice(plan: Plan, artifact: Artifact, path: Path) -> str:
    """Which slice of a universal file differs from the thin file it was joined from."""
    from pipeline.disk import open_source
    from pipeline.macho import read_slices

    thins = {
        thin.slices[0].arch: thin.sha256
        for thin in plan.of(Kind.THIN, debug=artifact.debug)
        if thin.product == artifact.product
    }
    if artifact.kind is not Kind.UNIVERSAL:
        return ""
    with open_source(path) as source:
        for one in read_slices(source):
            digest = hashlib.sha256()
            for offset in range(0, one.size, 1 << 20):
                digest.update(one.source.read(offset, min(1 << 20, one.size - offset)))
            if thins.get(one.arch) != digest.hexdigest():
                return f": {one.arch}, signature"
    return ": outside of the slices"
