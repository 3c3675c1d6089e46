"""The ticket of a flat installer package: records behind the XAR archive, read from the file's end.

A record is data followed by a trailer of 16 bytes, little-endian (Apple's Security, notarization.cpp; seen in published
packages): "t8lr" · u16 version · u16 type · u32 length of the data · 4 zero bytes. The first one in the file is a
terminator without data.
"""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import MalformedFile
from pipeline.host import Files
from pipeline.host.files import refusals
from pipeline.tickets.s8ch import LARGEST_TICKET, HashType, TicketHash

_XAR_MAGIC = b"xar!"
_XAR_HEADER = struct.Struct(">4sHHQQI")
_CHECKSUMS = {1: ("sha1", HashType.SHA1), 3: ("sha256", HashType.SHA256)}
# The table of contents of a package with a million files.
_LARGEST_TABLE = 256 * 1024 * 1024
_TRAILER = struct.Struct("<4sHHII")
_MAGIC = b"t8lr"
_VERSION = 1
_TERMINATOR = 1
_TICKET = 2
# Apple's tools write two; a file of nothing but records is not walked for ever.
_MOST_RECORDS = 64


def is_package(stream: BinaryIO) -> bool:
    stream.seek(0)
    return stream.read(len(_XAR_MAGIC)) == _XAR_MAGIC


def read_package_ticket(stream: BinaryIO, where: str) -> bytes | None:
    """The ticket in the records of a flat package, None where it has none; MalformedFile where they are broken."""
    ticket, _ = _walk(stream, where)
    return ticket


def package_hashes(stream: BinaryIO, where: str) -> tuple[TicketHash, ...]:
    """The checksum of a flat package's table of contents, by which a ticket names it.

    It is that of the table as it is compressed (xar.h; recomputed for published packages), cut to 20 bytes.
    """
    stream.seek(0)
    try:
        _, header_size, _, length, _, algorithm = _XAR_HEADER.unpack(stream.read(_XAR_HEADER.size))
    except struct.error as error:
        raise MalformedFile("a flat package cut short", where=where) from error
    if algorithm not in _CHECKSUMS or length > _LARGEST_TABLE:
        raise MalformedFile(f"a flat package with checksums of kind {algorithm}, or too large a table", where=where)
    stream.seek(header_size)
    name, kind = _CHECKSUMS[algorithm]
    digest = hashlib.new(name, stream.read(length), usedforsecurity=False).hexdigest()
    return (TicketHash(type=kind, hash=digest[:40]),)


def staple_package(files: Files, package: Path, output: Path, ticket: bytes) -> None:
    """A copy of a flat package with this ticket; records that the package already has are replaced.

    The ticket is not judged here. Raises MalformedFile where `package` is not a flat package.
    """
    with refusals(package), package.open("rb") as stream:
        if not is_package(stream):
            raise MalformedFile("not a flat installer package", where=str(package))
        _, end = _walk(stream, str(package))
    records = _record(_TERMINATOR, b"") + _record(_TICKET, ticket)
    temporary = output.with_name(f".{output.name}.{os.getpid()}.stapled")
    try:
        files.copy(package, temporary)
        with refusals(temporary):
            os.truncate(temporary, end)
        files.append(temporary, records)
        files.move(temporary, output)
    finally:
        files.remove(temporary)


def _record(kind: int, data: bytes) -> bytes:
    return data + _TRAILER.pack(_MAGIC, _VERSION, kind, len(data), 0)


def _walk(stream: BinaryIO, where: str) -> tuple[bytes | None, int]:
    """The ticket among the records, and where the archive ends and the records begin."""
    position = size = stream.seek(0, os.SEEK_END)
    ticket = None
    for _ in range(_MOST_RECORDS):
        trailer_at = position - _TRAILER.size
        if trailer_at < 0:
            break
        stream.seek(trailer_at)
        magic, version, kind, length, _ = _TRAILER.unpack(stream.read(_TRAILER.size))
        if magic != _MAGIC:
            break
        if version != _VERSION or length > trailer_at:
            raise MalformedFile(f"a broken trailer record at byte {trailer_at}", where=where)
        position = trailer_at - length
        if kind == _TERMINATOR:
            return ticket, position
        if kind == _TICKET and ticket is None:
            if length > LARGEST_TICKET:
                raise MalformedFile(f"a ticket of {length} bytes", where=where)
            stream.seek(position)
            ticket = stream.read(length)
    if position != size:
        raise MalformedFile("trailer records without a terminator", where=where)
    return None, size
