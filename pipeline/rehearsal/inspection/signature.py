"""An embedded signature: superblob, code directories, and every digest of them made anew.

Written from `cs_blobs.h` of Apple's xnu and `codedirectory.h` of its Security, with `struct` and `hashlib` alone.
Numbers in blobs are big-endian.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.rehearsal.inspection.findings import Broken
from pipeline.rehearsal.inspection.image import Slice

_SUPERBLOB, _DIRECTORY, _WRAPPER = 0xFADE_0CC0, 0xFADE_0C02, 0xFADE_0B01
_MOST_BLOBS = 64
_LARGEST_SIGNATURE = 64 * 1024 * 1024  # a SHA-256 for each page of 8 GB
# Index of a special slot; the same number is the slot of the blob whose digest it is, where there is a blob.
INFO_PLIST, REQUIREMENTS, RESOURCES, ENTITLEMENTS, ENTITLEMENTS_DER = 1, 2, 3, 5, 7
_LAST_SPECIAL = 11
_ALTERNATES = range(0x1000, 0x1005)
_CMS = 0x10000
_KNOWN = {0, *range(1, _LAST_SPECIAL + 1), *_ALTERNATES, _CMS}

ADHOC, RUNTIME = 0x2, 0x10000
SHA1 = 1
# hash type → algorithm, length in the directory; the strongest is the one that names the code
_DIGESTS = {1: ("sha1", 20), 2: ("sha256", 32), 3: ("sha256", 20), 4: ("sha384", 48)}
_STRENGTH = (1, 3, 2, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A CodeDirectory. `special` maps a slot to its digest; a slot of zeros is not in it."""

    blob: bytes
    version: int
    flags: int
    identifier: str
    team: str | None
    hash_type: int
    page: int
    code_limit: int
    pages: tuple[bytes, ...]
    special: Mapping[int, bytes]

    def digest(self, data: bytes) -> bytes:
        algorithm, length = _DIGESTS[self.hash_type]
        return hashlib.new(algorithm, data).digest()[:length]

    @property
    def full_hash(self) -> bytes:
        return hashlib.new(_DIGESTS[self.hash_type][0], self.blob).digest()

    @property
    def cdhash(self) -> bytes:
        return self.full_hash[:20]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """`blobs` maps a slot to a blob with its header. `cms` is empty where the signature is ad hoc."""

    directories: tuple[Directory, ...]
    blobs: Mapping[int, bytes]
    cms: bytes

    @property
    def best(self) -> Directory:
        return max(self.directories, key=lambda one: _STRENGTH.index(one.hash_type))


def read_signature(image: Slice) -> Signature:
    """The signature of a slice that has one. Raises Broken."""
    assert image.signature is not None
    offset, size = image.signature
    if size > _LARGEST_SIGNATURE:
        raise Broken("a signature larger than any")
    if offset + size != image.size or image.linkedit_end != image.size:
        raise Broken("the signature does not end where the slice ends")
    blobs = _superblob(image.read(offset, size))
    slots = [slot for slot in (0, *_ALTERNATES) if slot in blobs]
    if 0 not in slots:
        raise Broken("no code directory")
    directories = tuple(_directory(blobs[slot]) for slot in slots)
    if len({(one.identifier, one.team, one.flags) for one in directories}) != 1:
        raise Broken("code directories that do not agree")
    wrapper = blobs.get(_CMS, struct.pack(">II", _WRAPPER, 8))
    if wrapper[:4] != struct.pack(">I", _WRAPPER):
        raise Broken("a CMS slot that holds something else")
    return Signature(directories=directories, blobs=blobs, cms=wrapper[8:])


def verify_digests(image: Slice, signature: Signature, outside: Mapping[int, bytes | None]) -> None:
    """Every page, every special slot. `outside`: content of slots that no blob holds. Raises Broken."""
    contents = {**outside, **{slot: blob for slot, blob in signature.blobs.items() if 0 < slot <= _LAST_SPECIAL}}
    there = {slot: data for slot, data in contents.items() if data is not None}
    for directory in signature.directories:
        assert image.signature is not None
        if directory.code_limit != image.signature[0]:
            raise Broken("the code directory does not cover everything before the signature")
        number = 0
        for number, page in enumerate(image.pages(directory.code_limit, directory.page), start=1):
            if number > len(directory.pages) or directory.digest(page) != directory.pages[number - 1]:
                raise Broken(f"page {number - 1} differs from its digest")
        if number != len(directory.pages):
            raise Broken("digests of pages that do not exist")
        if missing := sorted(directory.special.keys() - there.keys()):
            raise Broken(f"slot {-missing[0]} has a digest and no content")
        for slot, data in sorted(there.items()):
            if slot not in directory.special:
                raise Broken(f"slot {-slot} has content and no digest")
            if directory.digest(data) != directory.special[slot]:
                raise Broken(f"slot {-slot} differs from its digest")


def _superblob(data: bytes) -> dict[int, bytes]:
    if len(data) < 12:
        raise Broken("a signature shorter than its header")
    magic, length, count = struct.unpack_from(">III", data)
    if magic != _SUPERBLOB or length > len(data) or count > _MOST_BLOBS or 12 + 8 * count > length:
        raise Broken("no superblob where the signature should be")
    blobs: dict[int, bytes] = {}
    for index in range(count):
        slot, offset = struct.unpack_from(">II", data, 12 + 8 * index)
        if slot in blobs or slot not in _KNOWN or offset + 8 > length:
            raise Broken("an index that repeats a slot, names an unknown one or points outside")
        size = int.from_bytes(data[offset + 4 : offset + 8])
        if size < 8 or offset + size > length:
            raise Broken("a blob that runs over its end")
        blobs[slot] = data[offset : offset + size]
    return blobs


def _directory(blob: bytes) -> Directory:
    if len(blob) < 44:
        raise Broken("a code directory shorter than its header")
    magic, _, version, flags, hashes, identifier, specials, pages, limit = struct.unpack_from(">9I", blob)
    size, kind, _platform, page = struct.unpack_from(">4B", blob, 36)
    if magic != _DIRECTORY or not 0x20000 <= version < 0x30000:
        raise Broken("no code directory where one should be")
    if kind not in _DIGESTS or size != _DIGESTS[kind][1] or page > 24:
        raise Broken("digests of a kind or pages of a size that nobody makes")
    if specials > _LAST_SPECIAL or hashes < specials * size or hashes + pages * size > len(blob):
        raise Broken("digests outside the code directory")
    team = None
    if version >= 0x20200 and len(blob) >= 52 and (at := int.from_bytes(blob[48:52])):
        team = _text(blob, at)
    if version >= 0x20300 and len(blob) >= 64:
        limit = int.from_bytes(blob[56:64]) or limit
    special = {slot: blob[hashes - slot * size :][:size] for slot in range(1, specials + 1)}
    return Directory(
        blob=blob,
        version=version,
        flags=flags,
        identifier=_text(blob, identifier),
        team=team,
        hash_type=kind,
        page=1 << page if page else 0,
        code_limit=limit,
        pages=tuple(blob[hashes + index * size :][:size] for index in range(pages)),
        special={slot: digest for slot, digest in special.items() if any(digest)},
    )


def _text(blob: bytes, at: int) -> str:
    end = blob.find(b"\0", at)
    if not 0 < at < len(blob) or end < 0:
        raise Broken("a text outside the code directory")
    return blob[at:end].decode("utf-8", "backslashreplace")
