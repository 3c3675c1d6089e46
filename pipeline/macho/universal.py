"""Universal files (<mach-o/fat.h>): a big-endian header, then thin images one after another.

`plan_universal` lays them out as `lipo -create` does. How `codesign` lays them out is `pipeline.codesign`'s matter.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import ConfigurationError, MalformedFile, NotSupported
from pipeline.macho import constants as c
from pipeline.macho.fields import align, unpack
from pipeline.macho.image import IMAGE_START, Image, image_file_type, parse_image
from pipeline.macho.source import Part, Source, Window, size_of

# A Java class file begins with the same magic; its version, 45 or more, stands where the number of slices does. No
# universal file has as many slices: there are not that many architectures.
MOST_SLICES = 44

_FAT_HEADER = struct.Struct(">2I")
_FAT_ARCH = struct.Struct(">5I")
_THIN_MAGICS = (c.MH_MAGIC, c.MH_MAGIC_64, c.MH_CIGAM, c.MH_CIGAM_64)


@dataclass(frozen=True, slots=True, kw_only=True)
class FatArch:
    """One row of the header. `alignment` is a power of two's exponent."""

    cputype: int
    cpusubtype: int
    offset: int
    size: int
    alignment: int

    @property
    def arch(self) -> str:
        return c.arch_name(self.cputype, self.cpusubtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachSlice:
    """One image in a file; `source` shows its bytes alone. `fat` is None for a thin file."""

    arch: str
    offset: int
    size: int
    image: Image
    source: Source
    fat: FatArch | None


def is_macho(first_bytes: bytes) -> bool:
    """Does a file that begins so (8 bytes are enough) claim to be a Mach-O, thin or universal?"""
    if len(first_bytes) < _FAT_HEADER.size:
        return False
    magic, count = _FAT_HEADER.unpack_from(first_bytes)
    if magic in (c.FAT_MAGIC, c.FAT_MAGIC_64):
        return bool(count <= MOST_SLICES)
    return int.from_bytes(first_bytes[:4], "little") in _THIN_MAGICS


def holds_macho(source: Source) -> bool:
    """Does it claim to be a Mach-O, by how it begins?"""
    return is_macho(source.read(0, min(_FAT_HEADER.size, source.size)))


def file_type(source: Source) -> int | None:
    """What kind of file the image is (`FileType`), or the first one of a universal file; None for what is no image.

    Nothing else is judged, as Apple's Security judges it (macho++.cpp, typeOf) to know code from other files.
    """
    if not holds_macho(source):
        return None
    start = source.read(0, min(_FAT_HEADER.size + _FAT_ARCH.size, source.size))
    is_fat = start[:4] == c.FAT_MAGIC.to_bytes(4, "big")
    offset = _fat_arch(start, 0).offset if is_fat else 0
    if offset > source.size:
        raise MalformedFile(f"the first slice begins at {offset:#x}, past the file of {source.size} bytes")
    return image_file_type(source.read(offset, min(IMAGE_START, source.size - offset)))


def read_slices(source: Source) -> tuple[MachSlice, ...]:
    """The images in a file, in the order of its header; a thin file is one.

    Raises MalformedFile for what is no Mach-O or contradicts itself (slices that overlap, lie outside the file or are
    of another architecture than the header says), NotSupported for a 64-bit universal header.
    """
    fat = parse_fat_header(source)
    if fat is None:
        image = parse_image(source)
        return (MachSlice(arch=image.arch, offset=0, size=source.size, image=image, source=source, fat=None),)
    return tuple(_slice(source, entry) for entry in fat)


def parse_fat_header(source: Source) -> tuple[FatArch, ...] | None:
    """The rows of a universal header; None if the file is not universal."""
    start = source.read(0, min(_FAT_HEADER.size, source.size))
    if len(start) < _FAT_HEADER.size:
        raise MalformedFile("not a Mach-O file: too short")
    magic, count = _FAT_HEADER.unpack(start)
    if magic == c.FAT_MAGIC_64:
        raise NotSupported("a universal file with a 64-bit header, which Apple's codesign does not sign either")
    if magic != c.FAT_MAGIC:
        return None
    if count > MOST_SLICES:
        raise MalformedFile(f"not a Mach-O file: a universal header of {count} slices is a Java class file's")
    if count == 0:
        raise MalformedFile("a universal file without a slice")
    header_end = _FAT_HEADER.size + count * _FAT_ARCH.size
    if header_end > source.size:
        raise MalformedFile(f"the universal header's {count} rows end past the file of {source.size} bytes")
    raw = source.read(0, header_end)
    entries = tuple(_fat_arch(raw, index) for index in range(count))
    _check_layout(entries, header_end, source.size)
    return entries


def build_fat_header(entries: Sequence[FatArch]) -> bytes:
    """The header's bytes: the inverse of `parse_fat_header`."""
    rows = b"".join(
        _FAT_ARCH.pack(entry.cputype, entry.cpusubtype, entry.offset, entry.size, entry.alignment) for entry in entries
    )
    return _FAT_HEADER.pack(c.FAT_MAGIC, len(entries)) + rows


def place_slices(
    kinds: Sequence[tuple[int, int]], sizes: Sequence[int], alignments: Sequence[int]
) -> tuple[FatArch, ...]:
    """Rows for slices of these processor types and subtypes, each at the first multiple of its alignment.

    Raises NotSupported where an offset does not fit into the header's 32 bits.
    """
    entries = []
    end = _FAT_HEADER.size + len(kinds) * _FAT_ARCH.size
    for (cputype, cpusubtype), size, alignment in zip(kinds, sizes, alignments, strict=True):
        offset = align(end, 1 << alignment)
        end = offset + size
        if end > 0xFFFFFFFF:
            raise NotSupported("a universal file of 4 GiB or more")
        row = FatArch(cputype=cputype, cpusubtype=cpusubtype, offset=offset, size=size, alignment=alignment)
        entries.append(row)
    return tuple(entries)


def universal_parts(entries: Sequence[FatArch], slices: Sequence[Sequence[Part]]) -> tuple[Part, ...]:
    """A universal file as parts to be written in order: header, then slices with zeros between them."""
    parts: list[Part] = [build_fat_header(entries)]
    end = size_of(parts[0])
    for entry, slice_parts in zip(entries, slices, strict=True):
        parts.append(bytes(entry.offset - end))
        parts.extend(slice_parts)
        end = entry.offset + entry.size
    return tuple(parts)


def plan_universal(slices: Sequence[MachSlice]) -> tuple[Part, ...]:
    """The universal file that `lipo -create` makes of these slices, as parts to be written in order.

    Every slice is taken over byte for byte. Order and alignment are those of llvm-lipo, which are cctools lipo's:
    by alignment, the arm64 family last. Raises ConfigurationError for two slices of one architecture.
    """
    seen: set[tuple[int, int]] = set()
    for one in slices:
        kind = (one.image.cputype, one.image.cpusubtype & c.CPU_SUBTYPE_MASK)
        if kind in seen:
            raise ConfigurationError(f"two slices of the architecture {one.arch}")
        seen.add(kind)
    if not slices:
        raise ConfigurationError("no slices to join")
    ordered = _in_lipo_order(slices)
    kinds = [(one.image.cputype, one.image.cpusubtype) for one in ordered]
    entries = place_slices(kinds, [one.size for one in ordered], [lipo_alignment(one) for one in ordered])
    return universal_parts(entries, [(one.source,) for one in ordered])


def lipo_alignment(one: MachSlice) -> int:
    """The page size of the processor (an exponent); a slice taken from a universal file keeps what it had there."""
    if one.fat is not None:
        return one.fat.alignment
    return page_alignment(one.image.cputype)


def page_alignment(cputype: int) -> int:
    """4 KiB pages on Intel and PowerPC, 16 KiB on ARM (an exponent). NotSupported for another processor."""
    if cputype in (*c.X86_CPUS, *c.POWERPC_CPUS):
        return 12
    if cputype in (*c.ARM64_CPUS, c.CPU_TYPE_ARM):
        return 14
    raise NotSupported(f"the processor type {cputype} in a universal file")


def _in_lipo_order(slices: Sequence[MachSlice]) -> list[MachSlice]:
    """Each slice moves forward past those that it goes before, and stops at the first that it does not.

    lipo's comparison is no order where i386, x86_64 and x86_64h meet (the first equals both others, which differ), so
    the way of sorting is part of the rule: this is the insertion of the C library's qsort, which Apple's lipo calls.
    """
    ordered: list[MachSlice] = []
    for one in slices:
        place = len(ordered)
        while place and _compared_by_lipo(one, ordered[place - 1]) < 0:
            place -= 1
        ordered.insert(place, one)
    return ordered


def _compared_by_lipo(one: MachSlice, other: MachSlice) -> int:
    """Negative if `one` goes before `other`."""
    left, right = one.image, other.image
    if left.cputype == right.cputype:
        return left.cpusubtype - right.cpusubtype
    if c.CPU_TYPE_ARM64 in (left.cputype, right.cputype):
        return 1 if left.cputype == c.CPU_TYPE_ARM64 else -1
    return lipo_alignment(one) - lipo_alignment(other)


def _fat_arch(raw: bytes, index: int) -> FatArch:
    fields = unpack(_FAT_ARCH, raw, _FAT_HEADER.size + index * _FAT_ARCH.size, f"universal header row {index}")
    cputype, cpusubtype, offset, size, alignment = fields
    return FatArch(cputype=cputype, cpusubtype=cpusubtype, offset=offset, size=size, alignment=alignment)


def _check_layout(entries: Sequence[FatArch], header_end: int, size: int) -> None:
    end = header_end
    for entry in sorted(entries, key=lambda entry: entry.offset):
        where = f"slice {entry.arch}"
        if entry.alignment > 31 or entry.offset % (1 << entry.alignment):
            raise MalformedFile(f"offset {entry.offset:#x} is not aligned to 2^{entry.alignment}", where=where)
        if entry.offset < end:
            raise MalformedFile(f"begins at {entry.offset:#x}, inside what ends at {end:#x}", where=where)
        end = entry.offset + entry.size
        if end > size:
            raise MalformedFile(f"ends at {end:#x}, past the file of {size:#x} bytes", where=where)
    kinds = [(entry.cputype, entry.cpusubtype & c.CPU_SUBTYPE_MASK) for entry in entries]
    if len(set(kinds)) != len(kinds):
        raise MalformedFile("two slices of one architecture")


def _slice(source: Source, entry: FatArch) -> MachSlice:
    window = Window(source, entry.offset, entry.size)
    try:
        image = parse_image(window)
        if image.arch != entry.arch:
            raise MalformedFile(f"the universal header says {entry.arch}, the image {image.arch}")
    except MalformedFile as error:
        raise error.at(f"slice {entry.arch}") from None
    return MachSlice(arch=entry.arch, offset=entry.offset, size=entry.size, image=image, source=window, fat=entry)
