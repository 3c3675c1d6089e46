"""What is on disk about a submission: one readable file for each archive, and its leave to upload beside it.

    notary/<sha256>.json        the record, written before anything is sent; `Submission`
    notary/<sha256>.log.json    the notary's log, byte for byte as it came
    notary/<sha256>.sending/    the archive under the submission's name, while notarytool sends it
    notary/<sha256>.upload      temporary credentials of the object store: 0600 from the first byte, gone after it

The archive's SHA-256 is the key, so another job that has the folder takes up where this one ended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipeline.errors import MalformedFile
from pipeline.host import Host
from pipeline.notary.wire import NotaryStatus, UploadGrant
from pipeline.redact import Secret

SCHEMA = 1
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
# The part of the archive's digest that a submission's name carries: enough to find it in the team's list.
NAME_DIGITS = 12


class State(StrEnum):
    """How far a submission is. Each is on disk before the step that it names is begun."""

    SUBMITTING = "submitting"
    """The notary may have been asked to begin one; its answer is not known."""
    CREATED = "created"
    """It has an id, and nothing has been uploaded."""
    UPLOADING = "uploading"
    """The upload may have ended; the object store's answer is not known."""
    UPLOADED = "uploaded"
    """The notary has all it needs. From here on nothing is ever sent."""
    ACCEPTED = "accepted"
    INVALID = "invalid"
    REJECTED = "rejected"

    @property
    def is_final(self) -> bool:
        return self in FINAL.values()


FINAL = {
    NotaryStatus.ACCEPTED: State.ACCEPTED,
    NotaryStatus.INVALID: State.INVALID,
    NotaryStatus.REJECTED: State.REJECTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What is to be notarized: a zip, a signed flat package or a disk image, and its digest as it was made."""

    path: Path
    sha256: str
    """64 lower-case hex digits."""
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned:
    """A submission that the notary will never process, since its upload can no longer be completed."""

    id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """The record of one archive."""

    archive: str
    """The archive's file name."""
    sha256: str
    size: int
    name: str
    """What the notary calls it: the file's name with the digest's first digits."""
    state: State
    id: str | None = None
    said: str | None = None
    """The last status that the notary gave, in its own word."""
    times: Mapping[State, datetime] = field(default_factory=dict)
    """When each state was reached, for the submission that counts."""
    abandoned: tuple[Abandoned, ...] = ()
    other: Mapping[str, Any] = field(default_factory=dict)
    """Keys that are not known here."""

    def reached(self, state: State, now: datetime, **changes: Any) -> Submission:
        return replace(self, state=state, times={**self.times, state: now}, **changes)

    def without_id(self, reason: str, now: datetime) -> Submission:
        """The same archive with its submission abandoned, as before the notary was asked."""
        left = () if self.id is None else (Abandoned(id=self.id, reason=reason, at=now),)
        return replace(
            self,
            state=State.SUBMITTING,
            id=None,
            said=None,
            times={State.SUBMITTING: now},
            abandoned=(*self.abandoned, *left),
        )

    def is_abandoned(self, identifier: str) -> bool:
        return any(one.id == identifier for one in self.abandoned)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "archive": {"name": self.archive, "sha256": self.sha256, "size": self.size},
            "name": self.name,
            "state": self.state.value,
            "submission": self.id,
            "said": self.said,
            "times": {state.value: _written(moment) for state, moment in self.times.items()},
            "abandoned": [
                {"submission": one.id, "reason": one.reason, "at": _written(one.at)} for one in self.abandoned
            ],
            **self.other,
        }

    @classmethod
    def from_json(cls, document: Any) -> Submission:
        """Raises ValueError, KeyError or TypeError for anything else than `to_json` gives."""
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema {document['schema']}, not {SCHEMA}")
        archive = document["archive"]
        known = {"schema", "archive", "name", "state", "submission", "said", "times", "abandoned"}
        submission = cls(
            archive=_text(archive["name"]),
            sha256=_text(archive["sha256"]),
            size=_size(archive["size"]),
            name=_text(document["name"]),
            state=State(document["state"]),
            id=None if document["submission"] is None else _text(document["submission"]),
            said=None if document["said"] is None else _text(document["said"]),
            times={State(state): datetime.fromisoformat(moment) for state, moment in document["times"].items()},
            abandoned=tuple(
                Abandoned(
                    id=_text(one["submission"]), reason=_text(one["reason"]), at=datetime.fromisoformat(one["at"])
                )
                for one in document["abandoned"]
            ),
            other={key: value for key, value in document.items() if key not in known},
        )
        if (submission.id is None) != (submission.state is State.SUBMITTING):
            raise ValueError(f"state {submission.state}, submission {submission.id}")
        return submission


