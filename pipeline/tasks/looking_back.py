"""What `audit` and `report` do: of a finished release, without its configuration and without keys."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from pipeline import manifest
from pipeline import release as order
from pipeline import report as page
from pipeline.audit import AuditReport
from pipeline.audit import audit as judge
from pipeline.errors import ConfigurationError, HostRefused, MalformedFile, VerificationError
from pipeline.host import Host
from pipeline.journal import LARGEST, LOG, verify_chain
from pipeline.notary import NotaryLog, Records, parse_log
from pipeline.tasks import ci
from pipeline.tasks.places import OUTPUTS

Result = TypeVar("Result")


def audit(host: Host, folder: str | None, *, gate: bool, head: str | None, key: str | None, as_json: bool) -> None:
    where = _folder(folder)
    try:
        report = judge(host, where, head=head, gate=gate, key=_key(host, key))
        report = replace(report, page=_judge_page(host, where, report))
    except VerificationError as error:
        if as_json:
            host.console.document({"schema": 1, "holds": False, "folder": str(where), "findings": _findings(error)})
        raise
    words = [f"newest line of the log: {report.head}", *report.objections]
    ci.summarise(
        host, f"Audit: {report.release} {report.version} holds", [*words, report.page] if report.page else words
    )
    if as_json:
        host.console.document({"holds": True, "findings": [], **report.to_json()})
    else:
        host.console.result(report.to_text())


def _folder(folder: str | None) -> Path:
    return Path(folder).absolute() if folder else OUTPUTS


def _key(host: Host, path: str | None) -> bytes | None:
    if path is None:
        return None
    if not Path(path).is_file():
        raise ConfigurationError("no such file", where=path)
    return host.files.read(Path(path))


def _findings(error: VerificationError) -> list[dict[str, str | None]]:
    return [{"where": one.where, "message": one.message, "remedy": one.remedy} for one in error.parts]


def report(host: Host, folder: str | None, *, dry: bool) -> None:
    """Write the page, whatever the verdict; a release that does not hold is exit 9 all the same."""
    where = _folder(folder)
    error: VerificationError | None = None
    found: AuditReport | None = None
    try:
        found = judge(host, where)
    except VerificationError as caught:
        error = caught
    path = where / manifest.REPORT
    if not dry:
        host.files.write(path, page.build(_facts(host, where, found, error)))
    host.console.result(f"would write {path}" if dry else str(path))
    if error is not None:
        raise error


def _judge_page(host: Host, folder: Path, found: AuditReport) -> str:
    """A page that lies beside what was judged has to show it; one that another wrote cannot be written again."""
    path = folder / manifest.REPORT
    if not os.path.lexists(path):
        return ""
    if path.is_symlink() or not path.is_file():
        raise VerificationError("is not a file", where=manifest.REPORT)
    data = host.files.read(path)
    if page.generator_of(data) != order.own_digest():
        return f"NOT JUDGED: {manifest.REPORT}, which another version wrote; invoke report writes it anew"
    if data != page.build(_facts(host, folder, found, None)):
        remedy = "it was changed, or is of an earlier state: invoke report writes it anew"
        raise VerificationError("does not show what was judged here", where=manifest.REPORT, remedy=remedy)
    return f"{manifest.REPORT} shows what was judged"


def _facts(host: Host, folder: Path, found: AuditReport | None, error: VerificationError | None) -> page.Facts:
    findings = error.parts if error is not None else ()
    told = found.artifacts if found is not None else ()
    document = _read(lambda: manifest.load(host.files, folder / manifest.NAME))
    entries = _read(lambda: verify_chain(host.files.read(folder / LOG, limit=LARGEST)))
    records = Records(host, folder / "notary")
    artifacts = [manifest.artifact_from_json(one) for one in (document or {}).get("artifacts", ())]
    submitted = [one.sha256 for one in artifacts if records.log_path(one.sha256).is_file()]
    logs = {sha256: _read(partial(_log, records, sha256)) for sha256 in submitted}
    remarks: list[str] = []
    if found is not None:
        attested = (document or {}).get("provenance") or {}
        signed = f"signed with the key {attested['key']}" if attested.get("key") else "not signed"
        remarks.append(f"{attested['statement']}, {signed}" if attested else "no provenance")
        remarks += [f"earlier manifest {name}" for name in found.earlier]
        remarks += [f"earlier manifest that is not here: {name}" for name in found.lost]
    return page.Facts(
        manifest=document,
        entries=entries or (),
        findings=tuple(page.Finding(where=one.where, message=one.message) for one in findings),
        objections=found.objections if found is not None else (),
        told={one.path: one.words for one in told},
        not_judged=tuple(sorted({what for one in told for what in one.not_judged})),
        remarks=tuple(remarks),
        generator=order.own_digest(),
        notary={sha256: log for sha256, log in logs.items() if log is not None},
        nested={one.path: one.nested for one in told},
    )


def _log(records: Records, sha256: str) -> NotaryLog:
    return parse_log(records.load_log(sha256) or b"", records.log_path(sha256).name)


def _read(read: Callable[[], Result]) -> Result | None:
    """What can be read of a release that may not hold: the verdict has said already what cannot."""
    try:
        return read()
    except (VerificationError, MalformedFile, HostRefused):
        return None
