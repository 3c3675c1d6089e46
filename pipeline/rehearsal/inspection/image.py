"""A Mach-O file as an inspection needs it: slices, their load commands of interest, and bytes by offset.

Written from mach-o/loader.h and mach-o/fat.h with `struct` alone, apart from the reader that the release is made with.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.rehearsal.inspection.findings import Broken

_THIN = {
    b"\xcf\xfa\xed\xfe": ("<", True),
    b"\xce\xfa\xed\xfe": ("<", False),
    b"\xfe\xed\xfa\xcf": (">", True),
    b"\xfe\xed\xfa\xce": (">", False),
}
_FAT, _FAT_64 = b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"
# A Java class file begins like a universal file; its version, 45 at least, stands where the count of slices stands.
_FEWER_SLICES_THAN = 45
_MOST_COMMANDS = 1024 * 1024  # bytes
_ARCHITECTURES = {
    (7, 3): "i386",
    (18, 0): "ppc",
    (0x0100_0007, 3): "x86_64",
    (0x0100_0007, 8): "x86_64h",
    (0x0100_000C, 0): "arm64",
    (0x0100_000C, 1): "arm64",
    (0x0100_000C, 2): "arm64e",
    (0x0200_000C, 1): "arm64_32",
}
_LC_SEGMENT, _LC_SEGMENT_64, _LC_CODE_SIGNATURE, _LC_BUILD_VERSION = 0x1, 0x19, 0x1D, 0x32
_LC_VERSION_MINIMA = {0x24: 1, 0x25: 2, 0x2F: 3, 0x30: 4}  # command → platform: macOS, iOS, tvOS, watchOS
MACOS = 1
MH_EXECUTE = 2
# What the notary asks a signature of: executables, fixed libraries, dylibs, dylinkers, bundles, kernel extensions. Not
# object files, dSYMs and cores, which are never run.
_RUNNABLE = {2, 3, 5, 6, 7, 8, 11}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One architecture of a file. All offsets below count from `offset`; numbers are those of the headers."""

    place: Path
    offset: int
    size: int
    architecture: str
    filetype: int
    platform: int | None
    sdk: int | None
    """0x00XXYYZZ; None where no command says it."""
    signature: tuple[int, int] | None
    """Offset and size that LC_CODE_SIGNATURE gives."""
    linkedit_end: int | None
    info_plist: tuple[int, int] | None
    """Section __TEXT,__info_plist."""

    @property
    def is_runnable(self) -> bool:
        return self.filetype in _RUNNABLE

    def read(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise Broken(f"bytes {offset} to {offset + length} lie outside the slice")
        with self.place.open("rb") as stream:
            stream.seek(self.offset + offset)
            return stream.read(length)

    def pages(self, limit: int, page: int) -> Iterator[bytes]:
        """The bytes before `limit` in pages, the last one short; page 0 is one page of everything."""
        if limit > self.size:
            raise Broken("the code limit lies outside the slice")
        with self.place.open("rb") as stream:
            stream.seek(self.offset)
            left = limit
            while left:
                block = stream.read(min(left, page or limit))
                left -= len(block)
                yield block


def slices_of(place: Path, size: int) -> tuple[Slice, ...] | None:
    """The slices of a file, None if it is no Mach-O by its first bytes. Raises Broken for one that is damaged."""
    with place.open("rb") as stream:
        start = stream.read(8 + 32 * _FEWER_SLICES_THAN)
    if start[:4] in _THIN:
        return (_thin(place, 0, size),)
    if start[:4] not in (_FAT, _FAT_64) or len(start) < 8:
        return None
    count = int.from_bytes(start[4:8])
    if count >= _FEWER_SLICES_THAN:
        return None
    row = struct.Struct(">iiQQII" if start[:4] == _FAT_64 else ">iiIII")
    if len(start) < 8 + count * row.size or count == 0:
        raise Broken("a universal header that is cut or empty")
    rows = [row.unpack_from(start, 8 + index * row.size) for index in range(count)]
    _demand_quiet_gaps(place, size, 8 + count * row.size, [(one[2], one[3]) for one in rows])
    return tuple(_thin(place, one[2], one[3]) for one in rows if not _is_static_library(place, one[2]))


def _is_static_library(place: Path, offset: int) -> bool:
    """A slice can be an archive of object files (ar), which is never run."""
    with place.open("rb") as stream:
        stream.seek(offset)
        return stream.read(8) == b"!<arch>\n"


def _demand_quiet_gaps(place: Path, size: int, start: int, extents: list[tuple[int, int]]) -> None:
    """Strict validation wants zeros between slices and nothing behind the last."""
    end = start
    with place.open("rb") as stream:
        for offset, length in sorted(extents):
            if offset < end or offset + length > size or offset - end > 2**20:
                raise Broken("slices overlap, or lie outside the file")
            stream.seek(end)
            if stream.read(offset - end).strip(b"\0"):
                raise Broken("bytes that are not zero between two slices")
            end = offset + length
    if end != size:
        raise Broken("bytes behind the last slice")


def _thin(place: Path, offset: int, size: int) -> Slice:
    with place.open("rb") as stream:
        stream.seek(offset)
        header = stream.read(32)
        if header[:4] not in _THIN or len(header) < 32:
            raise Broken("a slice that is no Mach-O image")
        order, is_64 = _THIN[header[:4]]
        cputype, subtype, filetype, count, length = struct.unpack_from(f"{order}5I", header, 4)
        stream.seek(offset + (32 if is_64 else 28))
        if length > min(size, _MOST_COMMANDS):
            raise Broken("load commands larger than the slice")
        commands = _commands(stream.read(length), count, order)
    found = _Found()
    for number, body in commands:
        found.take(number, body, order)
    architecture = _ARCHITECTURES.get((cputype, subtype & 0xFFFFFF), f"cputype {cputype} subtype {subtype}")
    return Slice(
        place=place,
        offset=offset,
        size=size,
        architecture=architecture,
        filetype=filetype,
        platform=found.platform,
        sdk=found.sdk,
        signature=found.signature,
        linkedit_end=found.linkedit_end,
        info_plist=found.info_plist,
    )


def _commands(data: bytes, count: int, order: str) -> list[tuple[int, bytes]]:
    commands = []
    at = 0
    for _ in range(count):
        if at + 8 > len(data):
            raise Broken("load commands that run over their end")
        number, length = struct.unpack_from(f"{order}2I", data, at)
        if length < 8 or at + length > len(data):
            raise Broken("a load command of an impossible length")
        commands.append((number & 0x7FFF_FFFF, data[at : at + length]))
        at += length
    return commands


class _Found:
    """What the load commands said; of two version commands the first counts."""

    def __init__(self) -> None:
        self.platform: int | None = None
        self.sdk: int | None = None
        self.signature: tuple[int, int] | None = None
        self.linkedit_end: int | None = None
        self.info_plist: tuple[int, int] | None = None

    def take(self, number: int, body: bytes, order: str) -> None:
        try:
            if number == _LC_CODE_SIGNATURE:
                if self.signature is not None:
                    raise Broken("two signatures in one slice")
                offset, size = struct.unpack_from(f"{order}2I", body, 8)
                self.signature = (offset, size)
            elif number == _LC_BUILD_VERSION and self.platform is None:
                self.platform, _, self.sdk = struct.unpack_from(f"{order}3I", body, 8)
            elif number in _LC_VERSION_MINIMA and self.platform is None:
                self.platform = _LC_VERSION_MINIMA[number]
                (self.sdk,) = struct.unpack_from(f"{order}I", body, 12)
            elif number in (_LC_SEGMENT, _LC_SEGMENT_64):
                self._segment(body, order, number == _LC_SEGMENT_64)
        except struct.error as error:
            raise Broken("a load command that is cut") from error

    def _segment(self, body: bytes, order: str, is_64: bool) -> None:
        layout = f"{order}16s4Q4I" if is_64 else f"{order}16s8I"
        name, _, _, fileoff, filesize, _, _, sections, _ = struct.unpack_from(layout, body, 8)
        if name.rstrip(b"\0") == b"__LINKEDIT":
            self.linkedit_end = fileoff + filesize
        if name.rstrip(b"\0") != b"__TEXT":
            return
        row = struct.Struct(f"{order}16s16s2Q8I" if is_64 else f"{order}16s16s9I")
        at = 8 + struct.calcsize(layout)
        for _ in range(sections):
            section, _, _, size, offset, *_ = row.unpack_from(body, at)
            if section.rstrip(b"\0") == b"__info_plist":
                self.info_plist = (offset, size)
            at += row.size
