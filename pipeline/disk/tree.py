"""A folder on disk as the engine's Tree; nothing in it is reached through a symbolic link."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

from pipeline.codesign.tree import Entry, EntryKind, name_of, parent
from pipeline.disk.contents import Contents
from pipeline.disk.source import FileSource, open_source
from pipeline.host.files import refusals

_HASHERS = min(os.cpu_count() or 1, 4)
# Files that one thread takes at a time: more than one, since most have but a few kilobytes.
_CHUNK = 32
# Linux has the names of other systems' attributes in a space of its own.
_FOREIGN = "user."
_NOFOLLOW = 1
_LARGEST_NAMES = 64 * 1024
# No entry is called so. A path that a seal or an Info.plist gives may not lead out of the folder by them.
_NO_NAMES = (".", "..")


class FolderTree:
    """Raises HostRefused where the host does not let us look."""

    def __init__(self, folder: Path, contents: Contents | None = None) -> None:
        """What is hashed of its files goes into `contents`, too."""
        self._folder = folder
        self._contents = contents
        self._known: set[str] = set()

    def entries(self, folder: str) -> Sequence[Entry]:
        if not self._is_folder(folder):
            return ()
        place = self._folder / folder
        with refusals(place), os.scandir(place) as found:
            return [_entry(one.name, one.stat(follow_symlinks=False)) for one in found]

    def entry(self, path: str) -> Entry | None:
        if name_of(path) in _NO_NAMES or not self._is_folder(parent(path)):
            return None
        with refusals(self._folder / path):
            try:
                return _entry(name_of(path), (self._folder / path).lstat())
            except FileNotFoundError:
                return None

    def link(self, path: str) -> str:
        with refusals(self._folder / path):
            return os.readlink(self._folder / path)  # noqa: PTH115 - Path would rewrite the text that is sealed

    def open(self, path: str) -> AbstractContextManager[FileSource]:
        return open_source(self._folder / path, self._contents)

    def digests(self, paths: Sequence[str], algorithms: Sequence[str]) -> Iterator[Mapping[str, bytes]]:
        with ThreadPoolExecutor(max_workers=_HASHERS) as pool:
            chunks = [paths[at : at + _CHUNK] for at in range(0, len(paths), _CHUNK)]
            for hashed in pool.map(lambda chunk: [self._digest(path, algorithms) for path in chunk], chunks):
                yield from hashed

    def attributes(self, path: str) -> Sequence[str]:
        place = self._folder / path
        with refusals(place):
            try:
                names = (
                    _darwin_attributes(place)
                    if sys.platform == "darwin"
                    else os.listxattr(place, follow_symlinks=False)
                )
            except OSError as error:
                # A file system without attributes, or a link, which has none on Linux.
                if error.errno in (errno.ENOTSUP, errno.EPERM):
                    return ()
                raise
        return tuple(name.removeprefix(_FOREIGN) for name in names)

    def _digest(self, path: str, algorithms: Sequence[str]) -> Mapping[str, bytes]:
        with self.open(path) as source:
            return {name: found for name, (found,) in source.digests(algorithms, 0, source.size).items()}

    def _is_folder(self, folder: str) -> bool:
        """Is this a folder, and every one above it, none of them a link?"""
        if not folder or folder in self._known:
            return True
        if name_of(folder) in _NO_NAMES or not self._is_folder(parent(folder)):
            return False
        try:
            state = (self._folder / folder).lstat()
        except OSError:
            return False
        if not stat.S_ISDIR(state.st_mode):
            return False
        self._known.add(folder)
        return True


def _entry(name: str, state: os.stat_result) -> Entry:
    mode = state.st_mode
    if stat.S_ISLNK(mode):
        kind = EntryKind.LINK
    elif stat.S_ISDIR(mode):
        kind = EntryKind.FOLDER
    else:
        kind = EntryKind.FILE if stat.S_ISREG(mode) else EntryKind.OTHER
    return Entry(name=name, kind=kind, executable=bool(mode & 0o111))


def _darwin_attributes(path: Path) -> Sequence[str]:
    """listxattr(2): Python has it for Linux alone."""
    library = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(_LARGEST_NAMES)
    length = library.listxattr(os.fsencode(path), buffer, _LARGEST_NAMES, _NOFOLLOW)
    if length < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(path))
    return [os.fsdecode(name) for name in buffer.raw[:length].split(b"\0") if name]
