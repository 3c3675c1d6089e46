"""Room for a signature: where it goes, how large it is, what else changes, and when there is none."""

from __future__ import annotations

import struct
from typing import Any

import lief
import pytest
from builders.mach import FILE_TYPES, compiled, fat, image, rpath
from builders.signing import sign, signatures, whole

from pipeline.codesign import ERAS, SigningOptions, era_named
from pipeline.codesign.decisions import decide
from pipeline.codesign.signer import plan_signatures
from pipeline.codesign.stripper import strip_slices
from pipeline.errors import MalformedFile, NotSupported, SigningError
from pipeline.macho import BytesSource, Image, parse_image, read_slices

ADHOC = SigningOptions(identifier="com.example.tool")


def _image(data: bytes) -> Image:
    return parse_image(BytesSource(data))


def _strip(data: bytes, era: str = "macos-26") -> bytes:
    return whole(strip_slices(read_slices(BytesSource(data)), era_named(era)))


def _command(data: bytes) -> tuple[int, int]:
    found = _image(data).signature
    assert found is not None
    return found.dataoff, found.datasize


@pytest.mark.parametrize("loose", [7, 8])
def test_an_old_signature_may_end_a_little_early(loose: int) -> None:
    """By up to 7 bytes, as cctools rounds to 8; more than that belong to nobody."""
    data = bytearray(sign(image(), ADHOC))
    found = _image(bytes(data)).signature
    assert found is not None
    struct.pack_into("<I", data, found.command_offset + 12, found.datasize - loose)
    if loose == 7:
        assert sign(bytes(data), ADHOC)
    else:
        with pytest.raises(MalformedFile, match="the old signature ends at"):
            sign(bytes(data), ADHOC)


def test_an_image_of_nothing_but_a_linkedit_has_no_room() -> None:
    """No section and no segment says where its content begins: behind the load commands there is nothing."""
    name = b"__LINKEDIT".ljust(16, b"\0")
    segment = struct.pack("<II16sQQQQIIII", 0x19, 72, name, 0, 0x4000, 0, 104, 1, 1, 0, 0)
    data = struct.pack("<8I", 0xFEEDFACF, 0x0100000C, 0, 6, 1, len(segment), 0, 0) + segment
    with pytest.raises(SigningError, match="no room for LC_CODE_SIGNATURE"):
        sign(data, ADHOC)


