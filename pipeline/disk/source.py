"""A file on disk as a Source: read in blocks, never mapped, never followed through a link, and watched for changes.

Large files are hashed in processes of their own (`hash_worker`), which open the path themselves: the pages that they
read are never this process's memory.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.disk import hash_worker
from pipeline.disk.contents import Content, Contents
from pipeline.disk.hash_worker import BLOCK, Changed
from pipeline.errors import ConfigurationError, MalformedFile, ReleaseError
from pipeline.host import Runner
from pipeline.host.files import refusals
from pipeline.macho.source import check_range

# Below this a process takes longer to start than the hashing does (1.5 GB/s of SHA-256 on a core of 2020).
WORTH_WORKERS = 64 * 1024 * 1024
_MOST_WORKERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """An open regular file; made by `open_source`. Every method raises MalformedFile if the file changes meanwhile."""

    path: Path
    descriptor: int = field(repr=False)
    mode: int
    identity: tuple[int, ...]
    """Device, inode, size and time of modification when it was opened."""
    content: Content | None = field(default=None, repr=False)
    """Where all that is hashed takes the whole file's SHA-256 further. This process alone then reads a large file."""

    @property
    def size(self) -> int:
        return self.identity[2]

    def read(self, offset: int, length: int) -> bytes:
        check_range(self.size, offset, length)
        with refusals(self.path):
            data = b""
            while len(data) < length:
                block = os.pread(self.descriptor, length - len(data), offset + len(data))
                if not block:
                    raise self._changed()
                data += block
        return data

    def digests(self, algorithms: Sequence[str], page_size: int, limit: int, start: int = 0) -> dict[str, list[bytes]]:
        check_range(self.size, start, limit - start)
        if page_size > BLOCK or page_size < 0:
            raise MalformedFile(f"a page size of {page_size}")
        if not page_size:
            whole = self._whole(algorithms, start, limit)
            return {name: [digest] for name, digest in zip(algorithms, whole, strict=True)}
        if self.content is not None:
            hashes = self._in_passing(self.content, algorithms, page_size, start, limit)
        elif limit - start >= WORTH_WORKERS:
            hashes = self._in_workers(algorithms, page_size, start, limit)
        else:
            with self._watched():
                hashes = hash_worker.page_hashes(self.descriptor, algorithms, page_size, start, limit)
        self.check_unchanged()
        return {
            name: [joined[at : at + size] for at in range(0, len(joined), size)]
            for name, joined in zip(algorithms, hashes, strict=True)
            for size in (hashlib.new(name, usedforsecurity=False).digest_size,)
        }

    def check_unchanged(self) -> None:
        """MalformedFile if the file is no longer the one that was opened."""
        if hash_worker.identity(os.fstat(self.descriptor)) != self.identity:
            raise self._changed()

    def _whole(self, algorithms: Sequence[str], start: int, limit: int) -> list[bytes]:
        content = (self.content if (start, limit) == (0, self.size) else None) or Content(at=start)
        hashers = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms if name != "sha256"}
        with self._watched():
            for at, block in hash_worker.blocks(self.descriptor, start if hashers else content.at, limit):
                for hasher in hashers.values():
                    hasher.update(block)
                content.take(at, block)
        self.check_unchanged()
        return [(hashers.get(name) or content).digest() for name in algorithms]

    def _in_passing(
        self, content: Content, algorithms: Sequence[str], page_size: int, start: int, limit: int
    ) -> list[bytes]:
        """Pages and the whole file from the same blocks, side by side: both let go of the interpreter's lock."""
        pages = hash_worker.PageHashes(algorithms, page_size)
        step = BLOCK // page_size * page_size
        with self._watched(), ThreadPoolExecutor(max_workers=1) as pool:
            for at, block in hash_worker.blocks(self.descriptor, content.at, start):
                content.take(at, block)
            for at, block in hash_worker.blocks(self.descriptor, start, limit, step):
                taken = pool.submit(content.take, at, block)
                pages.add(block)
                taken.result()
        return [bytes(joined) for joined in pages.joined]

    @contextmanager
    def _watched(self) -> Iterator[None]:
        with refusals(self.path):
            try:
                yield
            except Changed:
                raise self._changed() from None

    def _in_workers(self, algorithms: Sequence[str], page_size: int, start: int, limit: int) -> list[bytes]:
        count = min(os.cpu_count() or 1, _MOST_WORKERS)
        pages = -(-(limit - start) // page_size)
        share = -(-pages // count) * page_size
        ranges = [(at, min(at + share, limit)) for at in range(start, limit, share)]
        with ThreadPoolExecutor(max_workers=count) as pool:
            results = list(pool.map(lambda one: self._worker(algorithms, page_size, *one), ranges))
        return [b"".join(result[number] for result in results) for number in range(len(algorithms))]

    def _worker(self, algorithms: Sequence[str], page_size: int, start: int, limit: int) -> list[bytes]:
        where = [self.path.absolute(), *self.identity, page_size, start, limit]
        # -I -S: the worker needs the standard library alone, and nothing of the user's environment.
        argv = [sys.executable, "-I", "-S", hash_worker.__file__, *map(str, where), *algorithms]
        done = Runner().run(argv)
        if done.returncode == hash_worker.CHANGED:
            raise self._changed()
        if done.returncode != 0:
            raise ReleaseError(f"hashing failed: {done.last_lines(3)}", where=str(self.path))
        pages = -(-(limit - start) // page_size)
        sizes = [pages * hashlib.new(name, usedforsecurity=False).digest_size for name in algorithms]
        if len(done.stdout) != sum(sizes):
            raise ReleaseError("hashing failed: its result is incomplete", where=str(self.path))
        ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
        return [done.stdout[end - size : end] for size, end in zip(sizes, ends, strict=True)]

    def _changed(self) -> MalformedFile:
        return MalformedFile("it changed while it was read", where=str(self.path))


@contextmanager
def open_source(path: Path, contents: Contents | None = None) -> Iterator[FileSource]:
    """Open a regular file for reading; with `contents`, what is hashed of it goes into its SHA-256 there, too.

    Raises ConfigurationError where there is none, MalformedFile for a folder, a symbolic link, a fifo or a device (none
    is waited for or followed), HostRefused where it may not be read.
    """
    with refusals(path):
        try:
            state = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigurationError("no such file", where=str(path)) from None
        if not stat.S_ISREG(state.st_mode):
            raise MalformedFile(f"{_kind(state.st_mode)}, not a file", where=str(path))
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise MalformedFile(f"{_kind(state.st_mode)}, not a file", where=str(path))
        identity = hash_worker.identity(state)
        yield FileSource(
            path=path,
            descriptor=descriptor,
            mode=stat.S_IMODE(state.st_mode),
            identity=identity,
            content=contents.of(identity) if contents is not None else None,
        )
    finally:
        os.close(descriptor)


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a fifo"
    return "a device or socket"
