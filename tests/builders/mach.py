"""Small Mach-O files to sign: laid out by hand in any shape (`image`), or compiled (`compiled`).

The hand-made ones are complete enough for LIEF, LLVM's tools and codesign's rules (segments, sections, symbol table,
UUID, build version); nothing of `pipeline.macho` is used to make them.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

CPUS = {
    "i386": (7, 3),
    "x86_64": (0x01000007, 3),
    "x86_64h": (0x01000007, 8),
    "armv7": (12, 9),
    "arm64": (0x0100000C, 0),
    "arm64e": (0x0100000C, 0x80000002),
    "arm64_32": (0x0200000C, 1),
    "ppc7400": (18, 10),
    "ppc64": (0x01000012, 0),
}
FILE_TYPES = {"object": 1, "execute": 2, "dylib": 6, "dylinker": 7, "bundle": 8, "dsym": 10, "kext": 11}
UUID = bytes(range(16))
DATA = bytes(index * 31 & 0xFF for index in range(4096))


def version(text: str) -> int:
    """ "10.11.4" as the format packs it."""
    numbers = [*map(int, text.split(".")), 0, 0][:3]
    return numbers[0] << 16 | numbers[1] << 8 | numbers[2]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What an image looks like. `extra` load commands follow the others, and LC_CODE_SIGNATURE."""

    arch: str = "arm64"
    kind: str = "execute"
    minimum: str | None = "11.0"
    sdk: str = "14.5"
    platform: int = 1
    version_min: bool = False
    """LC_VERSION_MIN_MACOSX in place of LC_BUILD_VERSION."""
    uuid: bytes | None = UUID
    pad: int = 0x200
    """Bytes between the load commands and the first section."""
    text: bytes = b"\xc0\x03\x5f\xd6" * 64
    size: int = 0
    """Bytes of __DATA, to make a file of more pages."""
    info_plist: bytes | None = None
    strings: bytes = b"\0_main\0"
    linkedit: bool = True
    signature: tuple[int, int] | None = None
    """(dataoff, datasize) of an LC_CODE_SIGNATURE to put in; dataoff -1 is the end of the string table, aligned."""
    extra: tuple[bytes, ...] = ()
    trailing: bytes = b""
    """Behind __LINKEDIT, outside of every segment."""
    libraries: tuple[str, ...] = ("/usr/lib/libSystem.B.dylib",)
    sections: tuple[tuple[str, bytes], ...] = field(default=())
    """Further sections of __TEXT."""


