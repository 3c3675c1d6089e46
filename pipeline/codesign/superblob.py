"""Blobs and SuperBlobs: the boxes that every part of a signature comes in (Security's `blob.h`, `superblob.h`).

A blob is `magic, length (of the whole), payload`; a SuperBlob's payload is an index of slots and the blobs themselves.
All numbers are big-endian. What is inside a blob is known to the module of that part.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from pipeline.errors import MalformedFile
from pipeline.macho.fields import unpack

_BLOB = struct.Struct(">2I")
_COUNT = struct.Struct(">I")
_INDEX = struct.Struct(">2I")

# A signature has some ten blobs; a hostile index must not make us slice a file into millions of pieces.
MOST_BLOBS = 64


class Magic(IntEnum):
    """What kind of blob it is (`cs_blobs.h`, CSMAGIC_*)."""

    REQUIREMENT = 0xFADE0C00
    REQUIREMENTS = 0xFADE0C01
    CODE_DIRECTORY = 0xFADE0C02
    LIBRARY_DEPENDENCIES = 0xFADE0C05
    EMBEDDED_SIGNATURE = 0xFADE0CC0
    DETACHED_SIGNATURE = 0xFADE0CC1
    WRAPPER = 0xFADE0B01
    ENTITLEMENTS = 0xFADE7171
    ENTITLEMENTS_DER = 0xFADE7172
    LAUNCH_CONSTRAINT = 0xFADE8181


class Slot(IntEnum):
    """Where a part stands: in the index of a SuperBlob, and (1 to 11) as a special slot of a CodeDirectory."""

    CODE_DIRECTORY = 0
    INFO_PLIST = 1
    REQUIREMENTS = 2
    CODE_RESOURCES = 3
    SLOT_LIST = 4
    ENTITLEMENTS = 5
    REP_SPECIFIC = 6
    ENTITLEMENTS_DER = 7
    LAUNCH_CONSTRAINT_SELF = 8
    LAUNCH_CONSTRAINT_PARENT = 9
    LAUNCH_CONSTRAINT_RESPONSIBLE = 10
    LIBRARY_CONSTRAINT = 11
    ALTERNATE_DIRECTORIES = 0x1000
    CMS = 0x10000
    IDENTIFICATION = 0x10001
    TICKET = 0x10002


MOST_ALTERNATES = 5
ALTERNATE_SLOTS = range(Slot.ALTERNATE_DIRECTORIES, Slot.ALTERNATE_DIRECTORIES + MOST_ALTERNATES)
CONSTRAINT_SLOTS = range(Slot.LAUNCH_CONSTRAINT_SELF, Slot.LIBRARY_CONSTRAINT + 1)

# The kind of blob that a slot holds.
SLOT_MAGIC: dict[int, Magic] = {
    Slot.CODE_DIRECTORY: Magic.CODE_DIRECTORY,
    Slot.REQUIREMENTS: Magic.REQUIREMENTS,
    Slot.SLOT_LIST: Magic.WRAPPER,
    Slot.ENTITLEMENTS: Magic.ENTITLEMENTS,
    Slot.ENTITLEMENTS_DER: Magic.ENTITLEMENTS_DER,
    Slot.LAUNCH_CONSTRAINT_SELF: Magic.LAUNCH_CONSTRAINT,
    Slot.LAUNCH_CONSTRAINT_PARENT: Magic.LAUNCH_CONSTRAINT,
    Slot.LAUNCH_CONSTRAINT_RESPONSIBLE: Magic.LAUNCH_CONSTRAINT,
    Slot.LIBRARY_CONSTRAINT: Magic.LAUNCH_CONSTRAINT,
    Slot.CMS: Magic.WRAPPER,
    **dict.fromkeys(ALTERNATE_SLOTS, Magic.CODE_DIRECTORY),
}

_SLOT_NAMES: dict[int, str] = {
    Slot.CODE_DIRECTORY: "CodeDirectory",
    Slot.INFO_PLIST: "Info.plist",
    Slot.REQUIREMENTS: "requirements",
    Slot.CODE_RESOURCES: "CodeResources",
    Slot.SLOT_LIST: "list of slots",
    Slot.ENTITLEMENTS: "entitlements",
    Slot.REP_SPECIFIC: "disk image header",
    Slot.ENTITLEMENTS_DER: "DER entitlements",
    Slot.LAUNCH_CONSTRAINT_SELF: "launch constraint (self)",
    Slot.LAUNCH_CONSTRAINT_PARENT: "launch constraint (parent)",
    Slot.LAUNCH_CONSTRAINT_RESPONSIBLE: "launch constraint (responsible)",
    Slot.LIBRARY_CONSTRAINT: "library constraint",
    Slot.CMS: "CMS signature",
    Slot.IDENTIFICATION: "identification",
    Slot.TICKET: "ticket",
}


def slot_name(slot: int) -> str:
    """The slot in words with its number, such as "entitlements (slot 5)"."""
    if slot in ALTERNATE_SLOTS:
        return f"alternate CodeDirectory (slot {slot:#x})"
    name = _SLOT_NAMES.get(slot)
    number = str(slot) if slot < 0x1000 else f"{slot:#x}"
    return f"{name} (slot {number})" if name else f"slot {number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """One entry of a SuperBlob: `data` is the whole blob with its header."""

    slot: int
    data: bytes

    @property
    def magic(self) -> int:
        return blob_magic(self.data)

    @property
    def hashed(self) -> bytes:
        """What its special slot is the hash of: the whole blob, but of a wrapper the content."""
        return self.data[_BLOB.size :] if self.magic == Magic.WRAPPER else self.data


def build_blob(magic: int, payload: bytes) -> bytes:
    """A blob around its payload."""
    return _BLOB.pack(magic, _BLOB.size + len(payload)) + payload


def parse_blob(data: bytes, magic: int) -> bytes:
    """The payload of a blob that must be of this kind and fill `data`; MalformedFile otherwise."""
    found, length = unpack(_BLOB, data, 0, "blob")
    if found != magic:
        raise MalformedFile(f"a blob of kind {found:#010x} where {magic:#010x} belongs")
    if length != len(data):
        raise MalformedFile(f"a blob that says {length} bytes in a place of {len(data)}")
    return data[_BLOB.size :]


def blob_magic(data: bytes) -> int:
    magic, _length = unpack(_BLOB, data, 0, "blob")
    return int(magic)


def blob_length(data: bytes) -> int:
    """What the header of a blob says its length is; `data` may be its beginning only."""
    _magic, length = unpack(_BLOB, data, 0, "blob")
    return int(length)


def build_slot_list(special: Iterable[int], directories: int) -> bytes:
    """What the blob in slot 4 holds: all slots of a signature, itself included, with so many CodeDirectories.

    Source: Security `signer.cpp` and `StaticCode.cpp` (validateTopDirectory).
    """
    alternates = ALTERNATE_SLOTS[: directories - 1]
    slots = [Slot.CODE_DIRECTORY, *sorted({*special, Slot.SLOT_LIST}), *alternates, Slot.CMS]
    return b"".join(map(_COUNT.pack, slots))


def build_superblob(blobs: Iterable[Blob], magic: int = Magic.EMBEDDED_SIGNATURE) -> bytes:
    """A SuperBlob: index and blobs in ascending order of their slots, packed without padding."""
    ordered = sorted(blobs, key=lambda blob: blob.slot)
    offset = _BLOB.size + _COUNT.size + len(ordered) * _INDEX.size
    index = b""
    for blob in ordered:
        index += _INDEX.pack(blob.slot, offset)
        offset += len(blob.data)
    payload = b"".join((_COUNT.pack(len(ordered)), index, *(blob.data for blob in ordered)))
    return build_blob(magic, payload)


def parse_superblob(data: bytes, magic: int = Magic.EMBEDDED_SIGNATURE, *, unused: bool = False) -> tuple[Blob, ...]:
    """The blobs of a SuperBlob, in the order of its index.

    `unused` allows entries without a blob, whose offset is 0: the linker writes them for libraries without a signature.

    `data` is exactly the SuperBlob. Raises MalformedFile where blobs overlap or bytes that belong to none are not zero:
    codesign leaves no such bytes, LLVM's linker aligns the first blob, and nothing else covers them.
    """
    payload = parse_blob(data, magic)
    (count,) = unpack(_COUNT, payload, 0, "SuperBlob count")
    if count > MOST_BLOBS:
        raise MalformedFile(f"a SuperBlob of {count} blobs: more than any real one has")
    start = _BLOB.size + _COUNT.size
    entries = [unpack(_INDEX, data, start + number * _INDEX.size, "SuperBlob index") for number in range(count)]
    blobs: list[Blob] = []
    places: list[tuple[int, int]] = []
    for slot, offset in entries:
        if unused and offset == 0:
            continue
        _magic, length = unpack(_BLOB, data, offset, slot_name(slot))
        if length < _BLOB.size or offset + length > len(data):
            raise MalformedFile(f"{slot_name(slot)}: {length} bytes at {offset:#x} end past the SuperBlob")
        places.append((offset, offset + length))
        blobs.append(Blob(slot=slot, data=data[offset : offset + length]))
    end = start + count * _INDEX.size
    for offset, blob_end in sorted(places):
        if offset < end:
            raise MalformedFile(f"what is at {offset:#x} of the SuperBlob overlaps what ends at {end:#x}")
        if any(data[end:offset]):
            raise MalformedFile(
                f"the bytes {end:#x} to {offset:#x} of the SuperBlob belong to no blob and are not zero"
            )
        end = blob_end
    if end != len(data):
        raise MalformedFile(f"{len(data) - end} bytes of the SuperBlob lie behind its last blob")
    if len({slot for slot, _offset in entries}) != count:
        raise MalformedFile("a slot stands twice in the SuperBlob")
    return tuple(blobs)
