"""The publish gate: everything that keeps a release from being published. What was skipped is not green."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline import manifest
from pipeline.audit.evidence import Evidence
from pipeline.errors import VerificationError
from pipeline.model import Artifact, Kind, NotarizationStatus, StapleStatus, World

_CODE = (Kind.THIN, Kind.UNIVERSAL, Kind.APP)


def objections(evidence: Evidence) -> list[VerificationError]:
    """Each thing that is missing; none where the release, once its audit holds, may be published."""
    reasons = [*_of_the_release(evidence)]
    for artifact in evidence.artifacts:
        reasons += _of_what_ships(artifact, evidence)
    return [VerificationError(f"not for publication: {reason}", where=manifest.NAME) for reason in reasons]


def _of_the_release(evidence: Evidence) -> Iterator[str]:
    document = evidence.manifest
    if document["world"] != World.REAL:
        yield f'world "{document["world"]}" is no real release'
    if document["dirty"]:
        yield "the checkout had changes that were not committed"
    if document["commit"] is None:
        yield "it was made from no commit"
    # Absent is not false: a manifest that does not say is not believed.
    if document.get("doubles") is not False:
        yield "it was made with doubles of Apple's tools"
    if not document.get("provenance"):
        yield "it has no provenance"
    if not any(artifact.kind is Kind.DISTRIBUTION for artifact in evidence.artifacts):
        yield "it holds nothing to publish"


def _of_what_ships(artifact: Artifact, evidence: Evidence) -> Iterator[str]:
    if artifact.debug:
        return
    if not _was_verified(artifact, evidence):
        yield f"{artifact.path} was not verified after it was made"
    for words in artifact.not_run:
        yield f"{artifact.path}, {words}"
    if artifact.kind is Kind.DISTRIBUTION:
        shipped = {one.path for one in evidence.artifacts if not one.debug}
        for path in artifact.contents:
            if path not in shipped:
                yield f"{artifact.path} holds {path}, which does not ship"
    if artifact.kind not in _CODE:
        return
    if artifact.notarization is None or artifact.notarization.status is not NotarizationStatus.ACCEPTED:
        yield f"{artifact.path} is not notarized"
    if artifact.kind is Kind.APP and (artifact.staple is None or artifact.staple.status is not StapleStatus.STAPLED):
        yield f"{artifact.path} has no stapled ticket"
    if artifact.kind is not Kind.APP and (artifact.staple is None or artifact.staple.ticket is None):
        yield f"{artifact.path} has no ticket beside it"
    if not artifact.slices or any(entry.team is None or "runtime" not in entry.flags for entry in artifact.slices):
        yield f"{artifact.path} is not signed by a team with the hardened runtime"


def _was_verified(artifact: Artifact, evidence: Evidence) -> bool:
    return any(
        (entry.event, entry.artifact, entry.facts.get("sha256")) == ("verified", artifact.path, artifact.sha256)
        for entry in evidence.entries
    )
