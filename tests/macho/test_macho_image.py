"""Thin images: read as LIEF reads them, and refused where they contradict themselves."""

from __future__ import annotations

import struct
from typing import Any

import lief
import pytest
from builders.mach import CPUS, DATA, UUID, compiled, image, rpath, version

from pipeline.errors import MalformedFile, ReleaseError
from pipeline.macho import BytesSource, FileType, Platform, parse_image, read_slices

# LIEF has no name for arm64_32.
SHAPES: list[dict[str, Any]] = [
    *(
        {"arch": arch, "kind": kind}
        for arch in CPUS
        if arch != "arm64_32"
        for kind in ("execute", "dylib", "bundle", "kext")
    ),
    {"arch": "x86_64", "minimum": "10.9", "version_min": True},
    {"size": 100_000, "info_plist": b"<plist/>", "sections": (("__const", b"abc"),)},
    {"uuid": None, "minimum": None},
    {"signature": (-1, 4096), "extra": (rpath("@loader_path/../lib"),)},
]


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_an_image_is_read_as_lief_reads_it(shape: dict[str, Any]) -> None:
    """Header, segments, sections, UUID, build version, libraries and signature are what another parser finds."""
    data = image(**shape)
    ours = parse_image(BytesSource(data))
    _agrees(data, ours)


@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
@pytest.mark.parametrize("kind", ["execute", "dylib"])
def test_a_compiled_image_is_read_as_lief_reads_it(arch: str, kind: str) -> None:
    """What a real compiler and linker made is read as an independent parser reads it."""
    data = compiled(arch, kind)
    ours = parse_image(BytesSource(data))
    _agrees(data, ours)
    assert ours.arch == arch
    assert ours.filetype == (FileType.EXECUTE if kind == "execute" else FileType.DYLIB)
    assert ours.build is not None
    assert ours.build.platform == Platform.MACOS


def _agrees(data: bytes, ours: Any) -> None:
    parsed = lief.MachO.parse(list(data))
    assert parsed is not None
    theirs: Any = parsed.at(0)
    assert theirs is not None
    assert (ours.cputype, ours.filetype) == (int(theirs.header.cpu_type.value), int(theirs.header.file_type.value))
    assert len(ours.commands) == theirs.header.nb_cmds
    assert [
        (one.name, one.vmaddr, one.vmsize, one.fileoff, one.filesize, len(one.sections)) for one in ours.segments
    ] == [
        (one.name, one.virtual_address, one.virtual_size, one.file_offset, one.file_size, len(one.sections))
        for one in theirs.segments
    ]
    assert {(one.segment, one.name, one.offset, one.size) for two in ours.segments for one in two.sections} == {
        (one.segment_name, one.name, one.offset, one.size) for one in theirs.sections
    }
    assert (ours.uuid is not None) == theirs.has_uuid
    if ours.uuid is not None:
        assert list(ours.uuid) == list(theirs.uuid.uuid)
    libraries = [one.name for one in theirs.libraries if one.command != lief.MachO.LoadCommand.TYPE.ID_DYLIB]
    assert list(ours.libraries) == libraries
    assert (ours.signature is not None) == theirs.has_code_signature
    if ours.signature is not None:
        found = theirs.code_signature
        assert (ours.signature.dataoff, ours.signature.datasize) == (found.data_offset, found.data_size)
    if ours.build is not None and theirs.has_build_version:
        assert ours.build.platform == int(theirs.build_version.platform.value)
        assert ours.build.minimum == version(".".join(map(str, theirs.build_version.minos)))
        assert ours.build.sdk == version(".".join(map(str, theirs.build_version.sdk)))


def test_the_builder_puts_its_values_where_the_format_has_them() -> None:
    """UUID, deployment target and SDK come back as they were given."""
    found = parse_image(BytesSource(image(arch="arm64e", minimum="12.3.1", sdk="26.1")))
    assert found.arch == "arm64e"
    assert found.uuid == UUID
    assert found.build is not None
    assert (found.build.minimum, found.build.sdk) == (0x000C0301, 0x001A0100)


def test_the_first_build_version_counts() -> None:
    """An LC_VERSION_MIN beside an LC_BUILD_VERSION, or a second of these, changes nothing."""
    older = struct.pack("<4I", 0x24, 16, version("10.9"), version("10.9"))
    second = struct.pack("<6I", 0x32, 24, 2, version("9.0"), version("9.0"), 0)
    found = parse_image(BytesSource(image(minimum="13.0", extra=(older, second))))
    assert found.build is not None
    assert (found.build.platform, found.build.minimum) == (1, version("13.0"))


