"""The audit log: append-only JSON lines, each holding the hash of the line before. Never read to decide anything.

A line is canonical JSON: keys sorted, no spaces, ASCII, one newline. Its `hash` is the SHA-256 of the same line without
`hash`; `previous` is the hash of the line before, 64 zeros in the first. A chain shows what was changed, removed
or moved inside it; that its end was cut off shows only against something kept elsewhere: a run's last line
names the manifest's digest, the manifest names the line before that, and whoever noted the newest hash can demand it.

What a crash left of a line stays where it is. The next writer adds a `torn` line that holds those bytes, and the
chain goes on around them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from pipeline.errors import ReleaseError, VerificationError
from pipeline.host import Clock, Files
from pipeline.redact import Redactor

SCHEMA = 2
BEGINNING = "0" * 64
"""What the first line has as the hash of the line before."""
LARGEST = 1024 * 1024 * 1024
LOG = "audit.jsonl"
TORN = "torn"
MISSING = "missing"
"""A manifest that an earlier line records is no longer there, or never was."""

_OWN = frozenset({"schema", "run", "seq", "time", "stage", "event", "artifact", "previous", "hash"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a log that holds."""

    line: int
    """From 1, as an editor counts."""
    seq: int
    run: str
    time: str
    event: str
    stage: str | None
    artifact: str | None
    facts: Mapping[str, Any]
    previous: str
    hash: str


class Journal:
    """Writes one run's lines. Threads may share it; processes may not (the output folder's lock sees to that)."""

    def __init__(self, files: Files, clock: Clock, path: Path, *, run: str, redact: Redactor) -> None:
        """Finds the end of the log that is there. Raises VerificationError where its last line was changed."""
        self.run = run
        self._files = files
        self._clock = clock
        self._path = path
        self._redact = redact
        self._lock = threading.Lock()
        self._at_end = False
        self._torn = self._before = b""
        self._find_end()

    @property
    def head(self) -> str:
        """The hash of the newest line."""
        return self._head

    def record(self, event: str, *, stage: str | None = None, artifact: str | None = None, **facts: object) -> str:
        """Write one line, durable on return, and return its hash. Everything in it passes through the redactor.

        Facts are what JSON can hold; anything else is written as its text.
        """
        if _OWN & facts.keys():
            raise ReleaseError(f"facts of a log line cannot be called {', '.join(sorted(_OWN & facts.keys()))}")
        with self._lock:
            self._seal()
            named = {"stage": stage, "artifact": artifact}
            return self._append(event, {name: text for name, text in named.items() if text is not None} | facts)

    def seal(self) -> None:
        """Account for what a crash left of a line, if it left something: the chain holds again on return."""
        with self._lock:
            self._seal()

    def _seal(self) -> None:
        if not self._at_end:
            self._find_end()
        if self._torn:
            self._append(TORN, {"bytes": base64.b64encode(self._torn).decode()})
            self._torn = b""

    def _find_end(self) -> None:
        data = self._files.read(self._path, limit=LARGEST) if self._path.exists() else b""
        self._head, self._seq, self._torn, self._before = _end(data, self._path.name)
        self._at_end = True

    def _append(self, event: str, facts: Mapping[str, object]) -> str:
        document = _plain(facts, self._redact) | {
            "schema": SCHEMA,
            "run": self.run,
            "seq": self._seq + 1,
            "time": self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "event": event,
            "previous": self._head,
        }
        digest = _digest(document)
        line = self._before + _canonical(document | {"hash": digest}) + b"\n"
        # A write that fails (no space left) may leave a part: where the end is then must be found again.
        self._at_end = False
        self._files.append(self._path, line)
        self._head, self._seq, self._before, self._at_end = digest, self._seq + 1, b"", True
        return digest


def verify_chain(log: bytes, name: str = LOG) -> tuple[Entry, ...]:
    """Every line of a log. Raises VerificationError with the line where the chain does not hold."""
    lines = log.split(b"\n")
    if lines[-1]:
        raise VerificationError(
            "the last line is torn", where=f"{name} line {len(lines)}", remedy="the next run seals it and says so"
        )
    entries: list[Entry] = []
    head, at = BEGINNING, 0
    while at < len(lines) - 1:
        document = _load(lines[at])
        reason = _objection(document, lines[at], head, len(entries) + 1)
        if reason is not None:
            sealed = _sealed(lines, at, head, len(entries) + 1)
            if sealed is None:
                raise VerificationError(reason, where=f"{name} line {at + 1}")
            at = sealed
            document = _load(lines[at])
        entries.append(_entry(document or {}, at + 1, name))
        head, at = entries[-1].hash, at + 1
    return tuple(entries)


