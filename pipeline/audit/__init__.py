"""The audit: is everything in an output folder what the log and the manifest say, and what is its story?

Needs no configuration and no private key, asks no service and writes nothing: a copy of the folder elsewhere serves as
well. `evidence` holds log and manifest against each other, `outputs` the files against the manifest, `proof` signatures
and tickets, `attested` the provenance; `gate` says what may be published, `story` is what is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.audit.attested import judge_provenance
from pipeline.audit.evidence import Evidence, read_evidence
from pipeline.audit.gate import objections
from pipeline.audit.outputs import judge_outputs
from pipeline.audit.proof import anchors_of
from pipeline.audit.story import AuditReport, Told
from pipeline.codesign.certificates import Anchors
from pipeline.errors import ConfigurationError, ReleaseError, VerificationError
from pipeline.host import Host
from pipeline.identity import APPLE_ANCHORS
from pipeline.model import World

__all__ = ["AuditReport", "audit"]


class Findings(VerificationError):
    """Several findings in one error."""

    def __init__(self, findings: Sequence[VerificationError]) -> None:
        super().__init__(f"{len(findings)} findings\n" + "\n".join(f"  {finding}" for finding in findings))
        self._findings = tuple(findings)

    @property
    def parts(self) -> tuple[ReleaseError, ...]:
        return self._findings


def audit(
    host: Host,
    folder: Path,
    *,
    head: str | None = None,
    gate: bool = False,
    key: bytes | None = None,
    apple: Anchors = APPLE_ANCHORS,
) -> AuditReport:
    """Judge an output folder and tell its story.

    `head`: the hash that the newest line of the log must have. `gate`: accept only what may be published. `key`: PEM of
    the public key or certificate that the provenance must be signed with. `apple`: the roots that code and tickets of a
    real release have to lead to. Raises VerificationError that says where, of several findings each one (`parts`);
    ConfigurationError where there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigurationError("no such folder", where=str(folder), remedy="run invoke release, or name another")
    evidence = read_evidence(host, folder, head)
    told, findings = judge_outputs(host, folder, evidence, anchors_of(host, folder, evidence, apple))
    attested: tuple[str, ...] = ()
    try:
        attested = judge_provenance(host, folder, evidence, key)
    except VerificationError as error:
        findings.append(error)
    unpublishable = objections(evidence)
    if gate:
        findings += unpublishable
    if findings:
        raise findings[0] if len(findings) == 1 else Findings(findings)
    report = _report(folder, evidence, told, attested, gate=gate)
    return replace(report, objections=tuple(one.message for one in unpublishable))


def _report(
    folder: Path, evidence: Evidence, told: tuple[Told, ...], attested: tuple[str, ...], *, gate: bool
) -> AuditReport:
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
        lost=evidence.lost,
        provenance=attested,
        artifacts=told,
        objections=(),
        publishable=gate,
    )