def _patched(data: bytes, offset: int, *words: int) -> bytes:
    raw = struct.pack(f"<{len(words)}I", *words)
    return data[:offset] + raw + data[offset + len(raw) :]


GOOD = image(arch="arm64", signature=(-1, 64))
HEAD = parse_image(BytesSource(GOOD))


def _command(number: int) -> int:
    return next(command.offset for command in HEAD.commands if command.number == number)


def _segment(name: str) -> int:
    found = HEAD.segment(name)
    assert found is not None
    return found.command_offset


BROKEN = {
    "empty": b"",
    "three bytes": GOOD[:3],
    "a header cut off": GOOD[:20],
    "commands cut off": GOOD[:100],
    "cut in the middle": GOOD[: len(GOOD) // 2],
    "a byte short": GOOD[:-1],
    "more commands than fit": _patched(GOOD, 16, 1000),
    "fewer commands than said": _patched(GOOD, 16, len(HEAD.commands) - 1),
    "a million commands": _patched(GOOD, 16, 0xFFFFFFFF),
    "commands of 4 GiB": _patched(GOOD, 20, 0xFFFFFFF8),
    "commands past the end": _patched(GOOD, 20, len(GOOD)),
    "a command of no size": _patched(GOOD, 36, 0),
    "a command that wraps": _patched(GOOD, 36, 0xFFFFFFFC),
    "a command of odd size": _patched(GOOD, 36, 0x49),
    "sections without room": _patched(GOOD, _segment("__TEXT") + 64, 0xFFFFFFFF),
    "a segment past the end": _patched(GOOD, _segment("__LINKEDIT") + 48, len(GOOD)),
    "a segment that wraps": _patched(GOOD, _segment("__LINKEDIT") + 40, 0xFFFFFFF0, 0xFFFFFFFF),
    "a 32-bit segment in a 64-bit image": _patched(GOOD, _segment("__TEXT"), 0x1),
    "a signature past the end": _patched(GOOD, _command(0x1D) + 8, len(GOOD) - 8, 16),
    "a signature that wraps": _patched(GOOD, _command(0x1D) + 8, 0xFFFFFFF0, 0xFFFFFFF0),
    "two signatures": image(signature=(-1, 64), extra=(struct.pack("<4I", 0x1D, 16, 0, 0),)),
    "a signature command of another size": image(extra=(struct.pack("<6I", 0x1D, 24, 0, 0, 0, 0),)),
    "a UUID cut off": image(uuid=None, extra=(struct.pack("<4I", 0x1B, 16, 0, 0),)),
    "a library's name outside": _patched(GOOD, _command(0xC) + 8, 4096),
    "not Mach-O": b"\x7fELF" + GOOD[4:],
    "a 32-bit image with another magic": _patched(image(arch="i386"), 0, 0xFEEDFACD),
    "a static library": b"!<arch>\n" + GOOD,
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_image_is_refused(data: bytes) -> None:
    """Every field that contradicts the file or itself is a MalformedFile, never another exception."""
    with pytest.raises(MalformedFile):
        parse_image(BytesSource(data))


@pytest.mark.parametrize(("big", "little"), [("ppc7400", "i386"), ("ppc64", "x86_64")])
def test_a_big_endian_image_reads_as_its_little_endian_twin(big: str, little: str) -> None:
    """PowerPC's, with words of 32 and of 64 bits: every field but the processor says the same."""
    one, other = (parse_image(BytesSource(image(arch=arch, signature=(-1, 64), size=5000))) for arch in (big, little))
    assert (one.arch, other.arch) == (big, little)
    for name in ("is_64", "filetype", "flags", "size", "segments", "build", "uuid", "libraries", "signature"):
        assert getattr(one, name) == getattr(other, name)
    assert one.strings_end == other.strings_end
    assert one.head != other.head


def test_nothing_but_the_head_is_read() -> None:
    """The bytes behind the load commands of an image are never asked for."""

    class Watched:
        size = len(GOOD)
        furthest = 0

        def read(self, offset: int, length: int) -> bytes:
            self.furthest = max(self.furthest, offset + length)
            return GOOD[offset : offset + length]

        def digests(self, *_: object) -> dict[str, list[bytes]]:
            raise AssertionError("nothing is hashed to read an image")

    source = Watched()
    (one,) = read_slices(source)
    assert one.image.head == GOOD[: source.furthest]
    assert DATA not in one.image.head


@pytest.mark.parametrize("length", range(0, len(HEAD.head) + 1, 7))
def test_any_beginning_of_an_image_is_refused(length: int) -> None:
    """An image cut anywhere in its head is refused with an error of ours."""
    with pytest.raises(ReleaseError):
        read_slices(BytesSource(GOOD[:length]))
