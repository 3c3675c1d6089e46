"""Where bytes come from: a `Source` is read in pieces and hashed page by page, so that no image is ever held whole.

A file on disk is a Source of `pipeline.disk`; here are the protocol, a Source over bytes, and a part of another Source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.errors import MalformedFile

# What may be read into memory at once of a part that has no smaller limit of its own (an embedded Info.plist, a CMS).
LARGEST_READ = 16 * 1024 * 1024
_BLOCK = 1024 * 1024


class Source(Protocol):
    """Bytes of a known size. Its size never changes while it is used."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`; MalformedFile where the source ends before."""
        ...

    def digests(self, algorithms: Sequence[str], page_size: int, limit: int, start: int = 0) -> dict[str, list[bytes]]:
        """Hashes of the pages of bytes [start, limit), for every algorithm (names of hashlib) in one pass.

        The first page begins at `start`; the last is hashed as short as it is. A page size of 0 makes one page.
        """
        ...


Part = bytes | Source
"""A piece of a file to be written: bytes that are new, or bytes that are taken from elsewhere."""


def size_of(part: Part) -> int:
    return len(part) if isinstance(part, bytes) else part.size


@dataclass(frozen=True, slots=True)
class BytesSource:
    """A Source over bytes in memory, for what is small."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        check_range(self.size, offset, length)
        return self.data[offset : offset + length]

    def digests(self, algorithms: Sequence[str], page_size: int, limit: int, start: int = 0) -> dict[str, list[bytes]]:
        check_range(self.size, start, limit - start)
        step = page_size or max(limit - start, 1)
        pages = [self.data[at : min(at + step, limit)] for at in range(start, limit, step)]
        if not page_size and not pages:
            pages = [b""]
        return {
            name: [hashlib.new(name, page, usedforsecurity=False).digest() for page in pages] for name in algorithms
        }


@dataclass(frozen=True, slots=True)
class Window:
    """The bytes [offset, offset + size) of another Source. A window of a window looks through to the source below."""

    base: Source
    offset: int
    size: int

    def __post_init__(self) -> None:
        check_range(self.base.size, self.offset, self.size)
        if isinstance(self.base, Window):
            object.__setattr__(self, "offset", self.base.offset + self.offset)
            object.__setattr__(self, "base", self.base.base)

    def read(self, offset: int, length: int) -> bytes:
        check_range(self.size, offset, length)
        return self.base.read(self.offset + offset, length)

    def digests(self, algorithms: Sequence[str], page_size: int, limit: int, start: int = 0) -> dict[str, list[bytes]]:
        check_range(self.size, start, limit - start)
        return self.base.digests(algorithms, page_size, self.offset + limit, self.offset + start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """Another source with a new beginning and zeros behind it: `head`, then bytes [len(head), kept) of `base`, zeros.

    Hashing it is one pass over the base; only pages that the head or the zeros touch are hashed again.
    """

    base: Source
    head: bytes
    kept: int
    size: int

    def __post_init__(self) -> None:
        check_range(self.base.size, 0, self.kept)
        check_range(self.kept, 0, len(self.head))
        check_range(self.size, 0, self.kept)

    def read(self, offset: int, length: int) -> bytes:
        check_range(self.size, offset, length)
        end = offset + length
        start, stop = max(offset, len(self.head)), min(end, self.kept)
        middle = self.base.read(start, stop - start) if stop > start else b""
        return (self.head[offset:end] + middle).ljust(length, b"\0")

    def digests(self, algorithms: Sequence[str], page_size: int, limit: int, start: int = 0) -> dict[str, list[bytes]]:
        check_range(self.size, start, limit - start)
        if not page_size or start:
            raise NotImplementedError("an overlay is hashed in pages, from its start")
        kept = min(self.kept, limit)
        found = self.base.digests(algorithms, page_size, kept)
        changed = [(0, min(-(-len(self.head) // page_size) * page_size, limit))]
        if limit > kept:
            changed.append((kept // page_size * page_size, limit))
        for first, end in changed:
            fresh = BytesSource(self.read(first, end - first)).digests(algorithms, page_size, end - first)
            for name, hashes in fresh.items():
                found[name][first // page_size : first // page_size + len(hashes)] = hashes
        return found

    @property
    def parts(self) -> tuple[Part, ...]:
        """The same bytes, to be written in order."""
        middle = Window(self.base, len(self.head), self.kept - len(self.head))
        return (self.head, middle, bytes(self.size - self.kept))


def check_range(size: int, offset: int, length: int) -> None:
    """MalformedFile unless [offset, offset + length) lies within `size` bytes."""
    if offset < 0 or length < 0 or offset + length > size:
        raise MalformedFile(f"bytes {offset:#x}+{length:#x} are not in the file, which has {size:#x}")


def read_all(source: Source, limit: int = LARGEST_READ) -> bytes:
    """A small source whole; MalformedFile if it has more than `limit` bytes."""
    if source.size > limit:
        raise MalformedFile(f"{source.size} bytes where no more than {limit} are expected")
    return source.read(0, source.size)


def first_nonzero(source: Source, start: int, end: int) -> int | None:
    """The offset of the first byte in [start, end) that is not zero."""
    for at in range(start, end, _BLOCK):
        block = source.read(at, min(_BLOCK, end - at))
        if block.count(0) != len(block):
            return at + len(block) - len(block.lstrip(b"\0"))
    return None
