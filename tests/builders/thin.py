"""Small Mach-O images made byte by byte: valid enough to be signed, with the dials that the notary's rules look at."""

from __future__ import annotations

import struct
import uuid

_CPU = {"x86_64": (0x0100_0007, 3), "arm64": (0x0100_000C, 0)}
MH_EXECUTE, MH_DYLIB, MH_OBJECT = 2, 6, 1
_TEXT_SIZE = 0x4000
_CODE_AT = 0x2000
_BASE = 0x1_0000_0000


def thin_image(
    arch: str = "x86_64", *, filetype: int = MH_EXECUTE, sdk: str = "14.5.0", seed: int = 0, info_plist: bytes = b""
) -> bytes:
    """An unsigned image of 0x4000 bytes of __TEXT and a small __LINKEDIT; `seed` changes its code and its UUID."""
    cputype, subtype = _CPU[arch]
    code = bytes((seed + index * 7) & 0xFF for index in range(0x800))
    sections = [("__text", _CODE_AT, len(code))]
    if info_plist:
        sections.append(("__info_plist", _CODE_AT + len(code), len(info_plist)))
    linkedit = b"\0_main\0".ljust(0x40, b"\0")
    commands = [
        _segment("__PAGEZERO", 0, _BASE, 0, 0, [], 0),
        _segment("__TEXT", _BASE, _TEXT_SIZE, 0, _TEXT_SIZE, sections, 5),
        _segment("__LINKEDIT", _BASE + _TEXT_SIZE, 0x4000, _TEXT_SIZE, len(linkedit), [], 1),
        struct.pack("<6I", 0x2, 24, _TEXT_SIZE, 0, _TEXT_SIZE, len(linkedit)),
        struct.pack("<2I16s", 0x1B, 24, uuid.UUID(int=(seed << 32) + 1, version=4).bytes),
        _build_version(sdk, arch),
        _library(0xC, "/usr/lib/libSystem.B.dylib"),
    ]
    if filetype == MH_EXECUTE:
        commands.append(struct.pack("<2I2Q", 0x8000_0028, 24, _CODE_AT, 0))
    else:
        commands[0] = _library(0xD, "@rpath/libexample.dylib")
    body = b"".join(commands)
    header = struct.pack("<8I", 0xFEEDFACF, cputype, subtype, filetype, len(commands), len(body), 0x85, 0)
    text = (header + body).ljust(_CODE_AT, b"\0") + code + info_plist
    return text.ljust(_TEXT_SIZE, b"\0") + linkedit


def _segment(
    name: str, address: int, vmsize: int, offset: int, size: int, sections: list[tuple[str, int, int]], protection: int
) -> bytes:
    rows = b"".join(
        struct.pack("<16s16s2Q8I", section.encode(), name.encode(), address + at, length, at, 2, 0, 0, 0, 0, 0, 0)
        for section, at, length in sections
    )
    if name == "__PAGEZERO":
        vmsize, address = address, 0
    fields = (address, vmsize, offset, size, protection, protection, len(sections), 0)
    return struct.pack("<2I16s4Q4I", 0x19, 72 + len(rows), name.encode(), *fields) + rows


def _build_version(sdk: str, arch: str) -> bytes:
    minimum = "11.0.0" if arch == "arm64" else "10.13.0"
    return struct.pack("<6I", 0x32, 24, 1, packed(minimum), packed(sdk), 0)


def _library(command: int, name: str) -> bytes:
    text = name.encode() + b"\0"
    text = text.ljust(-(-len(text) // 8) * 8, b"\0")
    return struct.pack("<6I", command, 24 + len(text), 24, 2, 0x10000, 0x10000) + text


def packed(version: str) -> int:
    """X.Y.Z as 0x00XXYYZZ."""
    major, minor, patch = (int(part) for part in version.split("."))
    return major << 16 | minor << 8 | patch


def universal(*thins: bytes) -> bytes:
    """Slices at multiples of 0x4000, as lipo lays them out."""
    at = 0x4000
    rows, body = [], b""
    for thin in thins:
        body = body.ljust(at - 0x4000, b"\0") + thin
        cputype, subtype = struct.unpack_from("<2I", thin, 4)
        rows.append(struct.pack(">5I", cputype, subtype, at, len(thin), 14))
        at = -(-(at + len(thin)) // 0x4000) * 0x4000
    head = struct.pack(">2I", 0xCAFEBABE, len(thins)) + b"".join(rows)
    return head.ljust(0x4000, b"\0") + body
