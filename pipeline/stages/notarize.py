"""Submit the archives, wait, and hold the notary's log against our own CDHashes, slice by slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline.disk import code_hashes
from pipeline.errors import VerificationError
from pipeline.model import Artifact, Kind, Notarization, NotarizationStatus, Plan, World
from pipeline.notary import verify_listed
from pipeline.stages.context import Context, digests
from pipeline.toolchain import ArchiveToNotarize

NAME = "notarize"


def inputs(plan: Plan) -> Mapping[str, str]:
    return digests(plan.of(Kind.ARCHIVE, Kind.THIN, Kind.UNIVERSAL, Kind.APP))


def options(context: Context, plan: Plan) -> Mapping[str, object]:
    return {"world": plan.configuration.world}


def run(context: Context, plan: Plan) -> Plan:
    event = context.event(NAME)
    signed = plan.of(Kind.THIN, Kind.UNIVERSAL, Kind.APP)
    excluded = [artifact for artifact in signed if artifact.debug]
    plan = plan.with_artifacts(
        *(_excluded(artifact, "a DEBUG binary never reaches the notary") for artifact in excluded)
    )
    if plan.configuration.world is World.LOCAL:
        reason = 'world "local" has no notary'
        event("excluded", reason=reason)
        return plan.with_artifacts(*(_excluded(artifact, reason) for artifact in signed if not artifact.debug))

    archives = plan.of(Kind.ARCHIVE)
    wanted = [
        ArchiveToNotarize(path=context.path(archive), sha256=archive.sha256, size=archive.size) for archive in archives
    ]
    options = plan.configuration.notary
    verdicts = context.toolchain.notarize(
        wanted, context.folder / "notary", wait=options.wait, mode=options.mode, event=event
    )
    by_sha256 = {verdict.archive.sha256: verdict for verdict in verdicts}
    made: list[Artifact] = []
    for archive in archives:
        verdict = by_sha256[archive.sha256]
        status = Notarization(status=NotarizationStatus.ACCEPTED, submission=verdict.submission, archive=archive.path)
        contents = [artifact for artifact in plan.artifacts if artifact.path in archive.contents]
        # The strongest proof without a Mac: a log that is whole, and names exactly these slices.
        verify_listed(verdict.log, {path: slices for one in contents for path, slices in _code(context, one).items()})
        made.append(replace(archive, notarization=status))
        for artifact in contents:
            made.append(replace(artifact, notarization=status))
            event("covered", artifact=artifact.path, cdhashes={s.arch: s.cdhash for s in artifact.slices})
    plan = plan.with_artifacts(*made)
    return plan.with_artifacts(*(_through_universal(thin, plan) for thin in plan.of(Kind.THIN, debug=False)))


def _excluded(artifact: Artifact, reason: str) -> Artifact:
    return replace(artifact, notarization=Notarization(status=NotarizationStatus.EXCLUDED, reason=reason))


def _code(context: Context, artifact: Artifact) -> dict[str, dict[str, str]]:
    """Path inside the archive → architecture → CDHash: of an artifact, and of all code inside an app."""
    name = artifact.name
    code = {name: {entry.arch: entry.cdhash for entry in artifact.slices}}
    if artifact.kind is Kind.APP:
        code |= {f"{name}/{path}": slices for path, slices in code_hashes(context.path(artifact)).items()}
    return code


def _through_universal(thin: Artifact, plan: Plan) -> Artifact:
    """A thin file is notarized through its CDHash: it is the universal file's slice, in the same ticket."""
    for tool in plan.of(Kind.UNIVERSAL, debug=False):
        if tool.product == thin.product and {(s.arch, s.cdhash) for s in thin.slices} <= {
            (s.arch, s.cdhash) for s in tool.slices
        }:
            return replace(thin, notarization=tool.notarization)
    raise VerificationError("its CDHash is in no archive that the notary has seen", where=thin.path)
