"""Room for a signature: how large codesign makes it, and how header and load commands change for it.

The estimate decides the bytes of page 0, and so the CDHash. Rules: Security `codesign_alloc.cpp`, `signer.cpp`,
`superblob.h`; before macOS 12 cctools `codesign_allocate.c`. One of Apple's rules is not followed: their test for room
in the header forgets the header's own size, so that codesign can overwrite the first bytes of code. We refuse.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.codesign.eras import Era
from pipeline.errors import MalformedFile, NotSupported, SigningError
from pipeline.macho import FileType, Image, MachSlice, Overlay, Segment
from pipeline.macho import constants as c
from pipeline.macho.fields import align, layout
from pipeline.macho.universal import page_alignment

_ALIGNMENT = 16
_PAGE_16K = 0x4000
_COMMAND_SIZE = 16
_SUPERBLOB_HEADER = 12
_INDEX_ENTRY = 8
# Offsets and sizes have 32 bits, and __LINKEDIT's rounded size must fit as well.
_LARGEST = 0xFFFFFFFF - _PAGE_16K
# How far the end of an old signature may lie before the end of the slice.
_LOOSE_END = 7
# How much padding behind the string table is taken away with the signature it was there for.
_STRING_PADDING = 12

_SIGNATURE_COMMAND = "4I"
_COUNTS = "2I"
_COUNTS_OFFSET = 16
# vmsize, fileoff, filesize within a segment command.
_SIZES = {False: "3I", True: "3Q"}
_SIZES_OFFSET = {False: 28, True: 32}

SIGNABLE = frozenset({FileType.EXECUTE, FileType.DYLIB, FileType.BUNDLE, FileType.KEXT_BUNDLE, FileType.DYLINKER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """A slice with room for a signature: `code` is all of it up to the signature of `datasize` bytes."""

    code: Overlay
    datasize: int


def signing_extent(image: Image) -> int:
    """Where the code of the image as it is ends: its signature's offset or, without one, its size."""
    return image.signature.dataoff if image.signature else image.size


def estimate(era: Era, blobs: Iterable[bytes], directory_sizes: Iterable[int]) -> int:
    """Bytes that codesign reserves, given the blobs it has and the sizes of its CodeDirectories in their newest form.

    The header of the CMS blob is not counted.
    """
    lengths = [*map(len, blobs), *directory_sizes]
    return align(_SUPERBLOB_HEADER + _INDEX_ENTRY * (len(lengths) + 1) + sum(lengths) + era.cms_room, _ALIGNMENT)


def check_signable(image: Image) -> Segment:
    """The __LINKEDIT of an image that codesign would sign. Raises for every other.

    NotSupported for a kind of file that has no signature, MalformedFile for one that contradicts itself, SigningError
    for an encrypted one.
    """
    if image.filetype not in SIGNABLE:
        kind = next((known.name for known in FileType if known == image.filetype), str(image.filetype))
        raise NotSupported(f"a Mach-O file of type {kind} has no code signature")
    found = [segment for segment in image.segments if segment.name == "__LINKEDIT"]
    if len(found) != 1:
        raise MalformedFile(f"{len(found)} __LINKEDIT segments; a signature needs the one to lie in")
    (linkedit,) = found
    if image.encrypted:
        raise SigningError("its pages are encrypted, so what would be signed is not what runs")
    if linkedit.end != image.size:
        raise MalformedFile(
            f"__LINKEDIT ends at {linkedit.end:#x}, not at the end of the file ({image.size:#x} bytes)",
            remedy="something was appended to it, or cut from it, after it was linked",
        )
    if image.signature:
        if image.signature.end + _LOOSE_END < image.size:
            raise MalformedFile(f"the old signature ends at {image.signature.end:#x}, not at the end of the file")
        if image.signature.dataoff < max(linkedit.fileoff, len(image.head)):
            raise MalformedFile("the old signature begins before __LINKEDIT")
    return linkedit


