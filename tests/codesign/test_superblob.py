"""Blobs and SuperBlobs: reading and writing are inverse, and nothing in one belongs to nobody."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codesign.superblob import (
    Blob,
    Magic,
    Slot,
    build_blob,
    build_superblob,
    parse_blob,
    parse_superblob,
    slot_name,
)
from pipeline.errors import MalformedFile

# The requirements and CMS of an ad-hoc signature, as codesign writes them: an empty set and an empty wrapper.
EMPTY_SET = bytes.fromhex("fade0c010000000c00000000")
EMPTY_WRAPPER = bytes.fromhex("fade0b0100000008")


def test_what_an_ad_hoc_signature_holds_is_what_codesign_writes() -> None:
    """The empty set of requirements and the empty CMS are 12 and 8 bytes."""
    assert build_superblob([], Magic.REQUIREMENTS) == EMPTY_SET
    assert build_blob(Magic.WRAPPER, b"") == EMPTY_WRAPPER


def test_blobs_are_packed_in_the_order_of_their_slots() -> None:
    """The index and the blobs ascend; there is no padding."""
    data = build_superblob([Blob(slot=Slot.CMS, data=EMPTY_WRAPPER), Blob(slot=Slot.REQUIREMENTS, data=EMPTY_SET)])
    assert data == struct.pack(">7I", 0xFADE0CC0, 48, 2, 2, 28, 0x10000, 40) + EMPTY_SET + EMPTY_WRAPPER


@given(st.dictionaries(st.integers(0, 0xFFFFFFFF), st.binary(max_size=40), max_size=8))
def test_a_superblob_comes_back_as_it_was(contents: dict[int, bytes]) -> None:
    """Whatever its blobs hold."""
    blobs = [Blob(slot=slot, data=build_blob(0xFADE7171, content)) for slot, content in sorted(contents.items())]
    data = build_superblob(blobs)
    assert list(parse_superblob(data)) == blobs
    assert build_superblob(parse_superblob(data)) == data


GOOD = build_superblob([Blob(slot=2, data=EMPTY_SET), Blob(slot=0x10000, data=EMPTY_WRAPPER)])


def _word(index: int, value: int) -> bytes:
    return GOOD[: index * 4] + struct.pack(">I", value) + GOOD[index * 4 + 4 :]


BROKEN = {
    "nothing": b"",
    "another kind": _word(0, 0xFADE0CC1),
    "too long": _word(1, len(GOOD) + 1),
    "too short": _word(1, len(GOOD) - 1),
    "a byte more": GOOD + b"\0",
    "bytes in a gap": GOOD[:4] + struct.pack(">I", len(GOOD) + 4) + GOOD[8:] + b"\0\0\0\1",
    "a byte less": GOOD[:-1],
    "a million blobs": _word(2, 1_000_000),
    "a blob more": _word(2, 3),
    "a blob that nothing speaks of": _word(2, 1),
    "a blob in the index": _word(4, 12),
    "a blob before the index": _word(4, 0),
    "a blob past the end": _word(6, len(GOOD)),
    "a blob that wraps": _word(6, 0xFFFFFFFC),
    "a blob twice": _word(6, 28),
    "a slot twice": _word(5, 2),
    "a blob longer than what is left": GOOD[:32] + struct.pack(">I", 0xFFFFFFFF) + GOOD[36:],
    "a blob shorter than its header": struct.pack(">10I", 0xFADE0CC0, 40, 2, 2, 28, 5, 32, 0xFADE0C01, 4, 8),
    "a blob of no length": GOOD[:32] + struct.pack(">I", 0) + GOOD[36:],
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_superblob_is_refused(data: bytes) -> None:
    """Gaps, overlaps and lengths that do not fit are a MalformedFile."""
    with pytest.raises(MalformedFile):
        parse_superblob(data)


def test_zeros_before_the_first_blob_are_fine() -> None:
    """LLVM's linker aligns its only blob to 8 bytes."""
    data = struct.pack(">7I", 0xFADE0CC0, 32, 1, 0x10000, 24, 0, 0xFADE0B01) + struct.pack(">I", 8)
    assert parse_superblob(data) == (Blob(slot=0x10000, data=EMPTY_WRAPPER),)
    with pytest.raises(MalformedFile, match="are not zero"):
        parse_superblob(data[:23] + b"\1" + data[24:])


def test_a_blob_of_another_kind_is_refused() -> None:
    """The kind of blob that a place asks for is the only one it takes."""
    assert parse_blob(EMPTY_SET, Magic.REQUIREMENTS) == bytes(4)
    with pytest.raises(MalformedFile, match="0xfade0c01 where 0xfade7171 belongs"):
        parse_blob(EMPTY_SET, Magic.ENTITLEMENTS)


@pytest.mark.parametrize(
    ("slot", "name"),
    [
        (5, "entitlements (slot 5)"),
        (0x1001, "alternate CodeDirectory (slot 0x1001)"),
        (0x10000, "CMS signature (slot 0x10000)"),
        (99, "slot 99"),
    ],
)
def test_slots_have_names(slot: int, name: str) -> None:
    """A slot is told in words and as a number; an unknown one as a number."""
    assert slot_name(slot) == name