def submission_name(archive: str, sha256: str) -> str:
    """tool-1.2.3.zip → tool-1.2.3-0123456789ab.zip: unique for the bytes, and the extension stays."""
    stem, dot, extension = archive.rpartition(".")
    return f"{stem}-{sha256[:NAME_DIGITS]}.{extension}" if dot else f"{archive}-{sha256[:NAME_DIGITS]}"


class Records:
    """The folder of records. Whatever is read from it is checked; a record that cannot be read stops the release."""

    def __init__(self, host: Host, folder: Path) -> None:
        self._host = host
        self._folder = folder

    def path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.json"

    def log_path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.log.json"

    def sending_path(self, submission: Submission) -> Path:
        """A copy of the archive under the submission's name, while a tool sends it; in a folder of its own."""
        return self._sending_folder(submission.sha256) / submission.name

    def remove_copy(self, sha256: str) -> None:
        """Of the archive, as it was sent or was to be sent."""
        folder = self._sending_folder(sha256)
        if folder.exists():
            self._host.files.remove(folder)

    def load(self, sha256: str) -> Submission | None:
        path = self.path(sha256)
        if not path.exists():
            return None
        try:
            submission = Submission.from_json(json.loads(self._host.files.read(path)))
            if submission.sha256 != sha256:
                raise ValueError("it is about another archive")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise MalformedFile(
                f"not a submission's record ({type(error).__name__}: {error})",
                where=str(path),
                remedy="put back the file as it was: without it, this archive would be submitted a second time",
            ) from None
        return submission

    def archives(self) -> tuple[str, ...]:
        """SHA-256 of every archive that has a record in the folder, sorted."""
        return tuple(sorted(path.stem for path in self._folder.glob("*.json") if _SHA256.fullmatch(path.stem)))

    def all(self) -> tuple[Submission, ...]:
        """Every record in the folder, by the archive's digest."""
        return tuple(one for sha256 in self.archives() if (one := self.load(sha256)) is not None)

    def save(self, submission: Submission) -> Submission:
        data = json.dumps(submission.to_json(), indent=2, ensure_ascii=False) + "\n"
        self._host.files.write(self.path(submission.sha256), data.encode())
        return submission

    def save_log(self, sha256: str, data: bytes) -> None:
        self._host.files.write(self.log_path(sha256), data)

    def load_log(self, sha256: str) -> bytes | None:
        path = self.log_path(sha256)
        return self._host.files.read(path) if path.exists() else None

    def save_grant(self, sha256: str, grant: UploadGrant) -> None:
        document = {
            "schema": SCHEMA,
            "submission": grant.submission,
            "bucket": grant.bucket,
            "object": grant.object,
            "access-key": grant.access_key.reveal(),
            "secret-key": grant.secret_key.reveal(),
            "session-token": grant.session_token.reveal(),
        }
        self._host.files.write(self._grant_path(sha256), (json.dumps(document, indent=2) + "\n").encode(), mode=0o600)

    def load_grant(self, sha256: str) -> UploadGrant | None:
        """The leave to upload, or None if there is none, or none that can be read: then it is as good as ended."""
        path = self._grant_path(sha256)
        if not path.exists():
            return None
        try:
            document = json.loads(self._host.files.read(path))
            if document["schema"] != SCHEMA:
                return None
            secrets = {
                name: self._host.redact.register(Secret(_text(document[key])))
                for name, key in (
                    ("access_key", "access-key"),
                    ("secret_key", "secret-key"),
                    ("session_token", "session-token"),
                )
            }
            return UploadGrant(
                submission=_text(document["submission"]),
                bucket=_text(document["bucket"]),
                object=_text(document["object"]),
                **secrets,
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            return None

    def remove_grant(self, sha256: str) -> None:
        path = self._grant_path(sha256)
        # A kill in the middle of a write leaves the file that was to become it.
        for leftover in (path, *self._folder.glob(f".{path.name}.*")):
            if leftover.exists():
                self._host.files.remove(leftover)

    def _sending_folder(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.sending"

    def _grant_path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.upload"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text where one is wanted")
    return value


def _size(value: object) -> int:
    if type(value) is not int:
        raise TypeError("a size that is no whole number")
    return value


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
