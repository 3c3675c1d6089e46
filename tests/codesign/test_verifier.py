"""Verification: what holds is told, one changed byte anywhere is refused with its place."""

from __future__ import annotations

import plistlib
import random
import struct
from collections.abc import Callable
from functools import cache

import pytest
from builders.chain import SIGNED_AT, developer_id
from builders.mach import fat, image
from builders.signing import refused, sign, signatures, verify

from pipeline.codesign import Expectations, Flags, SigningOptions, verify_slices
from pipeline.codesign.options import NO_ANCHORS
from pipeline.codesign.requirements import compile_requirement, compile_requirements
from pipeline.codesign.superblob import Slot
from pipeline.errors import MalformedFile, VerificationError
from pipeline.macho import BytesSource, MachSlice, read_slices

CHAIN = developer_id(team="ABCDE12345")
ENTITLEMENTS = plistlib.dumps({"get-task-allow": True, "com.example.number": 7})
OPTIONS = SigningOptions(
    identifier="com.example.tool", anchors=CHAIN.anchors, flags=Flags.RUNTIME, entitlements=ENTITLEMENTS
)


@cache
def _universal() -> bytes:
    return sign(fat(image(arch="x86_64", minimum="10.9", size=9000), image(arch="arm64", size=40_000)), OPTIONS, CHAIN)


@cache
def _ad_hoc() -> bytes:
    return sign(image(size=40_000), SigningOptions(identifier="com.example.tool", entitlements=ENTITLEMENTS))


def _slices(data: bytes) -> tuple[MachSlice, ...]:
    return read_slices(BytesSource(data))


def _refused(data: bytes, **expected: object) -> VerificationError:
    return refused(data, CHAIN, **expected)


