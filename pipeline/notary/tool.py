"""Apple's `notarytool`: the same questions as `client`, and an archive sent in one call. No retries, no waiting.

Its exit code decides nothing: 0 comes with Invalid, 69 with almost anything. The JSON counts, on whichever stream it
stands; where there is none, the text is looked up. Every call raises what `client` does, UploadBroke beside it, and
ServiceUnavailable with the tool's words for a text that nobody knows.
https://keith.github.io/xcode-man-pages/notarytool.1.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from pipeline.errors import ReleaseError, ServiceUnavailable
from pipeline.explain import Explanation, Retry, explain
from pipeline.host import Completed
from pipeline.notary.answers import NotThere
from pipeline.notary.waiting import Throttled
from pipeline.notary.wire import Listed, NotaryStatus

UPLOADED = "Successfully uploaded file"
_ASKING = timedelta(minutes=5)
# What a slow line (128 kB a second) needs for an archive, and half an hour for everything else.
_SENDING, _SECONDS_A_BYTE = timedelta(minutes=30), 1 / 128_000
_ID = re.compile(r"[0-9A-Za-z-]{8,64}", re.ASCII)
_OBJECT = re.compile(r"^\{", re.MULTILINE)
_FAMILY = ("notarytool", "notary-service", "upload", "xcrun", "macOS")
_LIMIT = "Exceeded hourly limit of requests"
_BROKEN_UPLOAD = "abortedUpload"
_NOT_THERE = (
    "There is no resource of type 'submissionsLog'",
    "There is no resource of type 'submissions'",
    "The specified resource does not exist",
    "Submission does not exist or does not belong to your team.",
)


class UploadBroke(ServiceUnavailable):
    """The upload was cut off: what was begun will never be scanned."""


class Run(Protocol):
    """Runs notarytool with these words."""

    def __call__(self, *words: str | Path, timeout: timedelta) -> Completed: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """A team key whose text lies in a file that is closed to others: notarytool takes its path."""

    path: Path
    key_id: str
    issuer: str

    def words(self) -> list[str | Path]:
        return ["--key", self.path, "--key-id", self.key_id, "--issuer", self.issuer]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeychainProfile:
    """What `notarytool store-credentials` keeps in a keychain."""

    name: str

    def words(self) -> list[str | Path]:
        return ["--keychain-profile", self.name]


class NotaryTool:
    def __init__(self, run: Run, credentials: KeyFile | KeychainProfile) -> None:
        self._run = run
        self._credentials = credentials

    def submit(self, path: Path) -> str:
        """Begin a submission and upload the file; its id. Not idempotent: after an error other than Throttled, look in
        `submissions` for the file's name before doing it again."""
        limit = _SENDING + timedelta(seconds=path.stat().st_size * _SECONDS_A_BYTE)
        completed = self._call("submit", path, "--no-wait", "--no-progress", timeout=limit)
        for document in _documents(completed):
            if document.get("message") == UPLOADED and _is_id(document.get("id")):
                return str(document["id"])
        raise _error(completed, "submit")

    def submissions(self) -> tuple[Listed, ...]:
        """The team's newest submissions, at most 100."""
        completed = self._call("history")
        for document in _documents(completed):
            entries = document.get("history")
            if isinstance(entries, list):
                return tuple(_listed(entry, "history") for entry in entries)
        raise _error(completed, "history")

    def status(self, submission: str) -> Listed:
        completed = self._call("info", submission)
        for document in _documents(completed):
            if "status" in document:
                found = _listed(document, "info")
                if found.id != submission:
                    raise ServiceUnavailable(f"an answer about another submission, {found.id}", where="notarytool info")
                return found
        raise _error(completed, "info")

    def log(self, submission: str) -> bytes:
        """The log document as it is. Raises NotThere while there is none."""
        completed = self._call("log", submission)
        for document, data in _placed_documents(completed):
            if "jobId" in document:
                return data
        raise _error(completed, "log")

    def _call(self, command: str, *words: str | Path, timeout: timedelta = _ASKING) -> Completed:
        # `log` prints the document itself and has no format of its own.
        form: Sequence[str] = () if command == "log" else ("--output-format", "json")
        return self._run(command, *words, *self._credentials.words(), *form, timeout=timeout)


def _documents(completed: Completed) -> Iterator[Mapping[str, Any]]:
    for document, _data in _placed_documents(completed):
        yield document


def _placed_documents(completed: Completed) -> Iterator[tuple[Mapping[str, Any], bytes]]:
    """The JSON objects that have their lines to themselves, on standard output, then on standard error, with bytes.

    Text can stand in lines before and after: progress, warnings. What goes on behind its end was cut or mixed.
    """
    decoder = json.JSONDecoder()
    for stream in (completed.stdout, completed.stderr):
        text = stream.decode("utf-8", "replace")
        at = 0
        while found := _OBJECT.search(text, at):
            at = found.end()
            try:
                document, end = decoder.raw_decode(text, found.start())
            except (ValueError, RecursionError):
                continue
            at = end
            if text[end:].partition("\n")[0].strip():
                continue
            yield document, text[found.start() : end].encode()


def _listed(entry: object, command: str) -> Listed:
    fields = entry if isinstance(entry, dict) else {}
    identifier, said = fields.get("id"), fields.get("status")
    if not _is_id(identifier) or not isinstance(said, str) or not said.isprintable():
        raise ServiceUnavailable("an answer of another shape", where=f"notarytool {command}")
    name = fields.get("name")
    status = NotaryStatus(said) if said in {one.value for one in NotaryStatus} else None
    return Listed(id=str(identifier), name=name if isinstance(name, str) else "", status=status, said=said)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _error(completed: Completed, command: str) -> ReleaseError:
    """What a call without an answer means, by its words."""
    where = f"notarytool {command}"
    if completed.timed_out:
        return ServiceUnavailable("did not end in time and was stopped, with all that it had started", where=where)
    text = (completed.stdout + b"\n" + completed.stderr).decode("utf-8", "replace")
    found = next((one for one in explain(text) if one.tool in _FAMILY), None)
    words = completed.last_lines(8) or "nothing"
    if found is None:
        how = f"exited {completed.returncode}" if completed.returncode >= 0 else f"died of {-completed.returncode}"
        return ServiceUnavailable(f"{how}, and said what is not known here:\n{words}", where=where)
    return _known_error(found, f"{found.meaning} It said:\n{words}", where)


def _known_error(found: Explanation, message: str, where: str) -> ReleaseError:
    if found.says == _LIMIT:
        return Throttled(message, retry_after=None, where=where, remedy=found.remedy)
    if found.says == _BROKEN_UPLOAD:
        kind: type[ReleaseError] = UploadBroke
    elif found.says in _NOT_THERE:
        kind = NotThere
    else:
        kind = found.error or (ServiceUnavailable if found.retry is Retry.HELPS else ReleaseError)
    return kind(message, where=where, remedy=found.remedy)
