"""Sources: windows and overlays show and hash the bytes that they stand for."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import MalformedFile
from pipeline.macho import BytesSource, Overlay, Window, first_nonzero
from pipeline.macho.source import read_all


def _pages(data: bytes, page: int) -> list[bytes]:
    return [hashlib.sha256(data[at : at + page]).digest() for at in range(0, len(data), page)]


@given(st.binary(max_size=300), st.integers(1, 64), st.data())
def test_a_window_hashes_what_it_shows(data: bytes, page: int, draw: st.DataObject) -> None:
    """A window of a window reads and hashes the bytes between its ends."""
    start = draw.draw(st.integers(0, len(data)))
    size = draw.draw(st.integers(0, len(data) - start))
    inner_start = draw.draw(st.integers(0, size))
    window = Window(Window(BytesSource(data), start, size), inner_start, size - inner_start)
    expected = data[start + inner_start : start + size]
    assert window.read(0, window.size) == expected
    assert window.digests(["sha256"], page, window.size)["sha256"] == _pages(expected, page)


@given(st.binary(min_size=1, max_size=300), st.integers(1, 64), st.data())
def test_an_overlay_hashes_what_it_shows(data: bytes, page: int, draw: st.DataObject) -> None:
    """A new head and zeros behind the rest give the hashes of the file as it will be."""
    kept = draw.draw(st.integers(1, len(data)))
    head = draw.draw(st.binary(max_size=kept))
    zeros = draw.draw(st.integers(0, 40))
    overlay = Overlay(base=BytesSource(data), head=head, kept=kept, size=kept + zeros)
    expected = head + data[len(head) : kept] + bytes(zeros)
    assert overlay.read(0, overlay.size) == expected
    assert b"".join(part if isinstance(part, bytes) else part.read(0, part.size) for part in overlay.parts) == expected
    found = overlay.digests(["sha1", "sha256"], page, overlay.size)
    assert found["sha256"] == _pages(expected, page)
    assert found["sha1"][0] == hashlib.sha1(expected[:page]).digest()


def test_a_page_size_of_nothing_makes_one_hash() -> None:
    """All bytes are hashed at once, none at all included."""
    assert BytesSource(b"abc").digests(["sha256"], 0, 3) == {"sha256": [hashlib.sha256(b"abc").digest()]}
    assert BytesSource(b"").digests(["sha256"], 0, 0) == {"sha256": [hashlib.sha256(b"").digest()]}


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1), (0, 4), (4, 1), (3, 1), (1 << 63, 1)])
def test_a_read_outside_is_refused(offset: int, length: int) -> None:
    """A source never gives fewer bytes than were asked for."""
    with pytest.raises(MalformedFile):
        BytesSource(b"abc").read(offset, length)
    with pytest.raises(MalformedFile):
        Window(BytesSource(b"abcdef"), 0, 3).read(offset, length)


def test_a_window_outside_is_refused() -> None:
    """A window lies within what it looks at."""
    with pytest.raises(MalformedFile):
        Window(BytesSource(b"abc"), 1, 3)


def test_too_much_is_not_read_at_once() -> None:
    """What is to be held in memory has a limit."""
    assert read_all(BytesSource(b"abc"), limit=3) == b"abc"
    with pytest.raises(MalformedFile):
        read_all(BytesSource(b"abcd"), limit=3)


def test_the_first_byte_that_is_not_zero_is_found() -> None:
    """Its offset, or nothing between the ends."""
    source = BytesSource(bytes(2_000_000) + b"\x01" + bytes(10))
    assert first_nonzero(source, 0, source.size) == 2_000_000
    assert first_nonzero(source, 0, 2_000_000) is None
    assert first_nonzero(source, 2_000_001, source.size) is None
