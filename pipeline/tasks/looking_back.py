"""What `audit` and `report` do: of a finished release, without its configuration and without keys."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.audit import AuditReport, findings_of
from pipeline.audit import audit as judge
from pipeline.errors import ConfigurationError, VerificationError
from pipeline.host import Host

_BESIDE_TASKS = Path(__file__).parents[2] / "build" / "macos"


def audit(host: Host, folder: str | None, *, gate: bool, head: str | None, key: str | None, as_json: bool) -> None:
    where = _folder(folder)
    try:
        report = judge(host, where, head=head, gate=gate, key=_key(host, key))
    except VerificationError as error:
        if as_json:
            host.console.result(_document({"holds": False, "folder": str(where), "findings": _findings(error)}))
        raise
    if as_json:
        host.console.result(_document({"holds": True, "findings": [], **report.to_json()}))
    else:
        host.console.result(report.to_text())


def _folder(folder: str | None) -> Path:
    return Path(folder).absolute() if folder else _BESIDE_TASKS


def _key(host: Host, path: str | None) -> bytes | None:
    if path is None:
        return None
    if not Path(path).is_file():
        raise ConfigurationError("no such file", where=path)
    return host.files.read(Path(path))


def _findings(error: VerificationError) -> list[dict[str, str | None]]:
    return [{"where": one.where, "message": one.message, "remedy": one.remedy} for one in findings_of(error)]


def _document(document: dict[str, object]) -> str:
    return json.dumps({"schema": 1} | document, indent=2, sort_keys=True)
