"""The end of a release: manifest, last line of the log and provenance, which name each other."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from pipeline import manifest, provenance
from pipeline.comparison import compare
from pipeline.journal import LARGEST, LOG, MISSING, verify_chain
from pipeline.model import Plan
from pipeline.stages import built
from pipeline.stages.context import Context


def is_finished(context: Context, plan: Plan, signer: provenance.Signer | None = None) -> bool:
    """The manifest on disk describes exactly this plan, and names the key that will sign its provenance."""
    path = context.folder / manifest.NAME
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
    retire(context)
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


def retire(context: Context) -> None:
    """Manifest, provenance and report no longer speak for what lies in the folder."""
    manifest.retire(context.host.files, context.folder)
    provenance.retire(context.host.files, context.folder)
    context.host.files.remove(context.folder / manifest.REPORT)


def attest(context: Context, signer: provenance.Signer | None = None) -> None:
    """Write the provenance that goes with manifest and log as they lie on disk; nothing where it is there already."""
    files, folder = context.host.files, context.folder
    entries = verify_chain(files.read(folder / LOG, limit=LARGEST), LOG)
    provenance.write(
        files, folder, provenance.statement(files, folder, files.read(folder / manifest.NAME), entries), signer
    )


def _changes(context: Context, plan: Plan, document: dict[str, Any]) -> dict[str, Any] | None:
    """What is other than in the release that the configuration names, or in the newest earlier one."""
    files = context.host.files
    path = plan.configuration.previous or manifest.before(files, context.folder, plan.version)
    if path is None:
        return None
    before = manifest.load(files, path)
    changes = [asdict(change) for change in compare(before, document)]
    return {"since": before["version"], "sha256": files.sha256(path), "changes": changes}
