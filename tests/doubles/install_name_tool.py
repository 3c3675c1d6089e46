"""install_name_tool(1) of cctools: other names for libraries, in a thin file and in the room that the old names have.

A linker's own signature it makes anew; of every other one it only warns that the change makes it invalid.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from doubles.bench import Job

_MAGIC_64 = 0xFEEDFACF
_ID, _LOADS, _SIGNATURE = 0xD, (0xC, 0x80000018, 0x8000001F, 0x20, 0x80000023), 0x1D
_CODE_DIRECTORY = 0xFADE0C02
_LINKER_SIGNED = 0x20000


def act(job: Job) -> int:
    words = list(job.words)
    path = Path(words.pop()) if words else Path()
    changes: dict[str | None, str] = {}
    while words:
        if words[:1] == ["-change"] and len(words) > 2:
            changes[words[1]] = words[2]
            del words[:3]
        elif words[:1] == ["-id"] and len(words) > 1:
            changes[None] = words[1]
            del words[:2]
        else:
            break
    if words or not changes or not path.is_file():
        return _fatal(job, f"Usage: {sys.argv[0]} [-change old new] ... [-id name] input")
    data = bytearray(path.read_bytes())
    if struct.unpack_from("<I", data)[0] != _MAGIC_64:
        return _fatal(job, f"{path}: not a Mach-O file of one architecture")
    for at, command, size in _commands(data):
        if command != _ID and command not in _LOADS:
            continue
        (offset,) = struct.unpack_from("<I", data, at + 8)
        old = bytes(data[at + offset : at + size]).rstrip(b"\0").decode()
        new = changes.get(None if command == _ID else old)
        if new is None:
            continue
        room = size - offset
        if len(new.encode()) >= room:
            return _fatal(
                job,
                f"changing install names or rpaths can't be redone for: {path} (for architecture arm64) because larger "
                "updated load commands do not fit (the program must be relinked, and you may need to use -headerpad or "
                "-headerpad_max_install_names)",
            )
        data[at + offset : at + size] = new.encode().ljust(room, b"\0")
    _sign_again(job, data, path)
    path.write_bytes(data)
    return 0


def _commands(data: bytearray) -> Iterator[tuple[int, int, int]]:
    """Offset, kind and size of each load command."""
    (count,) = struct.unpack_from("<I", data, 16)
    at = 32
    for _ in range(count):
        command, size = struct.unpack_from("<II", data, at)
        yield at, command, size
        at += size


def _sign_again(job: Job, data: bytearray, path: Path) -> None:
    for at, command, _size in _commands(data):
        if command != _SIGNATURE:
            continue
        (begin,) = struct.unpack_from("<I", data, at + 8)
        (directory,) = struct.unpack_from(">I", data, begin + 16)
        if not _hash_pages(data, begin + directory):
            job.say(
                f"{sys.argv[0]}: warning: changes being made to the file will invalidate the code signature in: {path}"
            )


def _hash_pages(data: bytearray, at: int) -> bool:
    """Write the digests of a linker's CodeDirectory anew; is it one?"""
    magic, _length, _version, flags, hashes = struct.unpack_from(">IIIII", data, at)
    if magic != _CODE_DIRECTORY or not flags & _LINKER_SIGNED:
        return False
    count, limit, size, _kind, _platform, page = struct.unpack_from(">IIBBBB", data, at + 28)
    for number in range(count):
        block = data[number << page : min((number + 1) << page, limit)]
        data[at + hashes + number * size : at + hashes + (number + 1) * size] = hashlib.sha256(block).digest()[:size]
    return True


def _fatal(job: Job, words: str) -> int:
    job.say(f"error: {sys.argv[0]}: {words}")
    return 1
