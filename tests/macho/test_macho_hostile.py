"""Files that were damaged at random: an error of ours or a result, nothing else, and quickly."""

from __future__ import annotations

import contextlib

from builders.mach import fat, image
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ReleaseError
from pipeline.macho import BytesSource, read_slices

SEEDS = [
    image(arch="arm64", signature=(-1, 64), info_plist=b"<plist/>"),
    image(arch="i386", kind="dylib"),
    fat(image(arch="x86_64"), image(arch="arm64e", kind="kext")),
]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused(data: st.DataObject) -> None:
    """Overwriting any bytes of the first kilobytes, or cutting, never leads to another exception than ours."""
    seed = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 1023)) + data.draw(st.sampled_from([0, 0x4000]))
        value = data.draw(st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 4, b"\0" * 4])))
        seed[at : at + len(value)] = value
    cut = data.draw(st.one_of(st.just(len(seed)), st.integers(0, len(seed))))
    try:
        slices = read_slices(BytesSource(bytes(seed[:cut])))
    except ReleaseError:
        return
    assert slices


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=4096))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Bytes of any kind, with any magic before them, never lead to another exception than ours."""
    for magic in (b"", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe\0\0\0\x02", b"\xca\xfe\xba\xbf"):
        with contextlib.suppress(ReleaseError):
            assert read_slices(BytesSource(magic + data))