def _flip(data: bytes, at: int, bit: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def _blob(data: bytes, index: int, slot: int) -> range:
    """Where the blob of a slot lies in the file."""
    one = _slices(data)[index]
    signature = signatures(data)[index]
    assert one.image.signature is not None
    start = one.offset + one.image.signature.dataoff
    at = signature.superblob.index(signature.blob(slot) or b"?")
    return range(start + at, start + at + len(signature.blob(slot) or b""))


def test_what_holds_is_told() -> None:
    """Every slice with its names, its flags, who signed it and when, and what was not judged."""
    intel, apple = verify(_universal(), CHAIN)
    assert (intel.arch, apple.arch) == ("x86_64", "arm64")
    assert len(intel.cdhashes) == len(apple.cdhashes) == 2
    assert intel.cdhash == intel.cdhashes[1]
    assert intel.cdhash != apple.cdhash
    for one in (intel, apple):
        assert (one.identifier, one.team, one.flags) == ("com.example.tool", "ABCDE12345", ("runtime",))
        assert one.signing_time == SIGNED_AT
        assert one.timestamp is None
        assert one.entitlements == {"get-task-allow": True, "com.example.number": 7}
        assert one.not_judged == (
            "revocation of the certificates",
            "when it was signed: without a time stamp, that is the signer's own word",
        )


def test_an_ad_hoc_signature_holds_and_names_nobody() -> None:
    """Its digests are judged; that nobody stands behind it is said."""
    (found,) = verify(_ad_hoc(), CHAIN)
    assert found.flags == ("adhoc",)
    assert found.authorities == ()
    assert "ad hoc" in " ".join(found.not_judged)


def test_a_team_that_nobody_vouches_for_is_said_to_be_unproved() -> None:
    """An ad-hoc signature may name any team; with a developer's certificate the team is proved, and nothing is said."""
    (found,) = verify(sign(image(), SigningOptions(identifier="a.b", team="ABCDE12345")), CHAIN)
    assert found.team == "ABCDE12345"
    assert "the team ABCDE12345: no certificate of a developer says it" in found.not_judged
    assert not any("team" in words for one in verify(_universal(), CHAIN) for words in one.not_judged)


def test_every_byte_of_the_heads_and_the_signatures_counts() -> None:
    """Universal header, load commands, SuperBlob, CodeDirectories, parts, CMS, padding: a flipped bit is refused."""
    data = _universal()
    chance = random.Random(1)
    places = set(range(8 + 20 * 2 + 16))
    for one in _slices(data):
        assert one.image.signature is not None
        start = one.offset + one.image.signature.dataoff
        length = len(signatures(data)[0 if one.offset == _slices(data)[0].offset else 1].superblob)
        places |= set(range(one.offset, one.offset + len(one.image.head) + 32))
        places |= set(range(start, start + 200))
        places |= set(chance.sample(range(start + 200, start + length), 900))
        places |= {start + length, one.offset + one.size - 1}
    for at in sorted(places):
        # A damaged magic, or a count that only a Java class has, makes it another kind of file.
        with pytest.raises((MalformedFile, VerificationError) if at < 8 else VerificationError):
            verify(_flip(data, at, chance.randrange(8)), CHAIN)


def test_every_byte_of_the_code_counts() -> None:
    """A flipped bit in a page is refused with slice and page."""
    data = _universal()
    chance = random.Random(2)
    for one in _slices(data):
        assert one.image.signature is not None
        page = 16384 if one.arch == "arm64" else 4096
        for _ in range(40):
            at = chance.randrange(len(one.image.head) + 16, one.image.signature.dataoff)
            error = _refused(_flip(data, one.offset + at, chance.randrange(8)))
            assert (error.where or "").startswith(f"slice {one.arch}: page {at // page} (")


def test_a_page_is_told_with_what_lies_in_it() -> None:
    """Segment and bytes; of the first page that it holds the header."""
    data = _ad_hoc()
    error = _refused(_flip(data, 0x4100))
    assert error.where == "slice arm64: page 1 (__DATA: bytes 0x4000 to 0x8000 of the slice)"
    text = _slices(data)[0].image.section("__TEXT", "__text")
    assert text is not None
    assert "page 0 (header and load commands, __TEXT: " in str(_refused(_flip(data, text.offset)))


@pytest.mark.parametrize(
    ("slot", "where"),
    [
        (Slot.REQUIREMENTS, "requirements (slot 2)"),
        (Slot.ENTITLEMENTS, "entitlements (slot 5)"),
        (Slot.ENTITLEMENTS_DER, "DER entitlements (slot 7)"),
        (Slot.CMS, "CMS signature (slot 0x10000)"),
    ],
)
@pytest.mark.parametrize("index", [0, 1])
def test_a_changed_part_is_told_by_its_slot(slot: Slot, where: str, index: int) -> None:
    """Requirements, entitlements in both forms, CMS; in either slice."""
    place = _blob(_universal(), index, slot)
    error = _refused(_flip(_universal(), place[len(place) // 2]))
    assert (error.where or "").startswith(f"slice {('x86_64', 'arm64')[index]}: {where}")


def test_a_changed_code_directory_breaks_the_cms() -> None:
    """The identifier in both of them, so that they still agree with each other."""
    data = _universal()
    for slot in (Slot.CODE_DIRECTORY, Slot.ALTERNATE_DIRECTORIES):
        place = _blob(data, 0, slot)
        at = data.index(b"com.example.tool\0", place[0])
        data = _flip(data, at)
    assert "CMS" in (_refused(data).where or "")


# Where a CodeDirectory has them (cs_blobs.h); the last byte of each.
FIELDS = {
    "version": 11,
    "flags": 15,
    "platform": 38,
    "exec segment base": 71,
    "exec segment limit": 79,
    "exec segment flags": 87,
    "runtime": 91,
}


@pytest.mark.parametrize("field", ["identifier", *FIELDS])
def test_code_directories_that_disagree_are_refused(field: str) -> None:
    """Ad hoc, where no CMS would notice: which of them the kernel takes must not matter."""
    options = SigningOptions(identifier="com.example.tool", flags=Flags.RUNTIME)
    data = sign(image(arch="x86_64", minimum="10.9"), options)
    place = _blob(data, 0, Slot.ALTERNATE_DIRECTORIES)
    at = place[0] + FIELDS[field] if field in FIELDS else data.index(b"com.example.tool\0", place[0])
    error = _refused(_flip(data, at))
    assert error.where == "slice x86_64: CodeDirectory sha256"
    assert "other things" in error.message


REGIONS: dict[str, tuple[Callable[[bytes], int], str]] = {
    "before the first slice": (lambda _: 0x3000, "gap before slice x86_64"),
    "between the slices": (lambda data: _slices(data)[1].offset - 1, "gap before slice arm64"),
    "behind the signature": (lambda data: len(data) - 1, "slice arm64: padding after the signature"),
}


@pytest.mark.parametrize(("place", "where"), REGIONS.values(), ids=REGIONS.keys())
def test_what_no_hash_covers_is_zero(place: Callable[[bytes], int], where: str) -> None:
    """Gaps between slices and padding behind a signature, told by their region."""
    assert _refused(_flip(_universal(), place(_universal()))).where == where


def test_an_earlier_signatures_bytes_are_told_or_refused() -> None:
    """Apple's own files can have them: a foreign file is told to have a residue, a release of ours may not."""
    data = _flip(_ad_hoc(), len(_ad_hoc()) - 20)
    (found,) = verify(data, CHAIN, strict_padding=False)
    assert found.residue
    assert "padding after the signature" in str(_refused(data))


def test_gaps_are_zero_even_in_a_foreign_file() -> None:
    """Nothing is hidden between slices."""
    assert _refused(_flip(_universal(), 0x3000), strict_padding=False).where == "gap before slice x86_64"


def _swapped() -> bytes:
    """The arm64 slice of another program, signed by the same developer, in place of ours."""
    other = sign(fat(image(arch="x86_64"), image(arch="arm64", uuid=bytes(16), size=40_000)), OPTIONS, CHAIN)
    one, two = _slices(_universal())[1], _slices(other)[1]
    return _universal()[: one.offset] + other[two.offset : two.offset + two.size]


DAMAGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "cut": (lambda: _universal()[:-1], "past the file"),
    "cut in the middle": (lambda: _universal()[:0x9000], "past the file"),
    "a byte more": (lambda: _universal() + b"\0", "1 bytes lie behind the last slice"),
    "another program's slice": (_swapped, "past the file|lie behind the last slice"),
    "not signed": (lambda: image(), "not signed"),
    "one slice not signed": (lambda: fat(image(arch="x86_64"), _ad_hoc(), first=0x4000), "not signed"),
    "bytes behind a thin file": (lambda: _ad_hoc() + b"\0", "not at the end of the file"),
}


@pytest.mark.parametrize(("make", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_is_refused(make: Callable[[], bytes], message: str) -> None:
    """Cut, lengthened, mixed from two files, or with a slice that nobody signed."""
    assert any(part in _refused(make()).message for part in message.split("|"))


def test_another_kind_of_file_is_not_verified() -> None:
    """It is no failed verification: there is nothing to verify."""
    for data in (b"", b"#!/bin/sh\n", bytes.fromhex("cafebabe0000003d") + bytes(64)):
        with pytest.raises(MalformedFile, match="not a Mach-O file"):
            verify(data, CHAIN)


def test_a_stranger_is_refused() -> None:
    """The chain must end at a root that is known."""
    error = _refused(_universal(), anchors=NO_ANCHORS)
    assert (error.where or "").startswith("slice x86_64: CMS signature")


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('identifier "com.example.tool" and anchor apple generic', True),
        ("certificate leaf[subject.OU] = ABCDE12345", True),
        ("certificate leaf[subject.OU] = OTHER67890", False),
        ("identifier other", False),
        ('entitlement["get-task-allow"] exists', True),
    ],
)
def test_a_requirement_is_demanded_of_every_slice(text: str, holds: bool) -> None:
    """What the caller asks beside the designated requirement."""
    requirement = compile_requirement(text)
    if holds:
        verify_slices(BytesSource(_universal()), Expectations(anchors=CHAIN.anchors, requirement=requirement))
    else:
        assert "does not satisfy" in _refused(_universal(), requirement=requirement).message


@pytest.mark.parametrize("at", [0, 1, 5, 60])
def test_a_cms_that_is_none_is_no_ad_hoc_signature(at: int) -> None:
    """Not even where nothing else asks who signed: anybody can satisfy this designated requirement."""
    anybody = compile_requirements('designated => identifier "com.example.tool"')
    options = SigningOptions(identifier="com.example.tool", anchors=CHAIN.anchors, requirements=anybody)
    data = sign(image(), options, CHAIN)
    assert verify(data, CHAIN)
    error = _refused(_flip(data, _blob(data, 0, Slot.CMS)[8 + at], 7))
    assert error.where == "slice arm64: CMS signature (slot 0x10000)"


def test_the_own_requirement_must_hold() -> None:
    """A signature whose designated requirement speaks of other code is refused."""
    wrong = compile_requirements('designated => identifier "com.example.other"')
    options = SigningOptions(identifier="com.example.tool", anchors=CHAIN.anchors, requirements=wrong)
    assert "designated requirement" in _refused(sign(image(), options, CHAIN)).message


def _patched_directory(offset: int, layout: str, value: int) -> bytes:
    """An ad-hoc signature whose CodeDirectory says something else."""
    place = _blob(_ad_hoc(), 0, Slot.CODE_DIRECTORY)
    raw = struct.pack(">" + layout, value)
    at = place[0] + offset
    return _ad_hoc()[:at] + raw + _ad_hoc()[at + len(raw) :]


CONTRADICTIONS = {
    "a limit before the signature": (lambda: _patched_directory(32, "I", 4096), "it covers"),
    "a page size that gives fewer hashes": (lambda: _patched_directory(39, "B", 16), "hashes of"),
    "not ad hoc": (lambda: _patched_directory(12, "I", 0), "does not say that it is ad hoc"),
    "a page of 4 KiB": (lambda: _patched_directory(39, "B", 12), "hashes of"),
    "one hash of everything": (lambda: _patched_directory(39, "B", 0), "hashes of"),
}


@pytest.mark.parametrize(("make", "message"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_a_code_directory_that_contradicts_the_file_is_refused(make: Callable[[], bytes], message: str) -> None:
    """What it covers and how many hashes it has must fit the image."""
    assert message in _refused(make()).message


def test_a_cms_in_an_ad_hoc_signature_is_refused() -> None:
    """It cannot be both."""
    data = _universal()
    for slot in (Slot.CODE_DIRECTORY, Slot.ALTERNATE_DIRECTORIES):
        at = _blob(data, 0, slot)[0] + 15
        data = data[:at] + bytes([data[at] | 2]) + data[at + 1 :]
    assert "says that it is ad hoc" in _refused(data).message


def test_a_layout_that_nobody_writes_is_refused_in_a_release() -> None:
    """Slices further apart than lipo or codesign put them; a foreign file may be so."""
    (one, two) = (sign(image(arch=arch), SigningOptions(identifier="a.b")) for arch in ("x86_64", "arm64"))
    data = fat(one, two, alignment=13)
    assert verify(data, CHAIN, strict_padding=False)
    assert _refused(data).where == "universal header"