def allocate(one: MachSlice, datasize: int, era: Era) -> Allocation:
    """Make room for a signature of `datasize` bytes: over the old one or, where there is none, behind the image.

    Raises what `check_signable` does, and SigningError where the header has no room for another load command.
    """
    image = one.image
    linkedit = check_signable(image)
    head = bytearray(image.head)
    if image.signature:
        extent = code_limit = image.signature.dataoff
        at = image.signature.command_offset
    else:
        extent = image.size
        code_limit = align(extent, _ALIGNMENT)
        at = len(head)
        check_room(one)
        head += bytes(_COMMAND_SIZE)
        _write_counts(head, image, len(image.commands) + 1, len(head) - image.header_size)
    if code_limit + datasize > _LARGEST:
        raise NotSupported("an image of 4 GiB or more")
    command = layout(image.order, _SIGNATURE_COMMAND)
    command.pack_into(head, at, c.LC_CODE_SIGNATURE, _COMMAND_SIZE, code_limit, datasize)
    _resize_linkedit(head, image, linkedit, code_limit + datasize, era)
    code = Overlay(base=one.source, head=bytes(head), kept=extent, size=code_limit)
    return Allocation(code=code, datasize=datasize)


def deallocate(one: MachSlice, era: Era) -> Overlay:
    """The slice without its signature.

    The load commands behind LC_CODE_SIGNATURE move up, the 16 bytes they leave become zero. An image without a
    signature is unchanged.
    """
    image = one.image
    linkedit = check_signable(image)
    if image.signature is None:
        return Overlay(base=one.source, head=image.head, kept=image.size, size=image.size)
    at = image.signature.command_offset
    head = bytearray(image.head[:at] + image.head[at + _COMMAND_SIZE :] + bytes(_COMMAND_SIZE))
    _write_counts(head, image, len(image.commands) - 1, len(head) - image.header_size - _COMMAND_SIZE)
    size = image.signature.dataoff
    strings = image.strings_end
    if era.trims_string_table and strings is not None and strings < size <= strings + _STRING_PADDING:
        size = max(strings, linkedit.fileoff)
    moved = linkedit.command_offset - (_COMMAND_SIZE if linkedit.command_offset > at else 0)
    _write_sizes(head, image, moved, linkedit.vmsize, linkedit.fileoff, size - linkedit.fileoff)
    return Overlay(base=one.source, head=bytes(head), kept=size, size=size)


def check_room(one: MachSlice) -> None:
    """SigningError unless 16 bytes behind the load commands are free: zeros before everything the image says it has."""
    image = one.image
    starts = [section.offset for segment in image.segments for section in segment.sections if section.in_file]
    starts += [segment.fileoff for segment in image.segments if segment.fileoff and segment.filesize]
    first = min(starts, default=image.size)
    end = len(image.head) + _COMMAND_SIZE
    if end > first:
        raise SigningError(
            f"no room for LC_CODE_SIGNATURE: load commands end at {len(image.head):#x}, code begins at {first:#x}",
            remedy="link with -headerpad (clang -Wl,-headerpad,0x100), or sign before install_name_tool runs",
        )
    if any(one.source.read(len(image.head), _COMMAND_SIZE)):
        raise SigningError(f"no room for LC_CODE_SIGNATURE: the bytes at {len(image.head):#x} are not zero")


def _resize_linkedit(head: bytearray, image: Image, linkedit: Segment, end: int, era: Era) -> None:
    filesize = end - linkedit.fileoff
    if era.recomputes_linkedit:
        vmsize = align(filesize, _PAGE_16K)
    elif filesize > linkedit.vmsize:
        vmsize = align(filesize, 1 << page_alignment(image.cputype))
    else:
        vmsize = linkedit.vmsize
    _write_sizes(head, image, linkedit.command_offset, vmsize, linkedit.fileoff, filesize)


def _write_counts(head: bytearray, image: Image, commands: int, size: int) -> None:
    layout(image.order, _COUNTS).pack_into(head, _COUNTS_OFFSET, commands, size)


def _write_sizes(head: bytearray, image: Image, command: int, vmsize: int, fileoff: int, filesize: int) -> None:
    sizes = layout(image.order, _SIZES[image.is_64])
    sizes.pack_into(head, command + _SIZES_OFFSET[image.is_64], vmsize, fileoff, filesize)
