"""A thin image: header, load commands, segments and sections (<mach-o/loader.h>). Only its head is ever read.

What the load commands point at (symbols, the signature) is not judged here, but everything lies within the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.errors import MalformedFile
from pipeline.macho import constants as c
from pipeline.macho.fields import ByteOrder, layout, padded_name, shown, unpack
from pipeline.macho.source import Source

# Limits for hostile files. The largest real ones seen hold some 10 KiB of load commands and 300 of them; these are a
# hundred times as much, and what is read into memory for a slice is no more than the first.
LARGEST_COMMANDS = 4 * 1024 * 1024
MOST_COMMANDS = 65536

# Byte order, and whether words have 64 bits, by the first four bytes read as a little-endian number.
_MAGIC_SIZE = 4
_KINDS = {
    c.MH_MAGIC: (ByteOrder.LITTLE, False),
    c.MH_MAGIC_64: (ByteOrder.LITTLE, True),
    c.MH_CIGAM: (ByteOrder.BIG, False),
    c.MH_CIGAM_64: (ByteOrder.BIG, True),
}
_HEADER = "7I"
_HEADER_START = "4I"
IMAGE_START = 16
_COMMAND = "2I"
_COMMAND_SIZE = 8
_SEGMENT = "16s8I"
_SEGMENT_64 = "16s4Q4I"
_SECTION = "16s16s9I"
_SECTION_64 = "16s16s2Q8I"
_SEGMENT_FIELDS = {False: (_SEGMENT, _SECTION), True: (_SEGMENT_64, _SECTION_64)}
_LINKEDIT_DATA = "2I"
_SYMTAB = "4I"
_BUILD_VERSION = "3I"
_VERSION_MIN = "2I"
_UUID = "16s"
_DYLIB = "I"
_ENCRYPTION = "3I"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadCommand:
    """`offset` is from the start of the image; `data` is the whole command with its eight bytes of header."""

    number: int
    offset: int
    data: bytes
    order: ByteOrder

    def fields(self, kinds: str, what: str) -> tuple[Any, ...]:
        """What follows the command's header, in fields of these kinds (characters as in `struct`)."""
        return unpack(layout(self.order, kinds), self.data, _COMMAND_SIZE, what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    segment: str
    name: str
    address: int
    size: int
    offset: int
    flags: int

    @property
    def in_file(self) -> bool:
        return self.size > 0 and (self.flags & 0xFF) not in c.ZEROFILL_SECTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """LC_SEGMENT or LC_SEGMENT_64; `command_offset` is where in the head the command lies."""

    name: str
    vmaddr: int
    vmsize: int
    fileoff: int
    filesize: int
    sections: tuple[Section, ...]
    command_offset: int

    @property
    def end(self) -> int:
        return self.fileoff + self.filesize


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildVersion:
    """Versions are packed as X.Y.Z = 0x00XXYYZZ (four digits for X: 0xXXXXYYZZ)."""

    platform: int
    minimum: int
    sdk: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureCommand:
    """LC_CODE_SIGNATURE: where the signature lies in the image, and where the command itself does."""

    dataoff: int
    datasize: int
    command_offset: int

    @property
    def end(self) -> int:
        return self.dataoff + self.datasize


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One slice. Offsets are in bytes from its own beginning, wherever in a universal file it lies."""

    order: ByteOrder
    is_64: bool
    cputype: int
    cpusubtype: int
    filetype: int
    flags: int
    size: int
    """Of the whole slice."""
    head: bytes
    """Header and load commands."""
    commands: tuple[LoadCommand, ...]
    segments: tuple[Segment, ...]
    build: BuildVersion | None
    """Of the first LC_BUILD_VERSION; without one, of the first LC_VERSION_MIN_*."""
    uuid: bytes | None
    libraries: tuple[str, ...]
    signature: SignatureCommand | None
    strings_end: int | None
    """Where LC_SYMTAB's string table ends."""
    encrypted: bool

    @property
    def arch(self) -> str:
        return c.arch_name(self.cputype, self.cpusubtype)

    @property
    def header_size(self) -> int:
        return header_size(self.is_64)

    def segment(self, name: str) -> Segment | None:
        return next((segment for segment in self.segments if segment.name == name), None)

    def section(self, segment: str, name: str) -> Section | None:
        """The first section of that segment and name. In an MH_OBJECT all sections lie in one nameless segment."""
        sections = (section for owner in self.segments for section in owner.sections)
        return next((one for one in sections if (one.segment, one.name) == (segment, name)), None)


def header_size(is_64: bool) -> int:
    """sizeof(mach_header) or sizeof(mach_header_64)."""
    return 32 if is_64 else 28


def image_file_type(start: bytes) -> int | None:
    """The file type in the first `IMAGE_START` bytes of an image; None where they are no image's."""
    kind = _KINDS.get(int.from_bytes(start[:_MAGIC_SIZE], "little"))
    return layout(kind[0], _HEADER_START).unpack(start)[3] if kind and len(start) == IMAGE_START else None


def parse_image(source: Source) -> Image:
    """Read the head of a thin image.

    Raises MalformedFile for what is not one, contradicts itself or points outside the source.
    """
    magic = source.read(0, min(_MAGIC_SIZE, source.size))
    kind = _KINDS.get(int.from_bytes(magic, "little"))
    if kind is None or len(magic) != _MAGIC_SIZE:
        raise MalformedFile("a static library, not a Mach-O image" if magic == b"!<ar" else "not a Mach-O image")
    order, is_64 = kind
    start = header_size(is_64)
    header = source.read(0, min(start, source.size))
    fields = unpack(layout(order, _HEADER), header, 0, "Mach-O header")
    _, cputype, cpusubtype, filetype, count, commands_size, flags = fields
    if start + commands_size > source.size:
        raise MalformedFile(f"load commands of {commands_size} bytes end past the image of {source.size}")
    if commands_size > LARGEST_COMMANDS or count > MOST_COMMANDS:
        raise MalformedFile(f"{count} load commands of {commands_size} bytes: more than any real image has")
    head = source.read(0, start + commands_size)
    commands = tuple(_commands(head, start, count, order))
    segments = tuple(_segment(command, is_64, source.size) for command in commands if command.number in _SEGMENTS)
    return Image(
        order=order,
        is_64=is_64,
        cputype=cputype,
        cpusubtype=cpusubtype,
        filetype=filetype,
        flags=flags,
        size=source.size,
        head=head,
        commands=commands,
        segments=segments,
        build=_build_version(commands),
        uuid=_uuid(commands),
        libraries=tuple(_library(command) for command in commands if command.number in c.LIBRARY_COMMANDS),
        signature=_signature(commands, source.size),
        strings_end=_strings_end(commands),
        encrypted=_is_encrypted(commands),
    )


_SEGMENTS = (c.LC_SEGMENT, c.LC_SEGMENT_64)


def _commands(head: bytes, start: int, count: int, order: ByteOrder) -> Iterator[LoadCommand]:
    offset = start
    for index in range(count):
        number, size = unpack(layout(order, _COMMAND), head, offset, f"load command {index}")
        if size < _COMMAND_SIZE or size % 4 or offset + size > len(head):
            raise MalformedFile(f"load command {index} at {offset:#x} has the impossible size {size}")
        yield LoadCommand(number=number, offset=offset, data=head[offset : offset + size], order=order)
        offset += size
    if offset != len(head):
        raise MalformedFile(f"the {count} load commands take {offset - start} bytes, not the {len(head) - start} said")


def _segment(command: LoadCommand, is_64: bool, size: int) -> Segment:
    if (command.number == c.LC_SEGMENT_64) != is_64:
        raise MalformedFile(f"segment command at {command.offset:#x} is of the other word size")
    own, section_layout = (layout(command.order, kinds) for kinds in _SEGMENT_FIELDS[is_64])
    fields = unpack(own, command.data, _COMMAND_SIZE, "segment")
    raw_name, vmaddr, vmsize, fileoff, filesize, _maxprot, _initprot, count, _flags = fields
    name = padded_name(raw_name)
    if fileoff + filesize > size:
        raise MalformedFile(f"segment {shown(name)} ends at {fileoff + filesize:#x}, past the image of {size:#x} bytes")
    first = _COMMAND_SIZE + own.size
    if first + count * section_layout.size > len(command.data):
        raise MalformedFile(f"segment {shown(name)} has no room for the {count} sections it claims")
    sections = []
    for index in range(count):
        fields = unpack(section_layout, command.data, first + index * section_layout.size, "section")
        section_name, segment_name, address, section_size, offset, _align, _reloff, _nreloc, section_flags = fields[:9]
        section = Section(
            segment=padded_name(segment_name),
            name=padded_name(section_name),
            address=address,
            size=section_size,
            offset=offset,
            flags=section_flags,
        )
        sections.append(section)
    return Segment(
        name=name,
        vmaddr=vmaddr,
        vmsize=vmsize,
        fileoff=fileoff,
        filesize=filesize,
        sections=tuple(sections),
        command_offset=command.offset,
    )


def _build_version(commands: tuple[LoadCommand, ...]) -> BuildVersion | None:
    for command in commands:
        if command.number == c.LC_BUILD_VERSION:
            platform, minimum, sdk = command.fields(_BUILD_VERSION, "LC_BUILD_VERSION")
            return BuildVersion(platform=platform, minimum=minimum, sdk=sdk)
    for command in commands:
        if command.number in c.VERSION_MIN_PLATFORMS:
            minimum, sdk = command.fields(_VERSION_MIN, "LC_VERSION_MIN")
            return BuildVersion(platform=c.VERSION_MIN_PLATFORMS[command.number], minimum=minimum, sdk=sdk)
    return None


def _uuid(commands: tuple[LoadCommand, ...]) -> bytes | None:
    for command in commands:
        if command.number == c.LC_UUID:
            (uuid,) = command.fields(_UUID, "LC_UUID")
            return bytes(uuid)
    return None


def _library(command: LoadCommand) -> str:
    (offset,) = command.fields(_DYLIB, "library")
    if offset > len(command.data):
        raise MalformedFile(f"library command at {command.offset:#x} has its name outside itself")
    # A name may fill its command to the last byte, without a zero.
    return padded_name(command.data[offset:])


def _signature(commands: tuple[LoadCommand, ...], size: int) -> SignatureCommand | None:
    found = [command for command in commands if command.number == c.LC_CODE_SIGNATURE]
    if not found:
        return None
    if len(found) > 1:
        raise MalformedFile(f"{len(found)} LC_CODE_SIGNATURE commands")
    if len(found[0].data) != _COMMAND_SIZE + layout(ByteOrder.LITTLE, _LINKEDIT_DATA).size:
        raise MalformedFile(f"an LC_CODE_SIGNATURE of {len(found[0].data)} bytes")
    dataoff, datasize = found[0].fields(_LINKEDIT_DATA, "LC_CODE_SIGNATURE")
    if dataoff + datasize > size:
        raise MalformedFile(f"the signature ends at {dataoff + datasize:#x}, past the image of {size:#x} bytes")
    return SignatureCommand(dataoff=dataoff, datasize=datasize, command_offset=found[0].offset)


def _strings_end(commands: tuple[LoadCommand, ...]) -> int | None:
    for command in commands:
        if command.number == c.LC_SYMTAB:
            _symoff, _nsyms, stroff, strsize = command.fields(_SYMTAB, "LC_SYMTAB")
            return int(stroff + strsize)
    return None


def _is_encrypted(commands: tuple[LoadCommand, ...]) -> bool:
    for command in commands:
        if command.number in (c.LC_ENCRYPTION_INFO, c.LC_ENCRYPTION_INFO_64):
            _offset, _size, cryptid = command.fields(_ENCRYPTION, "LC_ENCRYPTION_INFO")
            if cryptid:
                return True
    return False
