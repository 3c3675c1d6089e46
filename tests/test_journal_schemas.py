"""The audit log's schemas: a log of several is one chain, read as the newest; one that is not known is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pipeline.errors import VerificationError
from pipeline.host import Files, SystemClock
from pipeline.journal import BEGINNING, Journal, verify_chain
from pipeline.redact import Redactor


def chained(documents: list[dict[str, object]]) -> bytes:
    """Lines as any program would write them from docs/audit-log.md."""
    previous, lines = BEGINNING, []
    for seq, document in enumerate(documents, 1):
        line = {"run": "one", "seq": seq, "time": "2026-11-21T00:00:00.000000Z", "previous": previous} | document
        plain = json.dumps(line, sort_keys=True, separators=(",", ":"))
        previous = hashlib.sha256(plain.encode()).hexdigest()
        lines.append(json.dumps(line | {"hash": previous}, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    return b"".join(lines)


def test_an_older_schema_is_read_as_todays(tmp_path: Path) -> None:
    """Lines of schema 1 stay as they are, their facts are told as schema 2 tells them, and a log of both holds."""
    old = chained(
        [
            {"schema": 1, "event": "signed", "artifact": "arm64/tool", "cdhash": "ab", "from_": "cd", "sha256": "ef"},
            {"schema": 1, "event": "built", "from_": "stays"},
        ]
    )
    path = tmp_path / "audit.jsonl"
    path.write_bytes(old)
    writer = Journal(Files(), SystemClock(), path, run="one", redact=Redactor())
    writer.record("signed", artifact="arm64/tool", cdhashes={"arm64": "ab"}, unsigned_sha256="cd", sha256="ef")
    assert path.read_bytes().startswith(old)
    entries = verify_chain(path.read_bytes())
    assert entries[0].facts == entries[2].facts
    assert entries[1].facts == {"from_": "stays"}


@pytest.mark.parametrize("schema", [0, 3, True, "1", None])
def test_an_unknown_schema_is_refused(schema: object) -> None:
    """A line of a schema that is not known here is refused with its line, though its hash holds."""
    with pytest.raises(VerificationError, match=r"audit\.jsonl line 2.*schema|schema.*unknown"):
        verify_chain(chained([{"schema": 2, "event": "x"}, {"schema": schema, "event": "x"}]))
