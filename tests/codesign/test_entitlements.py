"""Entitlements against real signatures' slots 5 and 7, and against the bytes that codesign wrote for others' tests."""

from __future__ import annotations

import plistlib
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from builders.clients import need
from builders.mach import image
from builders.signature_parts import WITH_DER, Parts, marked
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codesign import der
from pipeline.codesign.constraints import constraint_der, parse_constraint_der
from pipeline.codesign.entitlements import (
    DEEPEST,
    LARGEST_XML,
    DerForm,
    entitlements_der,
    exec_seg_flags,
    parse_entitlements,
    parse_entitlements_der,
)
from pipeline.codesign.superblob import Magic, Slot, blob_length, parse_blob, parse_superblob
from pipeline.errors import MalformedFile, ReleaseError, SigningError

# What codesign of macOS 12 and later wrote, as the tests of apple-codesign record it (plist_der.rs, DER_*).
BY_CODESIGN = [
    ({}, "70 05 020101 b0 00"),
    ({"key": False}, "70 0f 020101 b0 0a 30 08 0c03 6b6579 0101 00"),
    ({"key": True}, "70 0f 020101 b0 0a 30 08 0c03 6b6579 0101 ff"),
    ({"key": 0}, "70 0f 020101 b0 0a 30 08 0c03 6b6579 0201 00"),
    ({"key": -1}, "70 0f 020101 b0 0a 30 08 0c03 6b6579 0201 ff"),
    ({"key": 1}, "70 0f 020101 b0 0a 30 08 0c03 6b6579 0201 01"),
    ({"key": 42}, "70 0f 020101 b0 0a 30 08 0c03 6b6579 0201 2a"),
    ({"key": ""}, "70 0e 020101 b0 09 30 07 0c03 6b6579 0c00"),
    ({"key": "value"}, "70 13 020101 b0 0e 30 0c 0c03 6b6579 0c05 76616c7565"),
    ({"key": []}, "70 0e 020101 b0 09 30 07 0c03 6b6579 3000"),
    ({"key": [False]}, "70 11 020101 b0 0c 30 0a 0c03 6b6579 3003 0101 00"),
    ({"key": [True, "foo"]}, "70 16 020101 b0 11 30 0f 0c03 6b6579 3008 0101 ff 0c03 666f6f"),
    ({"key": {}}, "70 0e 020101 b0 09 30 07 0c03 6b6579 b000"),
    ({"key": {"inner": False}}, "70 1a 020101 b0 15 30 13 0c03 6b6579 b00c 300a 0c05 696e6e6572 0101 00"),
    (
        {"key3": 42, "key": False, "key2": True},
        "70 25 020101 b0 20 3008 0c03 6b6579 0101 00 3009 0c04 6b657932 0101 ff 3009 0c04 6b657933 0201 2a",
    ),
]


@pytest.mark.parametrize("name", marked(WITH_DER))
def test_der_is_that_of_the_real_signature(name: str) -> None:
    """The DER of a real slot 7 follows from the XML of its slot 5, and says the same."""
    parts = Parts(name=name)
    values = parse_entitlements(parts.entitlements)
    assert entitlements_der(values) == parts.entitlements_der
    assert parse_entitlements_der(parts.entitlements_der) == values


@pytest.mark.parametrize(("values", "expected"), BY_CODESIGN)
def test_der_is_what_codesign_wrote(values: dict[str, Any], expected: str) -> None:
    """Integers, empty and nested dictionaries, arrays of several kinds, three keys out of order."""
    encoded = bytes.fromhex(expected)
    assert entitlements_der(values) == encoded
    assert parse_entitlements_der(encoded) == values


@pytest.mark.rcodesign
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"b": [1, -129, {"z": True, "a": [[], {}]}], "a": {"k": {"k": "v"}}, "long": "x" * 300},
        {"umlaut": "Käse", "日本": "語", "i": 1 << 40, "j": -(1 << 62)},
        {"com.apple.security.cs.allow-jit": True, "com.apple.security.app-sandbox": False, "com": 0},
    ],
    ids=["empty", "nested", "beyond ASCII", "common"],
)
def test_rcodesign_writes_the_same_der(values: dict[str, Any], tmp_path: Path) -> None:
    """Of the same XML; keys here are such that both ways of ordering them agree."""
    rcodesign = str(need("rcodesign"))
    (tmp_path / "tool").write_bytes(image(arch="arm64"))
    (tmp_path / "entitlements").write_bytes(plistlib.dumps(values))
    signing = [rcodesign, "sign", "--entitlements-xml-path", "entitlements", "tool", "signed"]
    subprocess.run(signing, cwd=tmp_path, check=True, capture_output=True)
    extracting = [rcodesign, "extract", "signature-raw", "signed"]
    raw = subprocess.run(extracting, cwd=tmp_path, check=True, capture_output=True).stdout
    blobs = {blob.slot: blob.data for blob in parse_superblob(raw[: blob_length(raw)])}
    assert parse_blob(blobs[Slot.ENTITLEMENTS_DER], Magic.ENTITLEMENTS_DER) == entitlements_der(values)


