"""One digest for a file or a whole tree: names, kinds, executable bits, link targets and contents."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pipeline.disk.contents import Contents
from pipeline.disk.source import open_source
from pipeline.errors import MalformedFile
from pipeline.host.files import refusals


def tree_digest(path: Path, exclude: frozenset[str] = frozenset(), contents: Contents | None = None) -> str:
    """SHA-256 in hex: of a file, its content's; of a folder, that of a line for each entry below it, sorted.

    `exclude` names entries relative to the folder, with forward slashes; a folder is left out with all it holds. Owners
    and times do not count. What `contents` knows already is not read. Raises MalformedFile for what is neither file,
    folder nor link.
    """
    with refusals(path):
        if not path.is_dir() or path.is_symlink():
            return _content(path, contents).hex()
        whole = hashlib.sha256()
        for entry in sorted(_entries(path, "", exclude, contents)):
            whole.update(b"%d:%s" % (len(entry), entry))
        return whole.hexdigest()


def _entries(folder: Path, prefix: str, exclude: frozenset[str], contents: Contents | None) -> Iterator[bytes]:
    with os.scandir(folder) as found:
        for entry in found:
            name = prefix + entry.name
            if name in exclude:
                continue
            mode = entry.stat(follow_symlinks=False).st_mode
            key = os.fsencode(name)
            if stat.S_ISLNK(mode):
                yield key + b"\0link\0" + os.fsencode(Path(entry.path).readlink())
            elif stat.S_ISDIR(mode):
                yield key + b"\0folder"
                yield from _entries(Path(entry.path), name + "/", exclude, contents)
            elif stat.S_ISREG(mode):
                kind = b"\0program\0" if mode & 0o111 else b"\0file\0"
                yield key + kind + _content(Path(entry.path), contents)
            else:
                raise MalformedFile("neither file, folder nor link", where=entry.path)


def _content(path: Path, contents: Contents | None) -> bytes:
    with open_source(path, contents) as source:
        return source.digests(["sha256"], 0, source.size)["sha256"][0]
