"""Signed files that were damaged at random: refused with an error of ours by everything that reads signatures."""

from __future__ import annotations

import plistlib
from functools import cache

import pytest
from builders.chain import SIGNED_AT, developer_id
from builders.mach import fat, image
from builders.signing import sign
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.codesign import Expectations, Flags, SigningOptions, sign_slices, verify_slices
from pipeline.codesign.code_directory import parse_code_directory
from pipeline.codesign.describe import describe, render
from pipeline.codesign.reproduce import reproduce
from pipeline.codesign.signature import parse_signature
from pipeline.codesign.signed_data import issuer_and_serial
from pipeline.codesign.stripper import strip_slices
from pipeline.codesign.superblob import Blob, Magic, Slot, build_blob, build_superblob
from pipeline.errors import MalformedFile, ReleaseError
from pipeline.macho import BytesSource, read_slices

CHAIN = developer_id(team="ABCDE12345")
OPTIONS = SigningOptions(
    identifier="a.b",
    anchors=CHAIN.anchors,
    flags=Flags.RUNTIME,
    entitlements=plistlib.dumps({"get-task-allow": True, "list": [1, "x"]}),
)


@cache
def _seeds() -> tuple[bytes, ...]:
    return (
        sign(image(info_plist=plistlib.dumps({"CFBundleIdentifier": "a.b"})), OPTIONS, CHAIN),
        sign(image(arch="x86_64", minimum="10.9"), SigningOptions()),
        sign(fat(image(arch="i386"), image(arch="arm64e")), OPTIONS, CHAIN),
    )


def _read_everything(data: bytes) -> None:
    source = BytesSource(data)
    expectations = Expectations(anchors=CHAIN.anchors)
    for read in (
        lambda: verify_slices(source, expectations),
        lambda: render(describe(read_slices(source))),
        lambda: reproduce(source, read_slices(source)),
        lambda: sign_slices(read_slices(source), SigningOptions(), file_name="x", signing_time=SIGNED_AT),
        lambda: strip_slices(read_slices(source), SigningOptions().era),
    ):
        try:
            read()
        except ReleaseError as error:
            str(error).encode()


def test_a_signature_without_a_code_directory_is_malformed() -> None:
    """Whatever else is in it."""
    empty_set = Blob(slot=Slot.REQUIREMENTS, data=build_blob(Magic.REQUIREMENTS, bytes(4)))
    with pytest.raises(MalformedFile, match="without a CodeDirectory"):
        parse_signature(build_superblob([empty_set]))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_signed_file_is_refused_or_read(data: st.DataObject) -> None:
    """Bytes of load commands and signature overwritten, or the file cut: our errors, printable, and no other."""
    seed = bytearray(data.draw(st.sampled_from(_seeds())))
    regions = [0]
    for one in read_slices(BytesSource(bytes(seed))):
        assert one.image.signature is not None
        regions += [one.offset, one.offset + one.image.signature.dataoff]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(regions)) + data.draw(st.integers(0, 1500))
        value = data.draw(st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 4, bytes(4)])))
        seed[at : at + len(value)] = value
    cut = data.draw(st.one_of(st.just(len(seed)), st.integers(0, len(seed))))
    _read_everything(bytes(seed[:cut]))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_no_signature(data: bytes) -> None:
    """Bytes of any kind behind the right magics."""
    for magic, parse in (
        (b"\xfa\xde\x0c\xc0", parse_signature),
        (b"\xfa\xde\x0c\x02", parse_code_directory),
    ):
        blob = magic + (len(data) + 8).to_bytes(4, "big") + data
        try:
            parse(blob)
        except ReleaseError:
            continue


def test_an_empty_certificate_is_refused() -> None:
    """A CMS with `30 00` where a certificate belongs: found by fuzzing."""
    with pytest.raises(MalformedFile, match="certificate"):
        issuer_and_serial(b"\x30\x00")
