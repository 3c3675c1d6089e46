"""Hashes of a file's pages: a function, and the program that runs it in a process of its own.

The program is started by its path with the standard library alone, so nothing of this project is imported here. Its
arguments are a path, the file's identity (device, inode, size, time of modification), page size, start, limit and the
algorithms; it prints the hashes of all pages under the first algorithm, then those under the next.
"""

import hashlib
import os
import sys
from collections.abc import Sequence

BLOCK = 1024 * 1024
# The exit status that says the file is not the one that was asked for.
CHANGED = 3


class Changed(Exception):
    """The file ended before it should have."""


def identity(state: os.stat_result) -> tuple[int, ...]:
    """What tells one state of a file from another."""
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)


def page_hashes(descriptor: int, algorithms: Sequence[str], page_size: int, start: int, limit: int) -> list[bytes]:
    """For each algorithm the hashes of the pages of bytes [start, limit), joined. `page_size` is at most BLOCK."""
    results = [bytearray() for _ in algorithms]
    hashers = [hashlib.new(name, usedforsecurity=False) for name in algorithms]
    step = BLOCK // page_size * page_size
    buffer = bytearray(min(step, limit - start))
    view = memoryview(buffer)
    for at in range(start, limit, step):
        length = min(step, limit - at)
        filled = 0
        while filled < length:
            count = os.preadv(descriptor, [view[filled:length]], at + filled)
            if not count:
                raise Changed
            filled += count
        for page in range(0, length, page_size):
            piece = view[page : min(page + page_size, length)]
            for result, empty in zip(results, hashers, strict=True):
                hasher = empty.copy()
                hasher.update(piece)
                result += hasher.digest()
    return [bytes(result) for result in results]


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
