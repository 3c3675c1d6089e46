"""Applies a plan: parts in order make a new file, copied within the kernel, durable before it has a name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pipeline.disk.hash_worker import BLOCK
from pipeline.disk.source import FileSource
from pipeline.host import Files
from pipeline.macho import Part, Source, Window


def write_parts(files: Files, parts: Iterable[Part], output: Path, mode: int) -> None:
    """Write a new file of these parts; what stood there is replaced by one rename, and is whole until then.

    Raises HostRefused where the host says no, MalformedFile if a file that is read from changes meanwhile.
    """
    with files.create(output, mode) as stream:
        # The stream's own buffer is never used: parts go to its descriptor.
        target = stream.fileno()
        read_from: list[FileSource] = []
        for part in parts:
            if isinstance(part, bytes):
                _write(target, part)
                continue
            base, start = (part.base, part.offset) if isinstance(part, Window) else (part, 0)
            if isinstance(base, FileSource):
                read_from.append(base)
                _copy(base, start, part.size, target)
            else:
                _write_blocks(target, base, start, part.size)
        for source in read_from:
            source.check_unchanged()


def _copy(source: FileSource, start: int, length: int, target: int) -> None:
    """Copy within the kernel (a clone where the file system shares blocks); what it will not do, block by block."""
    copied = 0
    while copied < length and hasattr(os, "copy_file_range"):
        try:
            count = os.copy_file_range(source.descriptor, target, length - copied, start + copied)
        except OSError:
            break
        if not count:
            break
        copied += count
    _write_blocks(target, source, start + copied, length - copied)


def _write_blocks(target: int, source: Source, start: int, length: int) -> None:
    for at in range(start, start + length, BLOCK):
        _write(target, source.read(at, min(BLOCK, start + length - at)))


def _write(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]