def _end(data: bytes, name: str) -> tuple[str, int, bytes, bytes]:
    """The newest whole line's hash and number, the torn bytes behind it, and what must be written before a new line."""
    lines = data.split(b"\n")
    for position in range(len(lines) - 1, -1, -1):
        document = _load(lines[position])
        if document is None:
            continue
        if not _is_whole(document, lines[position]):
            raise VerificationError(
                "was changed", where=f"{name} line {position + 1}", remedy="move the log aside: a new one begins"
            )
        torn = b"\n".join(lines[position + 1 :])
        return document["hash"], document["seq"], torn, b"" if data.endswith(b"\n") else b"\n"
    return BEGINNING, 0, data, b"" if not data or data.endswith(b"\n") else b"\n"


def _sealed(lines: list[bytes], at: int, head: str, seq: int) -> int | None:
    """The position of the `torn` line that accounts for everything from `at` to it."""
    for position in range(at + 1, len(lines) - 1):
        document = _load(lines[position])
        if document is None or _objection(document, lines[position], head, seq) or document.get("event") != TORN:
            continue
        left = b"\n".join(lines[at:position]) + b"\n"
        try:
            torn = base64.b64decode(document["bytes"], validate=True)
        except (KeyError, TypeError, ValueError):
            return None
        return position if left in (torn, torn + b"\n") else None
    return None


def _objection(document: dict[str, Any] | None, line: bytes, head: str, seq: int) -> str | None:
    """Why a line is not the one that follows `head`."""
    if document is None:
        return "is not a line of a log"
    if not _is_whole(document, line):
        return "was changed"
    if document["previous"] != head or document["seq"] != seq:
        return f"a line before it is missing or out of order (it is number {document['seq']}, expected {seq})"
    return None


def _entry(document: Mapping[str, Any], line: int, name: str) -> Entry:
    schema = document.get("schema")
    if type(schema) is not int or not 1 <= schema <= SCHEMA:
        remedy = "a newer version of the pipeline wrote it: audit with that"
        raise VerificationError(f"has schema {schema}, unknown here", where=f"{name} line {line}", remedy=remedy)
    facts = {key: value for key, value in document.items() if key not in _OWN}
    for older in range(schema, SCHEMA):
        facts = _UPGRADES[older](document, facts)
    return Entry(
        line=line,
        seq=document["seq"],
        run=document["run"],
        time=document["time"],
        event=document["event"],
        stage=document.get("stage"),
        artifact=document.get("artifact"),
        facts=facts,
        previous=document["previous"],
        hash=document["hash"],
    )


def _from_1(document: Mapping[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 told of a signed thin file as no other event told of code: `cdhash`, and `from_` of what it was made."""
    if document["event"] != "signed":
        return facts
    arch = str(document.get("artifact", "")).partition("/")[0]
    renamed = {"unsigned_sha256": facts.get("from_"), "cdhashes": {arch: facts.get("cdhash")}}
    return {key: value for key, value in facts.items() if key not in ("from_", "cdhash")} | renamed


# A line stays as it was written, and so does its hash; its facts are read as the next schema would tell them.
_UPGRADES: Mapping[int, Callable[[Mapping[str, Any], dict[str, Any]], dict[str, Any]]] = {1: _from_1}


def _load(line: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _is_whole(document: Mapping[str, Any], line: bytes) -> bool:
    """Does a line have every field that is ours, its own hash, and the one form that a line is written in?"""
    texts = [document.get(key) for key in ("run", "time", "event", "previous", "hash")]
    texts += [document[key] for key in ("stage", "artifact") if key in document]
    if not all(isinstance(text, str) for text in texts) or type(document.get("seq")) is not int:
        return False
    # It is told in texts of other kinds, which halves of surrogate pairs have no place in.
    if not document["run"].isprintable() or not document["time"].isprintable():
        return False
    try:
        return _canonical(document) == line and _digest(document) == document["hash"]
    except (ValueError, RecursionError):
        return False


def _digest(document: Mapping[str, Any]) -> str:
    content = {key: value for key, value in document.items() if key != "hash"}
    return hashlib.sha256(_canonical(content)).hexdigest()


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _plain(facts: Mapping[str, object], redact: Redactor) -> dict[str, Any]:
    """Facts as JSON can hold them, every text redacted before JSON escapes it."""

    def plain(value: object) -> Any:
        if value is None or isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
            return value
        if isinstance(value, Mapping):
            return {redact(str(key)): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return redact(str(value))

    return {name: plain(value) for name, value in facts.items()}
