"""What the services remember: submissions, uploaded objects, logs and tickets, as files in the rehearsal's folder.

    submissions/<id>.json        one submission, rewritten whole at each change
    objects/<bucket>/<object>    what was uploaded, its name percent-escaped
    logs/<id>.json               the developer log, once there is a verdict
    tickets/<id>.ticket          the ticket of an accepted submission
    parts/<upload id>/<number>   parts of a multipart upload that is not completed
    work/<process>-<number>/     what is being received or inspected

Every file appears by one rename, and no address of a service enters any: a run that was killed, a stage run alone and a
later process meet the same submissions. Tests read what happened here.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from pipeline.host import Files
from pipeline.host.files import refusals


class Status(Enum):
    """Everything that the documentation lists for a submission."""

    IN_PROGRESS = "In Progress"
    ACCEPTED = "Accepted"
    INVALID = "Invalid"
    REJECTED = "Rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One POST that was answered. `uploads` counts the objects stored whole for it: a good client makes it 1."""

    id: str
    number: int
    """The first of a folder is 1: the order of two in one second."""
    name: str
    sha256: str
    created: datetime
    bucket: str
    object: str
    uploads: int = 0
    uploaded: datetime | None = None
    status: Status = Status.IN_PROGRESS

    @property
    def is_uploaded(self) -> bool:
        return self.uploads > 0

    def to_json(self) -> dict[str, Any]:
        fields = asdict(self)
        uploaded = self.uploaded.isoformat() if self.uploaded else None
        return fields | {"created": self.created.isoformat(), "uploaded": uploaded, "status": self.status.value}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Submission:
        uploaded = fields["uploaded"]
        return cls(
            **dict(fields)
            | {
                "created": datetime.fromisoformat(fields["created"]),
                "uploaded": datetime.fromisoformat(uploaded) if uploaded else None,
                "status": Status(fields["status"]),
            }
        )


class State:
    """The folder's contents, read anew at each question; services of several processes may share them."""

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files
        self._lock = threading.Lock()
        self._names = iter(range(1 << 62))

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Alone among the threads of the services, and among the processes that serve this folder."""
        with self._lock, self._files.lock(self._folder / ".lock", wait=True):
            yield

    # Submissions

    def submissions(self) -> tuple[Submission, ...]:
        """All of them, newest first."""
        found = (self._read(path) for path in self._folder.glob("submissions/*.json"))
        return tuple(sorted(found, key=lambda one: one.number, reverse=True))

    def submission(self, identifier: str) -> Submission | None:
        path = self._submission(identifier)
        return self._read(path) if path.exists() else None

    def submission_of_object(self, bucket: str, key: str) -> Submission | None:
        return next((one for one in self.submissions() if (one.bucket, one.object) == (bucket, key)), None)

    def save(self, submission: Submission) -> None:
        data = json.dumps(submission.to_json(), indent=2) + "\n"
        self._files.write(self._submission(submission.id), data.encode())

    def _read(self, path: Path) -> Submission:
        return Submission.from_json(json.loads(self._files.read(path)))

    def _submission(self, identifier: str) -> Path:
        return self._folder / "submissions" / f"{quote(identifier, safe='')}.json"

    # Objects

    @contextmanager
    def receiving(self) -> Iterator[tuple[Path, BinaryIO]]:
        """A file to write an upload to; removed after the block if nothing has moved it to its name by then."""
        with self.workspace() as folder, refusals(folder), (folder / "received").open("wb") as stream:
            yield folder / "received", stream

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """An empty folder for the block."""
        folder = self._folder / "work" / f"{os.getpid()}-{next(self._names)}"
        self._files.make_folder(folder)
        try:
            yield folder
        finally:
            self._files.remove(folder)

    def sweep(self, now: datetime) -> None:
        """Bring to its end what processes that were killed left in the middle: workspaces, uploads not yet counted."""
        for folder in self._folder.glob("work/*-*"):
            if not _is_alive(int(folder.name.partition("-")[0])):
                self._files.remove(folder)
        with self.changing():
            for one in self.submissions():
                if not one.is_uploaded and self.object_path(one.bucket, one.object).exists():
                    self._count(one, now)

    def store(self, received: Path, submission: Submission, now: datetime) -> None:
        """Give an upload that is whole its name, and count it."""
        with self.changing():
            self._files.move(received, self.object_path(submission.bucket, submission.object))
            self._count(submission, now)

    def _count(self, submission: Submission, now: datetime) -> None:
        current = self.submission(submission.id) or submission
        self.save(replace(current, uploads=current.uploads + 1, uploaded=now))

    def object_path(self, bucket: str, key: str) -> Path:
        return self._folder / "objects" / quote(bucket, safe="") / quote(key, safe="")

    def parts(self, upload: str) -> Path:
        """The folder of a multipart upload's parts."""
        return self._folder / "parts" / quote(upload, safe="")

    # Verdicts

    def log(self, identifier: str) -> dict[str, Any] | None:
        """The developer log as it is served, or None while there is no verdict."""
        path = self._log(identifier)
        return dict(json.loads(self._files.read(path))) if path.exists() else None

    def save_log(self, identifier: str, document: Mapping[str, Any]) -> None:
        self._files.write(self._log(identifier), json.dumps(document, indent=2).encode())

    def tickets(self) -> Iterator[bytes]:
        """Every ticket, newest first."""
        for submission in self.submissions():
            path = self._ticket(submission.id)
            if path.exists():
                yield self._files.read(path)

    def save_ticket(self, identifier: str, ticket: bytes) -> None:
        self._files.write(self._ticket(identifier), ticket)

    def _log(self, identifier: str) -> Path:
        return self._folder / "logs" / f"{quote(identifier, safe='')}.json"

    def _ticket(self, identifier: str) -> Path:
        return self._folder / "tickets" / f"{quote(identifier, safe='')}.ticket"


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, and alive
    return True
