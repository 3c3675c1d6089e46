"""What resuming needs: one small file a stage, with its key, what it read, and what it left on disk.

A record says nothing about whether its key is today's: `release` compares. The audit log is elsewhere (`journal`).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat as modes
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.errors import HostRefused
from pipeline.host import Files
from pipeline.host.files import refusals

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStat:
    """A file, a symbolic link or a folder with all it holds, as it was left. Times are in nanoseconds since 1970."""

    path: str
    """Relative to the output folder, with forward slashes; of a folder's entry, its name."""
    mode: int
    """Type and permission bits (st_mode)."""
    sha256: str
    """Of a file's bytes; of a link's target; of a folder's entries: their names, modes and digests."""
    size: int
    """In bytes; of a folder, the sum of its entries."""
    mtime_ns: int
    ctime_ns: int
    inode: int
    entries: tuple[FileStat, ...] = ()
    without: tuple[str, ...] = ()
    """Paths inside a folder that do not count: another stage's output, such as a stapled ticket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """What a finished stage writes down."""

    stage: str
    key: str
    inputs: Mapping[str, str]
    """Path → digest, of everything the stage read."""
    options: Mapping[str, Any]
    outputs: tuple[FileStat, ...]
    artifacts: tuple[dict[str, Any], ...]
    """What the stage added to the plan, as JSON."""
    finished: str
    run: str


def save(files: Files, folder: Path, record: StageRecord) -> None:
    """Write `<folder>/<stage>.json` in place of an earlier one."""
    document = {"schema": SCHEMA} | asdict(record)
    files.write(folder / f"{record.stage}.json", json.dumps(document, indent=1, sort_keys=True).encode() + b"\n")


def load(files: Files, folder: Path, stage: str) -> tuple[StageRecord | None, str | None]:
    """The stage's record, or None and the reason; a stage that never ran has neither.

    A record that cannot be understood counts as a stage that is not done: running it again replaces the record.
    """
    path = folder / f"{stage}.json"
    if not path.exists():
        return None, None
    try:
        document = json.loads(files.read(path))
        if document["schema"] != SCHEMA:
            return None, f"its record has schema {document['schema']}, and {SCHEMA} is known here"
        record = _record_from_json(document)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return None, f"its record cannot be read ({type(error).__name__})"
    if record.stage != stage:
        return None, f"its record is that of {record.stage}"
    return record, None


def stat_of(files: Files, root: Path, path: str, without: tuple[str, ...] = ()) -> FileStat:
    """A file, link or folder as it lies on disk now, everything read but `without`, which are paths inside a folder.

    Raises HostRefused where it cannot be read.
    """
    return replace(_stat(files, root / path, path, None, without), without=without)


def current(files: Files, root: Path, left: FileStat) -> FileStat | None:
    """What lies there now if it is still what was left, with today's times; None if it is gone or differs.

    Bytes are read again only where size, mtime, ctime or inode differ from what was noted.
    """
    path = root / left.path
    if not os.path.lexists(path):
        return None
    now = replace(_stat(files, path, left.path, left, left.without), without=left.without)
    return now if (now.mode, now.sha256) == (left.mode, left.sha256) else None


def _stat(files: Files, path: Path, name: str, known: FileStat | None, without: tuple[str, ...]) -> FileStat:
    with refusals(path):
        found = path.lstat()
        if modes.S_ISDIR(found.st_mode):
            return _folder(files, path, name, found, known, without)
        noted = (found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        if known and noted == (known.mode, known.size, known.mtime_ns, known.ctime_ns, known.inode):
            return known
        if modes.S_ISLNK(found.st_mode):
            digest = hashlib.sha256(os.fsencode(path.readlink())).hexdigest()
        elif modes.S_ISREG(found.st_mode):
            digest = files.sha256(path)
        else:
            raise HostRefused("is neither a file, a link nor a folder", where=str(path))
        after = path.lstat()
    if (after.st_mode, after.st_size, after.st_mtime_ns, after.st_ctime_ns, after.st_ino) != noted:
        raise HostRefused("changed while it was read", where=str(path))
    return FileStat(
        path=name,
        mode=found.st_mode,
        sha256=digest,
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
        ctime_ns=found.st_ctime_ns,
        inode=found.st_ino,
    )


def _folder(
    files: Files, path: Path, name: str, found: os.stat_result, known: FileStat | None, without: tuple[str, ...]
) -> FileStat:
    """The list of names is always read: a folder's times do not tell of what lies deeper."""
    noted = {entry.path: entry for entry in known.entries} if known else {}
    entries = tuple(
        _stat(files, path / entry, entry, noted.get(entry), _inside(entry, without))
        for entry in sorted(os.listdir(path))  # noqa: PTH208  names, not paths
        if entry not in without
    )
    content = [[entry.path, entry.mode, entry.sha256] for entry in entries]
    return FileStat(
        path=name,
        mode=found.st_mode,
        sha256=hashlib.sha256(json.dumps(content).encode()).hexdigest(),
        size=sum(entry.size for entry in entries),
        mtime_ns=found.st_mtime_ns,
        ctime_ns=found.st_ctime_ns,
        inode=found.st_ino,
        entries=entries,
    )


def _inside(entry: str, paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(path.removeprefix(f"{entry}/") for path in paths if path.startswith(f"{entry}/"))


def _record_from_json(document: Mapping[str, Any]) -> StageRecord:
    inputs, options, artifacts = document["inputs"], document["options"], document["artifacts"]
    if not (isinstance(inputs, dict) and isinstance(options, dict) and isinstance(artifacts, list)):
        raise TypeError("a table or a list is something else")
    if not all(isinstance(artifact, dict) for artifact in artifacts):
        raise TypeError("an artifact is not a table")
    return StageRecord(
        stage=_typed(document["stage"], str),
        key=_typed(document["key"], str),
        inputs={path: _typed(digest, str) for path, digest in inputs.items()},
        options=options,
        outputs=tuple(_stat_from_json(output) for output in document["outputs"]),
        artifacts=tuple(artifacts),
        finished=_typed(document["finished"], str),
        run=_typed(document["run"], str),
    )


def _stat_from_json(document: Mapping[str, Any]) -> FileStat:
    return FileStat(
        path=_typed(document["path"], str),
        mode=_typed(document["mode"], int),
        sha256=_typed(document["sha256"], str),
        size=_typed(document["size"], int),
        mtime_ns=_typed(document["mtime_ns"], int),
        ctime_ns=_typed(document["ctime_ns"], int),
        inode=_typed(document["inode"], int),
        entries=tuple(_stat_from_json(entry) for entry in document["entries"]),
        without=tuple(_typed(path, str) for path in document["without"]),
    )


def _typed(value: object, kind: type[Any]) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} instead of {kind.__name__}")
    return value
