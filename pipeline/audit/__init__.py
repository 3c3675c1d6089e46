"""The audit: is everything in an output folder what the log and the manifest say, and what is its story?

Needs no configuration and no private key, asks no service and writes nothing: a copy of the folder elsewhere serves as
well. `evidence` holds log and manifest against each other, `outputs` the files against the manifest, `proof` signatures
and tickets; `story` is what is told.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.audit.evidence import Evidence, read_evidence
from pipeline.audit.outputs import judge_outputs
from pipeline.audit.story import AuditReport, Told
from pipeline.errors import ConfigurationError, VerificationError
from pipeline.host import Host
from pipeline.model import Artifact, Kind, NotarizationStatus, StapleStatus, World

__all__ = ["AuditReport", "audit"]


def audit(host: Host, folder: Path, *, head: str | None = None, gate: bool = False) -> AuditReport:
    """Judge an output folder and tell its story.

    `head`: the hash that the log's newest line must have. `gate`: accept only what may be published. Raises
    VerificationError that says where, of several findings each one; ConfigurationError where there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigurationError("no such folder", where=str(folder), remedy="run invoke release, or name another")
    evidence = read_evidence(host, folder, head)
    told, findings = judge_outputs(host, folder, evidence)
    if gate:
        findings += _objections(evidence)
    if findings:
        raise _all(findings)
    return _report(folder, evidence, told, gate=gate)


def _objections(evidence: Evidence) -> list[VerificationError]:
    """Everything that keeps a release from being published."""
    document = evidence.manifest
    reasons = []
    if document["world"] != World.REAL:
        reasons.append(f'world "{document["world"]}" is no real release')
    if document["dirty"]:
        reasons.append("the checkout had changes that were not committed")
    if document["commit"] is None:
        reasons.append("it was made from no commit")
    # Absent is not false: a manifest that does not say is not believed.
    if document.get("doubles") is not False:
        reasons.append("it was made with doubles of Apple's tools")
    if not any(artifact.kind is Kind.DISTRIBUTION for artifact in evidence.artifacts):
        reasons.append("it holds nothing to publish")
    reasons += [reason for artifact in evidence.artifacts for reason in _unpublishable(artifact)]
    return [VerificationError(f"not for publication: {reason}", where="release.json") for reason in reasons]


def _unpublishable(artifact: Artifact) -> list[str]:
    if artifact.debug or artifact.kind not in (Kind.THIN, Kind.UNIVERSAL, Kind.APP):
        return []
    reasons = []
    if artifact.notarization is None or artifact.notarization.status is not NotarizationStatus.ACCEPTED:
        reasons.append(f"{artifact.path} is not notarized")
    if artifact.kind is Kind.APP and (artifact.staple is None or artifact.staple.status is not StapleStatus.STAPLED):
        reasons.append(f"{artifact.path} has no stapled ticket")
    if not artifact.slices or any(entry.team is None or "runtime" not in entry.flags for entry in artifact.slices):
        reasons.append(f"{artifact.path} is not signed by a team with the hardened runtime")
    return reasons


def _all(findings: list[VerificationError]) -> VerificationError:
    """One finding as it is; of several, a list."""
    if len(findings) == 1:
        return findings[0]
    return VerificationError(f"{len(findings)} findings\n" + "\n".join(f"  {finding}" for finding in findings))


def _report(folder: Path, evidence: Evidence, told: tuple[Told, ...], *, gate: bool) -> AuditReport:
    document = evidence.manifest
    return AuditReport(
        folder=folder,
        release=document["release"],
        version=document["version"],
        world=World(document["world"]),
        toolchain=document["toolchain"],
        doubles=document.get("doubles") is not False,
        commit=document["commit"],
        dirty=document["dirty"],
        lines=len(evidence.entries),
        head=evidence.entries[-1].hash,
        runs=evidence.runs,
        earlier=evidence.earlier,
        artifacts=told,
        publishable=gate,
    )
