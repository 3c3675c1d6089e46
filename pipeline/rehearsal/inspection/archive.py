"""Unpacks an archive without trusting it: zip, jar, jmod, tar and gzip, into files whose names are ours.

No name of an archive ever becomes a name on disk: contents go to numbered files, and a tree of entries keeps the names.
Links stay links. What ditto, with which the notary unpacks, could not unpack, or what would land outside, is Broken.
"""

from __future__ import annotations

import errno
import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO

from pipeline.rehearsal.inspection.findings import Broken

# Apple advises against thousands of files; a large app with an embedded runtime has some ten thousand.
_MOST_ENTRIES = 200_000
_LARGEST_TREE = 16 * 1024**3
_LONGEST_LINK = 4096
_BLOCK = 1024 * 1024
_SECTOR = 512  # tar's header, a disk image's trailer
_UTF8_NAME = 0x800  # bit 11 of a zip entry's flags
_ENCRYPTED = 0x1
_UNREADABLE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    UnicodeError,
    ValueError,
    OverflowError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A regular file, its content at `place`."""

    place: Path
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    pass


Entry = File | Link | Folder
Tree = Mapping[str, Entry]
"""Path inside the archive, with `/` → what is there; every folder on the way is in it."""


class Scratch:
    """Numbered places for contents, in one folder that the caller removes, and `room` bytes for all of them."""

    def __init__(self, folder: Path, room: int = _LARGEST_TREE) -> None:
        self._folder = folder
        self._numbers = count()
        self._room = room

    def keep(self, source: IO[bytes] | gzip.GzipFile) -> File:
        place = self._folder / str(next(self._numbers))
        size = 0
        with place.open("xb") as target:
            while block := source.read(_BLOCK):
                size += len(block)
                self._room -= len(block)
                if self._room < 0:
                    raise Broken("unpacks to more than there is room for")
                target.write(block)
        return File(place=place, size=size)


class NotOpened(Broken):
    """An archive of a kind that Apple's notary opens and a rehearsal does not: it cannot say what is inside."""


def unpack(file: File, name: str, scratch: Scratch) -> Tree | None:
    """The tree inside an archive, or None if the file is none by its first bytes. Raises NotOpened or Broken."""
    with file.place.open("rb") as stream:
        start = stream.read(_SECTOR)
        stream.seek(max(0, file.size - _SECTOR))
        end = stream.read(_SECTOR)
    readers = {"zip": _zip, "tar": _tar, "gzip": _gzip}
    kind = _kind(start, end)
    if kind is None:
        return None
    if kind not in readers:
        raise NotOpened(f"a {kind} is not opened in a rehearsal")
    builder = _Builder(scratch)
    try:
        readers[kind](file, name, builder)
    except _UNREADABLE as error:
        raise Broken(f"cannot be unpacked: {error}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a seek to where a damaged directory points; all else is the disk's
            raise
        raise Broken("cannot be unpacked: it points outside of itself") from error
    return builder.tree


def _kind(start: bytes, end: bytes) -> str | None:
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06", b"JM\x01\x00PK")):
        return "zip"
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    if start[257:262] == b"ustar":
        return "tar"
    if start.startswith(b"xar!"):
        return "package"
    return "disk image" if end.startswith(b"koly") else None


class _Builder:
    """Collects entries, and refuses a name that would not land where it says."""

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
        self.tree: dict[str, Entry] = {}

    def add(self, name: str, entry: Entry) -> None:
        parts = name.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\0" in name or "\\" in name:
            raise Broken(f"the name {name!r} is not one inside the archive")
        for depth in range(1, len(parts)):
            above = self.tree.setdefault("/".join(parts[:depth]), Folder())
            if not isinstance(above, Folder):
                raise Broken(f"{name!r} lies below something that is no folder")
        there = self.tree.get(name)
        if there is not None and not (isinstance(there, Folder) and isinstance(entry, Folder)):
            raise Broken(f"{name!r} is there twice")
        self.tree[name] = entry
        if len(self.tree) > _MOST_ENTRIES:
            raise Broken(f"more than {_MOST_ENTRIES} entries")


def _zip(file: File, _name: str, builder: _Builder) -> None:
    with zipfile.ZipFile(file.place) as archive:
        for info in archive.infolist():
            if info.flag_bits & _ENCRYPTED:
                raise Broken("an entry is encrypted")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Broken("an entry is compressed in a way that ditto does not know")
            name = info.filename if info.flag_bits & _UTF8_NAME else info.filename.encode("cp437").decode()
            mode = info.external_attr >> 16
            if info.is_dir():
                builder.add(name.rstrip("/"), Folder())
                continue
            with archive.open(info) as source:
                if stat.S_ISLNK(mode):
                    builder.add(name, Link(target=source.read(_LONGEST_LINK).decode()))
                elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
                    builder.add(name, builder.scratch.keep(source))
                else:
                    raise Broken(f"{name!r} is neither a file, a folder nor a link")


def _tar(file: File, _name: str, builder: _Builder) -> None:
    with tarfile.open(file.place, "r:", errors="strict") as archive:
        for info in archive:
            name = info.name.removeprefix("./").rstrip("/")
            if name in ("", "."):
                continue
            if info.isdir():
                builder.add(name, Folder())
            elif info.issym():
                builder.add(name, Link(target=info.linkname))
            elif info.islnk():
                linked = builder.tree.get(info.linkname.removeprefix("./"))
                if not isinstance(linked, File):
                    raise Broken(f"{name!r} is a hard link to nothing")
                builder.add(name, linked)
            elif info.isfile():
                source = archive.extractfile(info)
                assert source is not None
                with source:
                    builder.add(name, builder.scratch.keep(source))
            else:
                raise Broken(f"{name!r} is neither a file, a folder nor a link")


def _gzip(file: File, name: str, builder: _Builder) -> None:
    """One file, named as the archive without its last extension: `x.tar.gz` holds `x.tar`."""
    stem = name.rpartition("/")[2]
    inside = f"{stem[:-4]}.tar" if stem.endswith(".tgz") else stem.removesuffix(".gz") or stem
    with gzip.open(file.place) as source:
        builder.add(inside, builder.scratch.keep(source))


def files_below(tree: Tree, folder: str) -> Iterator[tuple[str, Entry]]:
    """Everything below a folder of the tree, with paths relative to it; `""` is the whole tree."""
    start = f"{folder}/" if folder else ""
    for path, entry in tree.items():
        if path.startswith(start):
            yield path[len(start) :], entry


def content(entry: Entry | None, limit: int) -> bytes | None:
    """The bytes of a small file; None where there is no regular file. Broken if it is larger than `limit`."""
    if not isinstance(entry, File):
        return None
    if entry.size > limit:
        raise Broken(f"{entry.size} bytes where {limit} are expected at most")
    return entry.place.read_bytes()