@pytest.mark.parametrize(
    ("value", "content"),
    [(127, "7f"), (128, "0080"), (-128, "80"), (-129, "ff7f"), ((1 << 63) - 1, "7fffffffffffffff"),
     (-(1 << 63), "8000000000000000")],
)  # fmt: skip
def test_integers_are_as_short_as_their_sign_allows(value: int, content: str) -> None:
    """Two's complement of up to 64 bits."""
    encoded = entitlements_der({"k": value})
    assert encoded.endswith(bytes([2, len(content) // 2]) + bytes.fromhex(content))
    assert parse_entitlements_der(encoded) == {"k": value}


@pytest.mark.parametrize(
    "value", [1 << 63, -(1 << 63) - 1, 1.0, 1.5, float("inf"), b"data", datetime(2026, 1, 1), plistlib.UID(1)]
)
def test_kinds_that_codesign_refuses_are_refused(value: object) -> None:
    """Numbers beyond 64 bits, reals, data, dates: a signing error, not a guess."""
    with pytest.raises(SigningError):
        entitlements_der({"key": value})


def test_a_constraint_may_hold_data() -> None:
    """A launch constraint names a CDHash as an OCTET STRING; in entitlements the same bytes are refused."""
    encoded = entitlements_der({"cdhash": bytes(20)}, data_allowed=True)
    assert encoded.endswith(b"\x04\x14" + bytes(20))
    assert parse_entitlements_der(encoded, data_allowed=True) == {"cdhash": bytes(20)}
    with pytest.raises(MalformedFile):
        parse_entitlements_der(encoded)
    demanded = {"cdhash": {"$in": [bytes(20), bytes(range(20))]}, "team-identifier": "ABCDE12345"}
    assert parse_constraint_der(constraint_der(plistlib.dumps(demanded))) == demanded


def test_der_is_nested_to_a_depth() -> None:
    """Lists in lists, more than a stack holds: malformed, and nothing else."""
    encoded = der.build(der.SEQUENCE, b"")
    for _ in range(2000):
        encoded = der.build(der.SEQUENCE, encoded)
    key = der.build(der.UTF8_STRING, b"key")
    with pytest.raises(MalformedFile, match="nested more than"):
        parse_entitlements_der(
            der.build(0x70, der.build_integer(1), der.build(0xB0, der.build(der.SEQUENCE, key, encoded)))
        )


def test_keys_and_texts_beyond_ascii_keep_their_utf8() -> None:
    """Keys are in the order of their decomposed text: é comes between e and f."""
    encoded = entitlements_der({"f": "ü", "é": True, "e": "日本"})
    positions = [encoded.index(text.encode()) for text in ("日本", "é", "ü")]
    assert positions == sorted(positions)
    assert parse_entitlements_der(encoded) == {"e": "日本", "é": True, "f": "ü"}


def test_the_form_of_macos_11_is_a_set() -> None:
    """A SET of pairs in the order of their DER; true is 1 there; data and dates have a form; so have whole reals."""
    moment = datetime(2026, 11, 21, 6, 15, tzinfo=UTC)
    values = {"bb": True, "a": [1, "x"], "d": b"\x01", "t": moment}
    encoded = entitlements_der(values, DerForm.SET)
    assert (
        encoded
        == bytes.fromhex(
            "31 34"
            "30 06 0c01 64 0401 01"
            "30 07 0c02 6262 0101 01"
            "30 0b 0c01 61 3006 0201 01 0c01 78"
            "30 14 0c01 74 180f".replace(" ", "")
        )
        + b"20261121061500Z"
    )
    assert parse_entitlements_der(encoded) == values
    assert entitlements_der({"r": 2.0}, DerForm.SET) == entitlements_der({"r": 2}, DerForm.SET)
    with pytest.raises(SigningError):
        entitlements_der({"r": 2.5}, DerForm.SET)


@pytest.mark.parametrize(
    "encoded",
    [
        "70 0f 020101 b0 0a 30 08 0c03 6b6579 0101 01",  # a true that is not ff
        "70 0f 020102 b0 0a 30 08 0c03 6b6579 0101 ff",  # version 2
        "70 10 020101 b0 0b 30 09 0c03 6b6579 0202 0001",  # an integer longer than needed
        "70 19 020101 b0 14 30 08 0c03 6b6579 0101 ff 30 08 0c03 6b6578 0101 ff",  # keys out of order
        "70 19 020101 b0 14 30 08 0c03 6b6579 0101 ff 30 08 0c03 6b6579 0101 ff",  # a key twice
        "70 0f 020101 b0 0a 30 08 0c03 6b65ff 0101 ff",  # a key that is no UTF-8
        "70 0f 020101 b0 0a 30 08 0403 6b6579 0101 ff",  # a key that is no text
        "70 0f 020101 b0 0a 30 08 0c03 6b6579 0101",  # cut off
        "30 00",
        "70 03 020101",
        "",
    ],
)
def test_der_that_is_not_canonical_is_refused(encoded: str) -> None:
    """One set of values has one DER; anything else is malformed."""
    with pytest.raises(MalformedFile):
        parse_entitlements_der(bytes.fromhex(encoded))


def test_blanks_before_the_declaration_are_no_fault() -> None:
    """Apple's parser skips them, and real files of Node.js begin with two."""
    text = b'\n  <?xml version="1.0" encoding="UTF-8"?><plist version="1.0"><dict><key>a</key><true/></dict></plist>'
    assert parse_entitlements(text) == {"a": True}
    assert parse_entitlements(b"\xef\xbb\xbf" + text.strip()) == {"a": True}


@pytest.mark.parametrize(
    "xml",
    [
        b"",
        b"a = 1;",
        b"bplist00",
        b"<plist><array/></plist>",
        b"<plist><dict><key>a</key></dict></plist>",
        b"<plist><dict><true/></dict></plist>",
        b"<plist><dict><key>a</key><integer>one</integer></dict></plist>",
        b"<plist><dict><key>a</key><date>yesterday</date></dict></plist>",
        b"<plist><dict><key>a</key><true/></dict>",
        b'<!DOCTYPE plist [<!ENTITY a "b">]><plist><dict><key>a</key><string>&a;</string></dict></plist>',
        b"<plist><dict><key>a</key>" + b"<array>" * (DEEPEST + 1) + b"</array>" * (DEEPEST + 1) + b"</dict></plist>",
        b"<plist><dict/></plist>" + b" " * LARGEST_XML,
        b"<plist><dict><key>a</key><integer>0x" + b"9" * 5000 + b"</integer></dict></plist>",
    ],
    ids=lambda xml: str(xml[:60]),
)
def test_what_is_no_dictionary_in_xml_is_refused(xml: bytes) -> None:
    """Other formats, other roots, missing values, entities, too deep, too large."""
    with pytest.raises(MalformedFile):
        parse_entitlements(xml)


def test_a_number_of_any_length_in_der_is_our_error() -> None:
    """Python has no digits for one of 2,000 bytes."""
    pair = der.build(der.SEQUENCE, der.build(der.UTF8_STRING, b"a"), der.build(der.INTEGER, b"\x7f" * 2000))
    with pytest.raises(MalformedFile, match="64-bit"):
        parse_entitlements_der(der.build(der.SET, pair))


def test_only_a_boolean_true_switches_a_flag_on() -> None:
    """`com.apple.security.get-task-allow` and a text that says true switch nothing."""
    assert exec_seg_flags({"get-task-allow": True}) == 0x10
    assert exec_seg_flags({"get-task-allow": "true", "com.apple.security.get-task-allow": True}) == 0
    assert exec_seg_flags({"get-task-allow": 1, "run-unsigned-code": False}) == 0
    every = {
        "run-unsigned-code": 0x10,
        "com.apple.private.cs.debugger": 0x20,
        "dynamic-codesigning": 0x40,
        "com.apple.private.skip-library-validation": 0x80,
        "com.apple.private.amfi.can-load-cdhash": 0x100,
        "com.apple.private.amfi.can-execute-cdhash": 0x200,
    }
    assert all(exec_seg_flags({key: True}) == flag for key, flag in every.items())
    assert exec_seg_flags(dict.fromkeys(every, True)) == 0x3F0


_VALUES = st.recursive(
    st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), _VALUES, max_size=5), st.sampled_from(DerForm)
)
def test_der_says_what_it_was_made_of(values: dict[str, Any], form: DerForm) -> None:
    """Both forms can be read back, whatever the values."""
    assert parse_entitlements_der(entitlements_der(values, form)) == values


@given(st.binary(max_size=300))
def test_any_bytes_are_values_or_our_error(data: bytes) -> None:
    """Neither parser leaks another exception."""
    for parse in (parse_entitlements, parse_entitlements_der):
        try:
            assert isinstance(parse(data), dict)
        except ReleaseError:
            continue


@pytest.mark.registry
@given(st.data())
def test_a_damaged_real_file_is_values_or_our_error(data: st.DataObject) -> None:
    """One byte of a real property list or of its DER exchanged for another."""
    parts = Parts(name="mitmproxy-app")
    for whole, parse in ((parts.entitlements, parse_entitlements), (parts.entitlements_der, parse_entitlements_der)):
        at = data.draw(st.integers(0, len(whole) - 1))
        damaged = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
        try:
            assert isinstance(parse(damaged), dict)
        except ReleaseError:
            continue
