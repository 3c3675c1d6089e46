"""Give each app its ticket; keep a bare tool's ticket beside it, since nothing in a Mach-O file can carry one.

What stapler calls Error 73 (older tools) or 66 on a bare Mach-O is a fact about the file's kind, decided here before
anything is called; on a bundle the same numbers are failures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline.errors import StapleError, VerificationError
from pipeline.model import Artifact, Kind, Plan, Staple, StapleStatus, World
from pipeline.stages.context import Context, digests
from pipeline.toolchain import NotStapleable

NAME = "staple"

NOT_STAPLEABLE = (
    "a bare Mach-O has no place for a ticket (what stapler calls Error 73 or 66); "
    "Gatekeeper looks it up online by CDHash"
)


def inputs(plan: Plan) -> Mapping[str, str]:
    return digests(plan.of(Kind.THIN, Kind.UNIVERSAL, Kind.APP))


def options(context: Context, plan: Plan) -> Mapping[str, object]:
    return {
        artifact.path: artifact.notarization.submission
        for artifact in plan.of(Kind.UNIVERSAL, Kind.APP, debug=False)
        if artifact.notarization
    }


def run(context: Context, plan: Plan) -> Plan:
    signed = plan.of(Kind.THIN, Kind.UNIVERSAL, Kind.APP)
    if plan.configuration.world is World.LOCAL:
        return plan.with_artifacts(*(_excluded(artifact, 'world "local" has no tickets') for artifact in signed))
    ships = plan.of(Kind.UNIVERSAL, Kind.APP, debug=False)
    tickets = context.toolchain.tickets([entry.cdhash for artifact in ships for entry in artifact.slices])
    made: list[Artifact] = [
        _excluded(artifact, "a DEBUG binary is never notarized") for artifact in signed if artifact.debug
    ]
    for artifact in ships:
        hashes = [entry.cdhash for entry in artifact.slices]
        ticket = tickets[hashes[0]]
        _demand_proof(context, ticket, artifact)
        made += _app(context, artifact, ticket) if _has_a_place(artifact) else _bare(context, artifact, ticket)
    beside = {artifact.product: artifact.path for artifact in made if artifact.kind is Kind.TICKET}
    made += [
        replace(
            thin,
            staple=Staple(status=StapleStatus.NOT_STAPLEABLE, reason=NOT_STAPLEABLE, ticket=beside[thin.product]),
        )
        for thin in plan.of(Kind.THIN, debug=False)
    ]
    return plan.with_artifacts(*made)


def _has_a_place(artifact: Artifact) -> bool:
    return artifact.kind is Kind.APP


def _excluded(artifact: Artifact, reason: str) -> Artifact:
    return replace(artifact, staple=Staple(status=StapleStatus.EXCLUDED, reason=reason))


def _demand_proof(context: Context, ticket: bytes, artifact: Artifact) -> None:
    """A ticket that is not genuine, revoked or of other bytes is given to nothing."""
    try:
        context.toolchain.prove(ticket, [entry.cdhash for entry in artifact.slices])
    except VerificationError as error:
        raise StapleError(error.message, where=artifact.path, remedy=error.remedy) from error


def _app(context: Context, app: Artifact, ticket: bytes) -> list[Artifact]:
    try:
        context.toolchain.staple(context.path(app), ticket, [entry.cdhash for entry in app.slices])
    except NotStapleable:
        # The tool knows better what can be stapled; only of a bare file is this said.
        return _bare(context, app, ticket)
    context.event(NAME)("stapled", artifact=app.path)
    return [replace(app, staple=Staple(status=StapleStatus.STAPLED))]


def _bare(context: Context, tool: Artifact, ticket: bytes) -> list[Artifact]:
    path = f"{tool.path}.ticket"
    context.host.files.write(context.folder / path, ticket)
    beside = Artifact(
        product=tool.product,
        path=path,
        kind=Kind.TICKET,
        sha256=context.host.files.sha256(context.folder / path),
        size=len(ticket),
    )
    context.event(NAME)("not-stapleable", artifact=tool.path, reason=NOT_STAPLEABLE, ticket=path)
    context.host.console.say(f"  {tool.path}: not stapleable; {NOT_STAPLEABLE}; its ticket is kept in {path}")
    return [
        replace(tool, staple=Staple(status=StapleStatus.NOT_STAPLEABLE, reason=NOT_STAPLEABLE, ticket=path)),
        beside,
    ]
