"""Hashes of a file's pages: a function, and the program that runs it in a process of its own.

The program is started by its path with the standard library alone, so nothing of this project is imported here. Its
arguments are a path, the file's identity (device, inode, size, time of modification), page size, start, limit and the
algorithms; it prints the hashes of all pages under the first algorithm, then those under the next.
"""

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence

BLOCK = 1024 * 1024
# The exit status that says the file is not the one that was asked for.
CHANGED = 3


class Changed(Exception):
    """The file ended before it should have."""


def identity(state: os.stat_result) -> tuple[int, ...]:
    """What tells one state of a file from another."""
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)


def blocks(descriptor: int, start: int, limit: int, step: int = BLOCK) -> Iterator[tuple[int, memoryview]]:
    """Bytes [start, limit) in order, `step` at a time: where each block begins, and a view that the next one reuses."""
    buffer = memoryview(bytearray(max(0, min(step, limit - start))))
    for at in range(start, limit, step):
        block = buffer[: min(step, limit - at)]
        filled = 0
        while filled < len(block):
            count = os.preadv(descriptor, [block[filled:]], at + filled)
            if not count:
                raise Changed
            filled += count
        yield at, block


class PageHashes:
    """Hashes of pages under several algorithms, block by block; every block but the last holds whole pages."""

    def __init__(self, algorithms: Sequence[str], page_size: int) -> None:
        self._page_size = page_size
        self._empty = [hashlib.new(name, usedforsecurity=False) for name in algorithms]
        self.joined = [bytearray() for _ in algorithms]
        """For each algorithm the hashes of all pages so far."""

    def add(self, block: memoryview) -> None:
        for page in range(0, len(block), self._page_size):
            piece = block[page : page + self._page_size]
            for joined, empty in zip(self.joined, self._empty, strict=True):
                hasher = empty.copy()
                hasher.update(piece)
                joined += hasher.digest()


def page_hashes(descriptor: int, algorithms: Sequence[str], page_size: int, start: int, limit: int) -> list[bytes]:
    """For each algorithm the hashes of the pages of bytes [start, limit), joined. `page_size` is at most BLOCK."""
    hashes = PageHashes(algorithms, page_size)
    for _, block in blocks(descriptor, start, limit, BLOCK // page_size * page_size):
        hashes.add(block)
    return [bytes(joined) for joined in hashes.joined]


def main(arguments: list[str]) -> int:
    path = arguments[0]
    expected = tuple(map(int, arguments[1:5]))
    page_size, start, limit = map(int, arguments[5:8])
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if identity(os.fstat(descriptor)) != expected:
        return CHANGED
    try:
        hashes = page_hashes(descriptor, arguments[8:], page_size, start, limit)
    except Changed:
        return CHANGED
    if identity(os.fstat(descriptor)) != expected:
        return CHANGED
    for joined in hashes:
        sys.stdout.buffer.write(joined)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
