"""The ticket of a disk image: slot 0x10002 of the signature that stands before the image's trailer.

The trailer is the last 512 bytes ("koly", big-endian, UDIF version 4); it says where the signature is, and that ends
exactly where the trailer begins (Apple's Security, diskimagerep.cpp). The signature covers the trailer with its length
field blanked, so a longer signature changes no hash. An image that is not signed gets a signature of the ticket alone.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.codesign.code_directory import (
    CodeDirectory,
    Flags,
    Version,
    build_code_directory,
    least_version,
    parse_code_directory,
)
from pipeline.codesign.code_directory import HashType as DirectoryHash
from pipeline.codesign.requirements import build_requirement_set
from pipeline.codesign.superblob import (
    ALTERNATE_SLOTS,
    Blob,
    Magic,
    Slot,
    build_blob,
    build_superblob,
    parse_blob,
    parse_superblob,
)
from pipeline.errors import MalformedFile
from pipeline.host import Files
from pipeline.host.files import refusals
from pipeline.tickets.s8ch import HashType, TicketHash

_TRAILER_SIZE = 512
_TRAILER = struct.Struct(">4sI")
_MAGIC = b"koly"
_VERSION = 4
_SIGNATURE_AT = 296
_SIGNATURE = struct.Struct(">QQ")
# A signature of an image has one short code directory, a CMS of 18,000 bytes at most and a ticket.
_LARGEST_SIGNATURE = 16 * 1024 * 1024
_BLOCK = 1024 * 1024
_TYPES = {DirectoryHash.SHA1: HashType.SHA1, DirectoryHash.SHA256: HashType.SHA256}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    signature_at: int
    blobs: tuple[Blob, ...]
    trailer: bytes


def is_image(stream: BinaryIO) -> bool:
    if stream.seek(0, os.SEEK_END) < _TRAILER_SIZE:
        return False
    stream.seek(-_TRAILER_SIZE, os.SEEK_END)
    return _TRAILER.unpack(stream.read(_TRAILER.size)) == (_MAGIC, _VERSION)


def read_image_ticket(stream: BinaryIO, where: str) -> bytes | None:
    """The ticket in a disk image's signature; None where the image is unsigned or has none."""
    blobs = {blob.slot: blob.data for blob in _read(stream, where).blobs}
    if Slot.TICKET not in blobs:
        return None
    try:
        return parse_blob(blobs[Slot.TICKET], Magic.WRAPPER)
    except MalformedFile as error:
        raise error.at(where) from None


def image_hashes(stream: BinaryIO, where: str) -> tuple[TicketHash, ...]:
    """The CDHash by which a ticket names a disk image, that of its strongest hash."""
    image = _read(stream, where)
    blobs = [blob for blob in image.blobs if blob.slot == Slot.CODE_DIRECTORY or blob.slot in ALTERNATE_SLOTS]
    directories = [parse_code_directory(blob.data) for blob in blobs] or [_temporary_directory(stream, image)]
    found = [
        TicketHash(type=_TYPES[directory.hash_type], hash=directory.cdhash.hex())
        for directory in directories
        if directory.hash_type in _TYPES
    ]
    return tuple(sorted(found, key=lambda one: one.type)[-1:])


def _temporary_directory(stream: BinaryIO, image: _Image) -> CodeDirectory:
    """The CodeDirectory of the ad-hoc signature that macOS makes for an unsigned image in passing, to know it by.

    Source: `policyengine.cpp` (temporarySigning); tickets of published images name its CDHash.
    """
    data = hashlib.sha256()
    stream.seek(0)
    for at in range(0, image.signature_at, _BLOCK):
        data.update(stream.read(min(_BLOCK, image.signature_at - at)))
    trailer = bytearray(image.trailer)
    _SIGNATURE.pack_into(trailer, _SIGNATURE_AT, image.signature_at, 0)
    special = [bytes(data.digest_size)] * Slot.REP_SPECIFIC
    special[Slot.REQUIREMENTS - 1] = DirectoryHash.SHA256.digest(build_requirement_set({}))
    special[Slot.REP_SPECIFIC - 1] = DirectoryHash.SHA256.digest(bytes(trailer))
    return build_code_directory(
        CodeDirectory(
            version=least_version(
                Version.RUNTIME, runtime=0, exec_segment_limit=0, code_limit=image.signature_at, team=None
            ),
            flags=Flags.ADHOC,
            identifier="ADHOC",
            hash_type=DirectoryHash.SHA256,
            page_size=0,
            code_limit=image.signature_at,
            special=tuple(special),
            code=data.digest(),
        )
    )


def staple_image(files: Files, image: Path, output: Path, ticket: bytes) -> None:
    """A copy of a disk image with this ticket, in place of one that it has.

    The ticket is not judged here. Raises MalformedFile where `image` is not a disk image.
    """
    with refusals(image), image.open("rb") as stream:
        if not is_image(stream):
            raise MalformedFile("not a disk image", where=str(image))
        parts = _read(stream, str(image))
    kept = [blob for blob in parts.blobs if blob.slot != Slot.TICKET]
    signature = build_superblob([*kept, Blob(slot=Slot.TICKET, data=build_blob(Magic.WRAPPER, ticket))])
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
        return _Image(signature_at=trailer_at, blobs=(), trailer=trailer)
    if offset + length != trailer_at or length > _LARGEST_SIGNATURE:
        raise MalformedFile("the disk image's signature does not end where its trailer begins", where=where)
    stream.seek(offset)
    try:
        return _Image(signature_at=offset, blobs=parse_superblob(stream.read(length)), trailer=trailer)
    except MalformedFile as error:
        raise error.at(where) from None
