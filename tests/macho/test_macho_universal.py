"""Universal files: laid out as lipo lays them out, read back slice by slice, refused where rows contradict."""

from __future__ import annotations

import itertools
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import lief
import pytest
from builders.clients import need
from builders.mach import compiled, fat, image
from builders.signing import whole

from pipeline.errors import ConfigurationError, MalformedFile, NotSupported
from pipeline.macho import (
    BytesSource,
    MachSlice,
    build_fat_header,
    is_macho,
    parse_fat_header,
    plan_universal,
    read_slices,
)

ARCHITECTURES = ("i386", "x86_64", "x86_64h", "armv7", "arm64", "arm64e")


def _slices(*files: bytes) -> list[MachSlice]:
    return [one for data in files for one in read_slices(BytesSource(data))]


@pytest.mark.llvm
@pytest.mark.parametrize(
    "architectures",
    [
        *itertools.permutations(("x86_64", "arm64")),
        *itertools.permutations(("i386", "x86_64", "arm64", "arm64e"), 3),
        *itertools.permutations(("x86_64h", "x86_64", "armv7", "arm64"), 4),
        ARCHITECTURES,
        ("arm64",),
        ("x86_64h", "arm64e", "x86_64"),
    ],
    ids="+".join,
)
def test_files_are_joined_as_lipo_joins_them(architectures: tuple[str, ...], tmp_path: Path) -> None:
    """Order, offsets, alignment and padding are those of `llvm-lipo -create`, byte for byte."""
    lipo = need("llvm-lipo", "llvm-lipo-14")
    thins = [image(arch=arch, size=5000 * index) for index, arch in enumerate(architectures)]
    paths = [tmp_path / arch for arch in architectures]
    for path, thin in zip(paths, thins, strict=True):
        path.write_bytes(thin)
    subprocess.run([lipo, "-create", *paths, "-output", tmp_path / "joined"], check=True)
    assert whole(plan_universal(_slices(*thins))) == (tmp_path / "joined").read_bytes()


@pytest.mark.parametrize(
    ("given", "ordered"),
    [
        ("x86_64h i386 x86_64", "x86_64h i386 x86_64"),
        ("x86_64h x86_64 i386", "x86_64 x86_64h i386"),
        ("arm64 x86_64h i386 x86_64", "x86_64h i386 x86_64 arm64"),
    ],
)
def test_slices_that_have_no_order_are_inserted(given: str, ordered: str) -> None:
    """i386 equals x86_64 and x86_64h for lipo, which differ: a slice stops behind the first that it equals."""
    joined = BytesSource(whole(plan_universal(_slices(*(image(arch=arch) for arch in given.split())))))
    assert [one.arch for one in read_slices(joined)] == ordered.split()


