"""Zip archives, written by the same code on every host: deterministic, modes and symlinks kept, no `._*` entries.

The notary unpacks with ditto and users with Archive Utility; both read what is written here: deflate, UTF-8 names,
Unix modes in the external attributes (APPNOTE.TXT 4.4.15), a symlink as an entry of type 0120000 that holds its target.
"""

from __future__ import annotations

import errno
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import HostRefused, MalformedFile, VerificationError
from pipeline.host import Files
from pipeline.host.files import open_regular, refused

_BLOCK = 1024 * 1024
_UNIX = 3
# Memory: a dictionary of lzma's has the size that the archive says.
_STUMBLES = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    IndexError,
    MemoryError,
)
# Zip dates begin in 1980 and end in 2107 (two-byte DOS years).
_FIRST, _LAST = datetime(1980, 1, 1, tzinfo=UTC), datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)


def write_zip(files: Files, output: Path, members: Mapping[str, Path], epoch: int) -> None:
    """Write an archive whose top level holds `members`: name → file or folder, in the order of their names.

    Every entry has the date of `epoch` (seconds since 1970, UTC) and its own mode. Raises MalformedFile for what a zip
    for macOS must not hold: `._*` and `.DS_Store` files, sockets, devices; HostRefused where the disk refuses.
    """
    when = min(max(datetime.fromtimestamp(epoch, UTC), _FIRST), _LAST)
    date = (when.year, when.month, when.day, when.hour, when.minute, when.second)
    with (
        files.create(output) as stream,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, strict_timestamps=True) as archive,
    ):
        for name, path in _entries(members):
            _add(archive, name, path, date)


def _entries(members: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    for name in sorted(members):
        yield from _walk(name, members[name])


def _walk(name: str, path: Path) -> Iterator[tuple[str, Path]]:
    last = name.rpartition("/")[2]
    if last.startswith("._") or last == ".DS_Store":
        raise MalformedFile("an AppleDouble or Finder file does not belong into a release", where=str(path))
    yield name, path
    if path.is_dir() and not path.is_symlink():
        for child in sorted(path.iterdir(), key=lambda entry: os.fsencode(entry.name)):
            yield from _walk(f"{name}/{child.name}", child)


def _add(archive: zipfile.ZipFile, name: str, path: Path, date: tuple[int, int, int, int, int, int]) -> None:
    status = path.lstat()
    is_folder = stat.S_ISDIR(status.st_mode)
    entry = zipfile.ZipInfo(f"{name}/" if is_folder else name, date)
    entry.create_system = _UNIX
    entry.compress_type = zipfile.ZIP_DEFLATED
    if is_folder:
        entry.external_attr = (stat.S_IFDIR | 0o755) << 16 | 0x10  # the second is MS-DOS's own mark of a folder
        entry.compress_type = zipfile.ZIP_STORED
        archive.writestr(entry, b"")
    elif stat.S_ISLNK(status.st_mode):
        entry.external_attr = (stat.S_IFLNK | 0o755) << 16
        archive.writestr(entry, os.fsencode(path.readlink()))
    elif stat.S_ISREG(status.st_mode):
        # Two modes only, so that one umask or another gives the same archive.
        mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
        entry.external_attr = (stat.S_IFREG | mode) << 16
        entry.file_size = status.st_size
        with path.open("rb") as source, archive.open(entry, "w") as target:
            copied = 0
            while block := source.read(_BLOCK):
                copied += target.write(block)
        if copied != status.st_size:
            raise HostRefused("the file changed while it was archived", where=str(path))
    else:
        raise MalformedFile("neither a file, a folder nor a symlink", where=str(path))


def demand_members(
    archive: Path, members: Mapping[str, Path], name: str, *, without: frozenset[str] = frozenset()
) -> None:
    """VerificationError unless the archive holds exactly these trees, byte for byte, with their modes and links.

    `without`: names in the archive of files that came into the trees only after it was made.
    """
    for entry, path in members.items():
        if not os.path.lexists(path):
            raise VerificationError(f"{entry} is in the archive or on disk, not in both", where=name)
    expected = {
        f"{entry}/" if path.is_dir() and not path.is_symlink() else entry: path
        for entry, path in _entries(members)
        if entry not in without
    }
    try:
        with unpacking(archive), zipfile.ZipFile(archive) as opened:
            found = {entry.filename: entry for entry in opened.infolist()}
            if len(found) != len(opened.infolist()):
                raise VerificationError("holds two entries of one name", where=name)
            if any(entry.extra for entry in opened.infolist() if entry.file_size < zipfile.ZIP64_LIMIT):
                raise VerificationError(
                    "holds an entry with an extra field, which can give it another name", where=name
                )
            if difference := sorted(found.keys() ^ expected.keys()):
                raise VerificationError(f"{difference[0]} is in the archive or on disk, not in both", where=name)
            for entry, path in expected.items():
                if not _is_same(opened, found[entry], path):
                    raise VerificationError(f"{entry} differs from {path.name} on disk", where=name)
    except MalformedFile as error:
        raise VerificationError(error.message, where=name) from error


@contextmanager
def unpacking(path: Path) -> Iterator[None]:
    """Turns what zipfile and its decompressors stumble over in a damaged archive into MalformedFile."""
    try:
        yield
    except OSError as error:
        # bz2 has no other word for bad data; and an archive can send us to before its beginning.
        if error.errno not in (None, errno.EINVAL):
            raise refused(error, error.filename or path) from error
        raise MalformedFile(f"not an archive that can be read ({error})", where=str(path)) from error
    except _STUMBLES as error:
        told = str(error) or type(error).__name__
        raise MalformedFile(f"not an archive that can be read ({told})", where=str(path)) from error


def _is_same(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> bool:
    mode = entry.external_attr >> 16
    if entry.is_dir():
        return True
    if path.is_symlink():
        target = os.fsencode(path.readlink())
        return stat.S_ISLNK(mode) and entry.file_size == len(target) and archive.read(entry) == target
    if not stat.S_ISREG(mode) or bool(mode & stat.S_IXUSR) != bool(path.stat().st_mode & stat.S_IXUSR):
        return False
    with archive.open(entry) as inside, open_regular(path) as outside:
        while True:
            block = outside.read(_BLOCK)
            if inside.read(len(block) or 1) != block:
                return False
            if not block:
                return True