@pytest.mark.parametrize("strings", [b"\0_main\0", b"\0" * 9, b"\0" * 16, b"\0" * 23])
def test_a_signature_is_appended_at_a_multiple_of_16(strings: bytes) -> None:
    """Zeros fill the gap, the file ends with the signature, and __LINKEDIT ends with the file."""
    data = image(strings=strings)
    signed = sign(data, ADHOC)
    dataoff, datasize = _command(signed)
    assert dataoff == -(-len(data) // 16) * 16
    assert dataoff + datasize == len(signed)
    assert not any(signed[len(data) : dataoff])
    linkedit = _image(signed).segment("__LINKEDIT")
    assert linkedit is not None
    assert linkedit.end == len(signed)
    assert linkedit.vmsize == -(-linkedit.filesize // 0x4000) * 0x4000


def test_the_size_is_apples_estimate() -> None:
    """12 + 8 for each part, the parts, 96 + identifier + hashes for the CodeDirectory, 18000; rounded up to 16."""
    data = image(size=50_000)
    _, datasize = _command(sign(data, ADHOC))
    pages = -(-len(data) // 16384)
    expected = 12 + 8 * 3 + 12 + (96 + len("com.example.tool") + 1 + (2 + pages) * 32) + 18000
    assert datasize == -(-expected // 16) * 16


def test_two_code_directories_are_both_in_the_estimate() -> None:
    """SHA-1 and SHA-256, with the newest fixed part each, even though an older version is written."""
    data = image(arch="x86_64", minimum="10.9", size=50_000)
    _, datasize = _command(sign(data, ADHOC))
    pages = -(-len(data) // 4096)
    fixed = 96 + len("com.example.tool") + 1
    expected = 12 + 8 * 4 + 12 + (fixed + (2 + pages) * 20) + (fixed + (2 + pages) * 32) + 18000
    assert datasize == -(-expected // 16) * 16


@pytest.mark.parametrize(
    ("era", "room", "fixed", "hashes"),
    [
        ("macos-10.15", 18000, 96, (32,)),
        ("macos-10.13", 9000, 88, (32,)),
        ("macos-10.12", 9000, 64, (32,)),
        ("macos-10.11", 9000, 52, (20,)),
        ("macos-10.9", 9000, 48, (20,)),
        ("macos-10.7", 5000, 48, (20,)),
        ("macos-10.5", 5000, 44, (20,)),
    ],
)
def test_older_eras_reserve_less(era: str, room: int, fixed: int, hashes: tuple[int, ...]) -> None:
    """9000 bytes for the CMS up to 10.14, and the fixed part that was newest then."""
    data = image(arch="x86_64", minimum="10.12")
    _, datasize = _command(sign(data, SigningOptions(identifier="a.b", era=era_named(era))))
    pages = -(-len(data) // 4096)
    directories = sum(fixed + 4 + (2 + pages) * size for size in hashes)
    assert datasize == -(-(12 + 8 * (2 + len(hashes)) + 12 + directories + room) // 16) * 16


def test_the_old_place_is_kept() -> None:
    """Signing again leaves dataoff and the command where they are, though commands follow it."""
    data = image(signature=(-1, 4096), extra=(rpath("@loader_path"), rpath("/usr/local/lib")))
    before, after = _image(data), _image(sign(data, ADHOC))
    assert before.signature is not None
    assert after.signature is not None
    assert after.signature.command_offset == before.signature.command_offset
    assert after.signature.dataoff == before.signature.dataoff
    assert [command.number for command in after.commands] == [command.number for command in before.commands]


def test_a_longer_old_signature_leaves_nothing_behind() -> None:
    """The file shrinks, and what is behind the new signature is zeros."""
    data = image(signature=(-1, 40_000))
    data = data[:-39_000] + b"\xee" * 39_000
    signed = sign(data, ADHOC)
    (found,) = signatures(signed)
    dataoff, datasize = _command(signed)
    assert len(signed) == dataoff + datasize < len(data)
    assert not any(signed[dataoff + len(found.superblob) :])


@pytest.mark.parametrize("data", [compiled("x86_64"), compiled("arm64"), image(arch="i386"), image(arch="arm64e")])
def test_signing_twice_is_signing_once(data: bytes) -> None:
    """The second signature is the first one, byte for byte."""
    once = sign(data, ADHOC)
    assert sign(once, ADHOC) == once


def test_only_what_must_change_changes() -> None:
    """Of the bytes before the signature only counts, __LINKEDIT's sizes and the new command differ."""
    data = image(arch="x86_64", size=20_000)
    signed = sign(data, ADHOC)
    before, after = _image(data), _image(signed)
    linkedit = before.segment("__LINKEDIT")
    assert linkedit is not None
    changed = {index for index in range(len(data)) if data[index] != signed[index]}
    allowed = {*range(16, 24), *range(linkedit.command_offset + 32, linkedit.command_offset + 40)}
    allowed |= {*range(linkedit.command_offset + 48, linkedit.command_offset + 56)}
    allowed |= set(range(len(before.head), len(after.head)))
    assert changed <= allowed


@pytest.mark.parametrize(
    ("era", "arch", "size", "vmsize"),
    [
        ("macos-26", "x86_64", 100, 0x8000),
        ("macos-12", "x86_64", 100, 0x8000),
        ("macos-11", "x86_64", 100, 0x5000),
        ("macos-10.15", "x86_64", 100, 0x5000),
        ("macos-11", "arm64", 100, 0x8000),
    ],
)
def test_linkedit_grows_as_the_era_has_it(era: str, arch: str, size: int, vmsize: int) -> None:
    """To whole 16 KiB on every processor since macOS 12, before to whole pages of the processor."""
    signed = sign(image(arch=arch, minimum="11.0"), SigningOptions(identifier="a.b", era=era_named(era)))
    linkedit = _image(signed).segment("__LINKEDIT")
    assert linkedit is not None
    assert linkedit.vmsize == vmsize
    assert linkedit.filesize > size


def test_linkedit_shrinks_only_since_macos_12() -> None:
    """Older allocation leaves a memory size that is large enough."""
    data = image(signature=(-1, 200_000))
    large = _image(data).segment("__LINKEDIT")
    new = _image(sign(data, ADHOC)).segment("__LINKEDIT")
    old = _image(sign(data, SigningOptions(identifier="a.b", era=era_named("macos-11")))).segment("__LINKEDIT")
    assert large is not None
    assert new is not None
    assert old is not None
    assert new.vmsize == 0x8000
    assert old.vmsize == large.vmsize


@pytest.mark.parametrize("pad", [0, 8, 15])
def test_no_code_is_overwritten(pad: int) -> None:
    """Less than 16 bytes between the load commands and the code: refused, with what to do."""
    with pytest.raises(SigningError, match="no room for LC_CODE_SIGNATURE") as refused:
        sign(image(pad=pad), ADHOC)
    assert refused.value.where == "slice arm64"
    assert "headerpad" in (refused.value.remedy or "")


def test_exactly_enough_room_is_enough() -> None:
    """16 bytes of padding hold the command, and the code stays as it was."""
    data = image(pad=16)
    signed = sign(data, ADHOC)
    section = _image(signed).section("__TEXT", "__text")
    assert section is not None
    assert (
        signed[section.offset : section.offset + section.size] == data[section.offset : section.offset + section.size]
    )
    assert len(_image(signed).head) == section.offset


def test_apples_forgetfulness_is_not_repeated() -> None:
    """codesign compares without the header's 32 bytes: between 0 and 31 bytes of room it writes over code."""
    data = image(pad=0)
    commands_size = struct.unpack_from("<I", data, 20)[0]
    section = _image(data).section("__TEXT", "__text")
    assert section is not None
    assert commands_size + 16 <= section.offset, "Apple's own test would pass here"
    with pytest.raises(SigningError, match="no room"):
        sign(data, ADHOC)


def test_bytes_in_the_padding_are_not_overwritten() -> None:
    """Something that no section speaks of may still be code."""
    data = bytearray(image())
    data[len(_image(bytes(data)).head) + 4] = 0x90
    with pytest.raises(SigningError, match="are not zero"):
        sign(bytes(data), ADHOC)


@pytest.mark.parametrize("kind", [kind for kind in FILE_TYPES if kind in ("object", "dsym")])
def test_kinds_without_a_signature_are_refused(kind: str) -> None:
    """Object files and debug symbols are not signed by codesign either."""
    with pytest.raises(NotSupported, match="has no code signature"):
        sign(image(kind=kind), ADHOC)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no __LINKEDIT": ({"linkedit": False}, "__LINKEDIT"),
    "bytes behind __LINKEDIT": ({"trailing": b"appended"}, "not at the end of the file"),
    "an old signature before the end": ({"signature": (-1, 64), "trailing": bytes(64)}, "not at the end"),
}


@pytest.mark.parametrize(("shape", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_an_image_that_a_signature_would_break_is_refused(shape: dict[str, Any], message: str) -> None:
    """What codesign's strict validation refuses before it signs."""
    with pytest.raises(MalformedFile, match=message):
        sign(image(**shape), ADHOC)


def test_a_signature_before_linkedit_is_refused() -> None:
    """An old signature lies in __LINKEDIT, nowhere else."""
    data = image()
    inside = struct.pack("<4I", 0x1D, 16, 0x100, len(data) - 0x100)
    with pytest.raises(MalformedFile, match="before __LINKEDIT"):
        sign(image(extra=(inside,)), ADHOC)


def test_an_encrypted_image_is_refused() -> None:
    """What would be signed is not what runs."""
    encrypted = struct.pack("<6I", 0x2C, 24, 0x4000, 0x4000, 1, 0)
    plain = struct.pack("<6I", 0x2C, 24, 0x4000, 0x4000, 0, 0)
    with pytest.raises(SigningError, match="encrypted"):
        sign(image(extra=(encrypted,)), ADHOC)
    assert sign(image(extra=(plain,)), ADHOC)


@pytest.mark.parametrize("arch", ["x86_64", "arm64", "i386", "arm64e"])
@pytest.mark.parametrize("strings", [b"\0" * 8, b"\0" * 16])
def test_removing_a_signature_gives_the_file_before_it(arch: str, strings: bytes) -> None:
    """All but the memory size of __LINKEDIT, which stays; padding behind the string table goes with the signature."""
    data = image(arch=arch, strings=strings)
    stripped = _strip(sign(data, ADHOC))
    before, after = _image(data), _image(stripped)
    one, other = before.segment("__LINKEDIT"), after.segment("__LINKEDIT")
    assert one is not None
    assert other is not None
    at = one.command_offset + (32 if before.is_64 else 28)
    width = 8 if before.is_64 else 4
    assert stripped[:at] + data[at : at + width] + stripped[at + width :] == data
    assert other.vmsize == 0x8000


def test_older_eras_leave_the_padding() -> None:
    """Up to macOS 15 the file ends where the signature began."""
    data = image(arch="x86_64", strings=b"\0" * 8)
    signed = sign(data, ADHOC)
    assert len(signed[: _command(signed)[0]]) > len(data)
    assert len(_strip(signed, "macos-15")) == _command(signed)[0]
    assert len(_strip(signed, "macos-26")) == len(data)


def test_commands_behind_the_signature_move_up() -> None:
    """None is lost, and the 16 bytes they leave are zero."""
    data = image(signature=(-1, 4096), extra=(rpath("@loader_path"), rpath("/usr/local/lib")))
    stripped = _strip(data)
    before, after = _image(data), _image(stripped)
    assert [one.data for one in after.commands if one.number not in (0x19,)] == [
        one.data for one in before.commands if one.number not in (0x1D, 0x19)
    ]
    assert not any(stripped[len(after.head) : len(before.head)])


@pytest.mark.parametrize("data", [image(), fat(image(arch="x86_64"), image())], ids=["thin", "universal"])
def test_a_file_without_a_signature_stays(data: bytes) -> None:
    """There is nothing to remove."""
    assert _strip(data) == data


def test_stripped_and_signed_again_is_signed() -> None:
    """Where LC_CODE_SIGNATURE was the last command, removing and signing gives what signing over it gives."""
    data = sign(image(arch="x86_64", strings=b"\0" * 16), ADHOC)
    assert sign(_strip(data), ADHOC) == data


@pytest.mark.parametrize("era", [era.name for era in ERAS])
def test_universal_files_are_laid_out_as_the_era_has_it(era: str) -> None:
    """16 KiB for every slice since macOS 12, the processor's page before; slices in the order they had."""
    data = fat(image(arch="arm64"), image(arch="x86_64"), image(arch="i386"), alignment=13)
    signed = sign(data, SigningOptions(identifier="a.b", era=era_named(era)))
    rows = [one.fat for one in read_slices(BytesSource(signed))]
    uniform = era in ("macos-26", "macos-15", "macos-12")
    assert [row.arch for row in rows if row] == ["arm64", "x86_64", "i386"]
    assert [row.alignment for row in rows if row] == ([14] * 3 if uniform else [14, 12, 12])
    assert rows[0] is not None
    assert rows[0].offset == 0x4000
    end = 8 + 20 * 3
    for row in rows:
        assert row is not None
        assert row.offset == -(-end // (1 << row.alignment)) * (1 << row.alignment)
        assert not any(signed[end : row.offset])
        end = row.offset + row.size
    assert end == len(signed)


def test_lief_agrees_on_what_was_written() -> None:
    """An independent parser finds the signature and __LINKEDIT where they are."""
    signed = sign(fat(compiled("x86_64"), compiled("arm64")), ADHOC)
    parsed: Any = lief.MachO.parse(list(signed))
    for theirs, ours in zip(parsed, read_slices(BytesSource(signed)), strict=True):
        assert ours.image.signature is not None
        assert theirs.code_signature.data_offset == ours.image.signature.dataoff
        assert theirs.code_signature.data_size == ours.image.signature.datasize
        linkedit = theirs.get_segment("__LINKEDIT")
        assert linkedit.file_offset + linkedit.file_size == ours.size


def test_a_signature_that_does_not_fit_is_refused() -> None:
    """A CMS that is larger than what Apple reserves is an error, as it is at Apple's, and nothing is written."""
    slices = read_slices(BytesSource(image()))
    inputs = decide(slices, ADHOC, file_name="tool", identity=None)
    spare = 18000 - 8
    assert plan_signatures(slices, inputs, lambda _: bytes(spare))
    with pytest.raises(SigningError, match="codesign reserves"):
        plan_signatures(slices, inputs, lambda _: bytes(spare + 64))
