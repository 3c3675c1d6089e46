"""The ticket of a disk image: slot 0x10002 of the signature that stands before the image's trailer.

The trailer is the last 512 bytes ("koly", big-endian, UDIF version 4); it says where the signature is, and that ends
exactly where the trailer begins (Apple's Security, diskimagerep.cpp). The signature covers the trailer with its length
field blanked, so a longer signature changes no hash.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import MalformedFile
from pipeline.host import Files
from pipeline.host.files import refusals

_TRAILER_SIZE = 512
_TRAILER = struct.Struct(">4sI")
_MAGIC = b"koly"
_VERSION = 4
_SIGNATURE_AT = 296
_SIGNATURE = struct.Struct(">QQ")
_SUPERBLOB = struct.Struct(">III")
_SUPERBLOB_MAGIC = 0xFADE0CC0
_INDEX = struct.Struct(">II")
_BLOB = struct.Struct(">II")
_WRAPPER_MAGIC = 0xFADE0B01
_TICKET_SLOT = 0x10002
# A signature of an image has one short code directory, a CMS of 18,000 bytes at most and a ticket.
_LARGEST_SIGNATURE = 16 * 1024 * 1024
_MOST_BLOBS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    signature_at: int
    slots: tuple[tuple[int, bytes], ...]
    """Slot numbers with their blobs, headers included, in the order of the file."""
    trailer: bytes


def is_image(stream: BinaryIO) -> bool:
    if stream.seek(0, os.SEEK_END) < _TRAILER_SIZE:
        return False
    stream.seek(-_TRAILER_SIZE, os.SEEK_END)
    return _TRAILER.unpack(stream.read(_TRAILER.size)) == (_MAGIC, _VERSION)


def read_image_ticket(stream: BinaryIO, where: str) -> bytes | None:
    """The ticket in a disk image's signature; None where the image is unsigned or has none."""
    image = _read(stream, where)
    ticket = dict(image.slots).get(_TICKET_SLOT)
    if ticket is None:
        return None
    if _BLOB.unpack_from(ticket)[0] != _WRAPPER_MAGIC:
        raise MalformedFile("the ticket's slot holds another kind of blob", where=where)
    return ticket[_BLOB.size :]


def staple_image(files: Files, image: Path, output: Path, ticket: bytes) -> None:
    """A copy of a signed disk image with this ticket, in place of one that it has.

    The ticket is not judged here. Raises MalformedFile where `image` is not a signed disk image.
    """
    with refusals(image), image.open("rb") as stream:
        if not is_image(stream):
            raise MalformedFile("not a disk image", where=str(image))
        parts = _read(stream, str(image))
    if not parts.slots:
        raise MalformedFile("the disk image is not signed", where=str(image), remedy="sign it, then notarize it")
    wrapped = _BLOB.pack(_WRAPPER_MAGIC, _BLOB.size + len(ticket)) + ticket
    kept = [(slot, blob) for slot, blob in parts.slots if slot != _TICKET_SLOT]
    signature = _superblob(sorted([*kept, (_TICKET_SLOT, wrapped)]))
    trailer = bytearray(parts.trailer)
    _SIGNATURE.pack_into(trailer, _SIGNATURE_AT, parts.signature_at, len(signature))
    temporary = output.with_name(f".{output.name}.{os.getpid()}.stapled")
    try:
        files.copy(image, temporary)
        with refusals(temporary):
            os.truncate(temporary, parts.signature_at)
        files.append(temporary, signature + bytes(trailer))
        files.move(temporary, output)
    finally:
        files.remove(temporary)


def _read(stream: BinaryIO, where: str) -> _Image:
    trailer_at = stream.seek(0, os.SEEK_END) - _TRAILER_SIZE
    stream.seek(trailer_at)
    trailer = stream.read(_TRAILER_SIZE)
    offset, length = _SIGNATURE.unpack_from(trailer, _SIGNATURE_AT)
    if offset == 0:
        return _Image(signature_at=trailer_at, slots=(), trailer=trailer)
    if offset + length != trailer_at or not _SUPERBLOB.size <= length <= _LARGEST_SIGNATURE:
        raise MalformedFile("the disk image's signature does not end where its trailer begins", where=where)
    stream.seek(offset)
    return _Image(signature_at=offset, slots=_slots(stream.read(length), where), trailer=trailer)


def _slots(signature: bytes, where: str) -> tuple[tuple[int, bytes], ...]:
    magic, length, count = _SUPERBLOB.unpack_from(signature)
    if magic != _SUPERBLOB_MAGIC or length != len(signature) or count > _MOST_BLOBS:
        raise MalformedFile("the disk image's signature is broken", where=where)
    slots = []
    for number in range(count):
        at = _SUPERBLOB.size + number * _INDEX.size
        if at + _INDEX.size > length:
            raise MalformedFile("the index of the disk image's signature is cut short", where=where)
        slot, offset = _INDEX.unpack_from(signature, at)
        if offset + _BLOB.size > length:
            raise MalformedFile(f"slot {slot:#x} begins behind the disk image's signature", where=where)
        _, size = _BLOB.unpack_from(signature, offset)
        if size < _BLOB.size or offset + size > length:
            raise MalformedFile(f"slot {slot:#x} runs past the disk image's signature", where=where)
        slots.append((slot, signature[offset : offset + size]))
    return tuple(slots)


def _superblob(slots: list[tuple[int, bytes]]) -> bytes:
    offset = _SUPERBLOB.size + len(slots) * _INDEX.size
    index, blobs = b"", b""
    for slot, blob in slots:
        index += _INDEX.pack(slot, offset + len(blobs))
        blobs += blob
    return _SUPERBLOB.pack(_SUPERBLOB_MAGIC, offset + len(blobs), len(slots)) + index + blobs