@pytest.mark.llvm
def test_a_universal_file_is_joined_with_a_thin_one_as_lipo_does(tmp_path: Path) -> None:
    """Slices of a universal input keep the alignment that they had there."""
    lipo = need("llvm-lipo", "llvm-lipo-14")
    files = [fat(image(arch="i386"), image(arch="x86_64"), alignment=13), image(arch="arm64")]
    paths = [tmp_path / str(number) for number in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    subprocess.run([lipo, "-create", *paths, "-output", tmp_path / "joined"], check=True)
    assert whole(plan_universal(_slices(*files))) == (tmp_path / "joined").read_bytes()


def test_slices_come_back_byte_for_byte() -> None:
    """What was joined is there again, and LIEF finds the same architectures at the same places."""
    thins = [compiled("x86_64"), compiled("arm64")]
    data = whole(plan_universal(_slices(*thins)))
    found = _slices(data)
    assert [one.source.read(0, one.size) for one in found] == thins
    parsed = lief.MachO.parse(list(data))
    assert parsed is not None
    assert [one.fat_offset for one in parsed] == [one.offset for one in found]


def test_two_slices_of_one_architecture_are_not_joined() -> None:
    """The error names the architecture."""
    with pytest.raises(ConfigurationError, match="two slices of the architecture arm64"):
        plan_universal(_slices(image(), image(size=4096)))


def test_nothing_is_not_joined() -> None:
    """A universal file of no slices is refused."""
    with pytest.raises(ConfigurationError, match="no slices"):
        plan_universal([])


def test_a_header_comes_back_as_it_was() -> None:
    """Reading and writing a header are inverse."""
    data = fat(image(arch="x86_64"), image(arch="arm64e"))
    rows = parse_fat_header(BytesSource(data))
    assert rows is not None
    assert build_fat_header(rows) == data[: 8 + 20 * 2]


TWO = fat(image(arch="x86_64"), image(arch="arm64"))
ROWS = parse_fat_header(BytesSource(TWO)) or ()


def _row(index: int, field: int, value: int) -> bytes:
    at = 8 + 20 * index + 4 * field
    return TWO[:at] + struct.pack(">I", value) + TWO[at + 4 :]


BROKEN = {
    "no slices": TWO[:4] + bytes(4) + TWO[8:],
    "rows past the end": TWO[:20],
    "a header cut off": TWO[:7],
    "cut in the last slice": TWO[:-1],
    "a slice in the header": _row(0, 2, 0),
    "slices that overlap": _row(1, 2, ROWS[0].offset),
    "a slice past the end": _row(1, 3, len(TWO)),
    "an offset that wraps": _row(1, 2, 0xFFFFC000),
    "a size that wraps": _row(1, 3, 0xFFFFFFFF),
    "an offset that is not aligned": _row(0, 4, 15),
    "an alignment without sense": _row(0, 4, 0xFFFFFFFF),
    "another processor": _row(0, 0, 12),
    "another kind of the processor": _row(1, 1, 2),
    "two of one architecture": fat(image(arch="arm64"), image(arch="arm64", size=1)),
    "a slice that is no image": TWO[: ROWS[1].offset] + b"\0" * 64 + TWO[ROWS[1].offset + 64 :],
    "a universal file as a slice": TWO[: ROWS[1].offset] + TWO[:64] + TWO[ROWS[1].offset + 64 :],
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_universal_file_is_refused(data: bytes) -> None:
    """Rows that contradict each other, the file or the images are a MalformedFile."""
    with pytest.raises(MalformedFile):
        read_slices(BytesSource(data))


def test_a_slice_inside_another_is_told() -> None:
    """Whatever the images in it say of themselves."""
    with pytest.raises(MalformedFile, match="inside what ends at"):
        read_slices(BytesSource(BROKEN["slices that overlap"]))


def test_a_processor_without_a_known_page_is_not_joined() -> None:
    """SPARC (mach/machine.h): where codesign would put such a slice is not known here."""
    sparc = struct.pack("<I", 14)
    one = image(arch="x86_64")
    with pytest.raises(NotSupported, match="processor type 14"):
        plan_universal(_slices(one[:4] + sparc + one[8:], image(arch="arm64")))


def test_a_java_class_is_no_universal_file() -> None:
    """The magic is the same; the version of the class file stands where the number of slices does."""
    java = bytes.fromhex("cafebabe0000003d") + bytes(64)
    assert not is_macho(java)
    with pytest.raises(MalformedFile, match="Java"):
        read_slices(BytesSource(java))


def test_a_64_bit_header_is_not_supported() -> None:
    """Apple's codesign does not sign one either."""
    with pytest.raises(NotSupported, match="64-bit header"):
        read_slices(BytesSource(bytes.fromhex("cafebabf00000001") + bytes(64)))


def test_a_file_of_4_gib_is_not_joined() -> None:
    """The header's offsets have 32 bits; more is refused, not wrapped."""

    class Huge:
        size = 0xC0000000

        def read(self, offset: int, length: int) -> bytes:
            return image(arch="x86_64")[offset : offset + length]

        def digests(self, *_: object) -> dict[str, list[bytes]]:
            raise AssertionError("nothing is hashed to join files")

    (one,) = read_slices(Huge())
    (other,) = _slices(image())
    with pytest.raises(NotSupported, match="4 GiB"):
        plan_universal([one, replace(other, size=0x60000000)])
