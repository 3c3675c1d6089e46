"""The Mach-O format: thin images, universal files, and the `Source` that bytes come from. Pure: no file is opened here.

Signatures inside an image are `pipeline.codesign`'s; files on disk are `pipeline.disk`'s.
"""

from pipeline.macho.constants import FileType, Platform, arch_name
from pipeline.macho.image import BuildVersion, Image, LoadCommand, Section, Segment, SignatureCommand, parse_image
from pipeline.macho.source import BytesSource, Overlay, Part, Source, Window, first_nonzero, read_all, size_of
from pipeline.macho.universal import (
    FatArch,
    MachSlice,
    build_fat_header,
    file_type,
    holds_macho,
    is_macho,
    parse_fat_header,
    plan_universal,
    read_slices,
)

__all__ = [
    "BuildVersion",
    "BytesSource",
    "FatArch",
    "FileType",
    "Image",
    "LoadCommand",
    "MachSlice",
    "Overlay",
    "Part",
    "Platform",
    "Section",
    "Segment",
    "SignatureCommand",
    "Source",
    "Window",
    "arch_name",
    "build_fat_header",
    "file_type",
    "first_nonzero",
    "holds_macho",
    "is_macho",
    "parse_fat_header",
    "parse_image",
    "plan_universal",
    "read_all",
    "read_slices",
    "size_of",
]
