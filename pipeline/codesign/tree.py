"""What a bundle is to the engine: a `Tree` of named entries, listed, hashed and read by somebody else.

Paths are relative to the tree's root, with "/" between names; "" is the root. Names are as the file system gives them:
bytes that are no UTF-8 come as surrogates (PEP 383) and are refused where a seal would have to name them. A folder on
disk is `pipeline.disk`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from pipeline.macho import Source


class EntryKind(Enum):
    FILE = "file"
    LINK = "symbolic link"
    FOLDER = "folder"
    OTHER = "neither file, folder nor link"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One name in a folder; a link is never followed."""

    name: str
    kind: EntryKind
    executable: bool = False
    """Has a file any permission to be executed?"""


class Tree(Protocol):
    def entries(self, folder: str) -> Sequence[Entry]:
        """What a folder holds, in any order; nothing where there is no such folder, or a link leads to it."""
        ...

    def entry(self, path: str) -> Entry | None:
        """The entry of this path, None where there is none; a link on the way to it is not followed."""
        ...

    def link(self, path: str) -> str:
        """The text of a symbolic link."""
        ...

    def open(self, path: str) -> AbstractContextManager[Source]:
        """The content of a file. MalformedFile where it is none."""
        ...

    def digests(self, paths: Sequence[str], algorithms: Sequence[str]) -> Iterator[Mapping[str, bytes]]:
        """The hashes of whole files by hashlib's names, in the order of `paths`."""
        ...

    def attributes(self, path: str) -> Sequence[str]:
        """The names of the extended attributes of a file, folder or link, such as `com.apple.FinderInfo`."""
        ...


def join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def shown(path: str) -> str:
    """A path for a message: bytes that are no UTF-8 as escapes."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def parent(path: str) -> str:
    return path.rpartition("/")[0]


def name_of(path: str) -> str:
    return path.rpartition("/")[2]
