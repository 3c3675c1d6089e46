"""Hashes of the pages of an image as it will be once it is signed, from one pass over what it is now."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.codesign.allocation import Allocation
from pipeline.codesign.code_directory import HashType
from pipeline.macho import BytesSource, MachSlice
from pipeline.macho.fields import align


def page_hashes(
    one: MachSlice, room: Allocation, hash_types: Sequence[HashType], page_size: int
) -> dict[HashType, bytes]:
    """For each hash type the hashes of all pages up to `room.code_limit`, one after the other.

    Only the pages that the new head and the padding before the signature touch are not those of the input.
    """
    algorithms = sorted({hash_type.algorithm for hash_type in hash_types})
    found = one.source.digests(algorithms, page_size, room.extent)
    changed = [(0, min(align(len(room.head), page_size), room.code_limit))]
    if room.code_limit > room.extent:
        changed.append((room.extent // page_size * page_size, room.code_limit))
    for start, end in changed:
        fresh = BytesSource(_read(one, room, start, end)).digests(algorithms, page_size, end - start)
        first = start // page_size
        for algorithm, hashes in fresh.items():
            found[algorithm][first : first + len(hashes)] = hashes
    return {kind: b"".join(digest[: kind.size] for digest in found[kind.algorithm]) for kind in hash_types}


def _read(one: MachSlice, room: Allocation, start: int, end: int) -> bytes:
    """The bytes [start, end) of the slice as it will be."""
    kept_start, kept_end = max(start, len(room.head)), min(end, room.extent)
    kept = one.source.read(kept_start, kept_end - kept_start) if kept_end > kept_start else b""
    return (room.head[start:end] + kept).ljust(end - start, b"\0")