def image(shape: Shape | None = None, **changes: object) -> bytes:
    """A thin image of that shape."""
    shape = replace(shape or Shape(), **changes)  # type: ignore[arg-type]
    before, after = pieces(shape)
    return before + (DATA * (shape.size // len(DATA) + 1))[: shape.size] + after


def pieces(shape: Shape) -> tuple[bytes, bytes]:
    """What stands before and behind the image's __DATA, for one too large to be held whole."""
    _before, _after, head_size = _lay_out(shape, head_size=0)
    return _lay_out(shape, head_size)[:2]


def fat(*thins: bytes, alignment: int = 14, first: int | None = None) -> bytes:
    """A universal file of these images in this order, each at a multiple of 2^alignment."""
    offset = first if first is not None else 1 << alignment
    rows, body = b"", b""
    start = 8 + 20 * len(thins)
    for thin in thins:
        offset = -(-offset // (1 << alignment)) * (1 << alignment)
        cputype, cpusubtype = struct.unpack_from(">2I" if thin[0] == 0xFE else "<2I", thin, 4)
        rows += struct.pack(">5I", cputype, cpusubtype, offset, len(thin), alignment)
        body = body.ljust(offset - start, b"\0") + thin
        offset += len(thin)
    return struct.pack(">2I", 0xCAFEBABE, len(thins)) + rows + body


def _order(shape: Shape) -> str:
    """PowerPC's numbers are big-endian."""
    return ">" if shape.arch.startswith("ppc") else "<"


def _lay_out(shape: Shape, head_size: int) -> tuple[bytes, bytes, int]:
    """What stands before and behind __DATA, given how long the head is; and how long it came out."""
    is_64 = CPUS[shape.arch][0] & 0x01000000 != 0
    order = _order(shape)
    page = 0x4000 if shape.arch.startswith("arm") else 0x1000
    sections = [("__text", shape.text), *shape.sections]
    if shape.info_plist is not None:
        sections.append(("__info_plist", shape.info_plist))
    offset = head_size + shape.pad
    placed, content = [], b""
    for name, data in sections:
        placed.append((name, offset + len(content), len(data)))
        content += data
    text_end = _up(offset + len(content), page)
    data_end = text_end + _up(shape.size, page)
    names = shape.strings.ljust(_up(len(shape.strings), 8), b"\0")
    symbols = _symbols(order, is_64)
    link = symbols + names
    signature = None
    if shape.signature is not None:
        dataoff = shape.signature[0] if shape.signature[0] >= 0 else _up(data_end + len(link), 16)
        link = link.ljust(dataoff - data_end, b"\0") + bytes(shape.signature[1])
        signature = (dataoff, shape.signature[1])
    vm = 0x100000000 if is_64 and shape.kind == "execute" else 0x1000
    commands = []
    if shape.kind == "execute":
        commands.append(_segment(order, is_64, "__PAGEZERO", 0, vm, 0, 0, []))
    commands.append(
        _segment(
            order, is_64, "__TEXT", vm, text_end, 0, text_end, [(vm + at, *row) for row in placed for at in row[1:2]]
        )
    )
    if shape.size:
        rows = [(vm + text_end, "__data", text_end, shape.size)]
        commands.append(
            _segment(order, is_64, "__DATA", vm + text_end, data_end - text_end, text_end, data_end - text_end, rows)
        )
    if shape.linkedit:
        commands.append(
            _segment(order, is_64, "__LINKEDIT", vm + data_end, _up(len(link), page), data_end, len(link), [])
        )
    symoff, stroff = data_end, data_end + len(symbols)
    commands.append(struct.pack(f"{order}6I", 0x2, 24, symoff, 1, stroff, len(names)))
    commands += _other_commands(shape, offset, signature)
    head = _head(shape, order, is_64, commands)
    before = (head.ljust(offset, b"\0") + content).ljust(text_end, b"\0")
    return before, bytes(data_end - text_end - shape.size) + link + shape.trailing, len(head)


def _head(shape: Shape, order: str, is_64: bool, commands: list[bytes]) -> bytes:
    """mach_header or mach_header_64, and the load commands behind it."""
    magic, flags = 0xFEEDFACF if is_64 else 0xFEEDFACE, 0x200085
    size = sum(map(len, commands))
    header = (magic, *CPUS[shape.arch], FILE_TYPES[shape.kind], len(commands), size, flags)
    return struct.pack(f"{order}7I", *header) + (b"\0" * 4 if is_64 else b"") + b"".join(commands)


def _other_commands(shape: Shape, entry: int, signature: tuple[int, int] | None) -> list[bytes]:
    """The load commands behind segments and symbol table."""
    order = _order(shape)
    commands: list[bytes] = []
    if shape.uuid is not None:
        commands.append(struct.pack(f"{order}2I", 0x1B, 24) + shape.uuid)
    if shape.minimum is not None and shape.version_min:
        commands.append(struct.pack(f"{order}4I", 0x24, 16, version(shape.minimum), version(shape.sdk)))
    elif shape.minimum is not None:
        commands.append(
            struct.pack(f"{order}6I", 0x32, 24, shape.platform, version(shape.minimum), version(shape.sdk), 0)
        )
    commands += [_library(order, 0xC, name) for name in shape.libraries]
    if shape.kind == "execute":
        commands.append(struct.pack(f"{order}2I2Q", 0x80000028, 24, entry, 0))
    if shape.kind == "dylib":
        commands.append(_library(order, 0xD, "@rpath/libtest.dylib"))
    if signature is not None:
        commands.append(struct.pack(f"{order}4I", 0x1D, 16, *signature))
    return [*commands, *shape.extra]


def _segment(
    order: str,
    is_64: bool,
    name: str,
    vmaddr: int,
    vmsize: int,
    fileoff: int,
    filesize: int,
    sections: list[tuple[int, str, int, int]],
) -> bytes:
    rows = b""
    for address, section, offset, size in sections:
        names = section.encode().ljust(16, b"\0") + name.encode().ljust(16, b"\0")
        flags = 0x80000400 if section == "__text" else 0
        if is_64:
            rows += names + struct.pack(f"{order}2Q8I", address, size, offset, 2, 0, 0, flags, 0, 0, 0)
        else:
            rows += names + struct.pack(f"{order}9I", address, size, offset, 2, 0, 0, flags, 0, 0)
    protection = 0 if name == "__PAGEZERO" else 5 if name == "__TEXT" else 3 if name == "__DATA" else 1
    layout = f"{order}4Q4I" if is_64 else f"{order}8I"
    fields = struct.pack(layout, vmaddr, vmsize, fileoff, filesize, protection, protection, len(sections), 0)
    size = 8 + 16 + len(fields) + len(rows)
    return struct.pack(f"{order}2I", 0x19 if is_64 else 0x1, size) + name.encode().ljust(16, b"\0") + fields + rows


def _library(order: str, command: int, name: str) -> bytes:
    text = name.encode() + b"\0"
    text = text.ljust(_up(len(text), 8), b"\0")
    return struct.pack(f"{order}6I", command, 24 + len(text), 24, 2, 0x10000, 0x10000) + text


def rpath(path: str) -> bytes:
    """An LC_RPATH command."""
    text = (path.encode() + b"\0").ljust(_up(12 + len(path) + 1, 8) - 12, b"\0")
    return struct.pack("<3I", 0x8000001C, 12 + len(text), 12) + text


def _symbols(order: str, is_64: bool) -> bytes:
    entry = struct.pack(order + ("IBBHQ" if is_64 else "IBBHI"), 1, 0x0F, 1, 0, 0x1000)
    return entry.ljust(_up(len(entry), 8), b"\0")


def _up(value: int, boundary: int) -> int:
    return -(-value // boundary) * boundary


SOURCE = """
#include <stdio.h>
int answer(void) { return 42; }
int main(int argc, char **argv) { printf("%d %s\\n", answer(), argc > 1 ? argv[1] : "none"); return 0; }
"""
TARGETS = {"x86_64": "x86_64-macos.10.13", "arm64": "aarch64-macos.11.0"}


@functools.lru_cache
def compiled(arch: str, kind: str = "execute", *, strip: bool = False) -> bytes:
    """A real program (or dylib) for macOS from a real compiler: zig, or on a Mac clang. Skips the test without one.

    zig leaves x86_64 unsigned and signs arm64 ad hoc as the linker does. The first run of a machine takes some 10 s.
    """
    flags = ["-Os", *(["-s"] if strip else []), *(["-shared"] if kind == "dylib" else [])]
    if sys.platform == "darwin":
        argv = ["xcrun", "clang", "-arch", arch, f"-mmacosx-version-min={TARGETS[arch].rpartition('.macos.')[2]}"]
    elif importlib.util.find_spec("ziglang") is not None:
        argv = [sys.executable, "-m", "ziglang", "cc", "-target", TARGETS[arch]]
    else:
        pytest.skip("needs ziglang, which this machine does not have")
    folder = _cache()
    key = hashlib.sha256(repr((argv[1:], flags, SOURCE)).encode()).hexdigest()[:16]
    output = folder / f"{arch}-{kind}-{key}"
    if not output.exists():
        source = folder / f"{key}.c"
        source.write_text(SOURCE)
        work = folder / f".{key}.{os.getpid()}"
        environment = os.environ | {
            "ZIG_GLOBAL_CACHE_DIR": str(folder / "zig"),
            "ZIG_LOCAL_CACHE_DIR": str(folder / "zig"),
        }
        subprocess.run([*argv, *flags, "-o", work, source], check=True, env=environment, capture_output=True)
        work.replace(output)
    return output.read_bytes()


def _cache() -> Path:
    """Kept between runs beside the other caches of pytest; a temporary folder where the checkout is read-only."""
    folder = Path(__file__).parents[2] / ".pytest_cache" / "mach"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"mach-{os.getuid()}"
        folder.mkdir(exist_ok=True)
    return folder
