"""DER elements, written and read; asn1crypto is the other reader and writer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from asn1crypto import core
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.codesign import der
from pipeline.errors import MalformedFile


@given(st.binary(max_size=70_000))
@example(b"x" * 127)
@example(b"x" * 128)
@example(b"x" * 256)
def test_an_element_is_what_asn1crypto_writes(content: bytes) -> None:
    """Tag, shortest length, content."""
    assert der.build(der.OCTET_STRING, content) == core.OctetString(content).dump()
    assert der.parse(der.build(der.OCTET_STRING, content)).content == content


@given(st.integers(min_value=-(1 << 80), max_value=1 << 80))
def test_integers_are_in_their_shortest_form(value: int) -> None:
    """As asn1crypto writes them, and read back."""
    encoded = der.build_integer(value)
    assert encoded == core.Integer(value).dump()
    assert der.parse_integer(der.parse(encoded)) == value


@pytest.mark.parametrize(
    "dotted",
    ["1.2.840.113635.100.6.1.13", "2.16.840.1.101.3.4.2.1", "0.39", "1.0", "2.999.1", "2.5.4.3", "1.3.6.1.4.1.311"],
)
def test_object_identifiers_both_ways(dotted: str) -> None:
    """The bytes are asn1crypto's, and lead back to the text."""
    assert der.build(der.OBJECT_IDENTIFIER, der.build_oid(dotted)) == core.ObjectIdentifier(dotted).dump()
    assert der.parse_oid(der.build_oid(dotted)) == dotted


@pytest.mark.parametrize(
    "text", ["", "1", "1.", ".1", "3.1", "1.40", "1.02", "1.-2", "1.2_3", "\u0661.\u0662", "1.2\n"]
)
def test_what_names_no_object_is_refused(text: str) -> None:
    """Empty, cut off, out of range, or written with more than digits and dots."""
    with pytest.raises(MalformedFile):
        der.build_oid(text)


@pytest.mark.parametrize(
    ("encoded", "moment"),
    [
        (
            core.UTCTime(datetime(2026, 1, 21, 9, 41, 37, tzinfo=UTC)).dump(),
            datetime(2026, 1, 21, 9, 41, 37, tzinfo=UTC),
        ),
        (core.UTCTime(datetime(1950, 1, 1, tzinfo=UTC)).dump(), datetime(1950, 1, 1, tzinfo=UTC)),
        (core.GeneralizedTime(datetime(2050, 1, 1, tzinfo=UTC)).dump(), datetime(2050, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_both_ways(encoded: bytes, moment: datetime) -> None:
    """UTCTime from 1950 to 2049, GeneralizedTime otherwise."""
    assert der.build_time(moment) == encoded
    assert der.parse_time(der.parse(encoded)) == moment


def test_a_fraction_of_a_second_is_read() -> None:
    """Time-stamp authorities may give one (RFC 3161, 2.4.2)."""
    element = der.parse(der.build(der.GENERALIZED_TIME, b"20260121094137.25Z"))
    assert der.parse_time(element) == datetime(2026, 1, 21, 9, 41, 37, 250_000, tzinfo=UTC)


def test_second_sixty_is_the_next_minute() -> None:
    """A token of Apple's of October 2012 has it, which was no leap second."""
    element = der.parse(der.build(der.GENERALIZED_TIME, b"20121012040860Z"))
    assert der.parse_time(element) == datetime(2012, 10, 12, 4, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", [b"20261321094137Z", b"2026012109413Z", b"20260121094137", b"20260121094137+0100", b"20260121094137.Z",
             b"20260121094137.50Z", b"+0260121094137Z", b"20260121094161Z", b"20260121096060Z", b"99991231235960Z"]
)  # fmt: skip
def test_a_time_that_is_none_is_refused(text: bytes) -> None:
    """A wrong month, a missing digit, no Z, an offset, an empty fraction, a zero too many."""
    with pytest.raises(MalformedFile):
        der.parse_time(der.parse(der.build(der.GENERALIZED_TIME, text)))


@pytest.mark.parametrize(
    "data",
    [b"", b"\x30", b"\x04\x81\x05hello", b"\x04\x82\x00\x05hello", b"\x04\x05hell", b"\x04\x80", b"\x1f\x01\x00",
     b"\x04\x84\xff\xff\xff\xff", b"\x04\x01a\x04"],
)  # fmt: skip
def test_what_is_not_der_is_refused(data: bytes) -> None:
    """Cut off, longer than needed, indefinite, of a long tag, larger than there is, with bytes behind."""
    with pytest.raises(MalformedFile):
        der.parse(data)


def test_indefinite_lengths_become_definite() -> None:
    """Outer elements of BER, as Apple's CMS encoder leaves them."""
    inner = der.build(der.OCTET_STRING, b"content")
    assert der.definite(b"\x30\x80\xa0\x80" + inner + b"\0\0\0\0") == der.build(der.SEQUENCE, der.build(0xA0, inner))
    assert der.definite(inner) == inner


@pytest.mark.parametrize("data", [b"\x30\x80", b"\x30\x80\0", b"\x04\x80\0\0", b"\x30\x80\0\0x", b"\x3f\x80\0\0",
                                  b"\x30\x80" * 100])  # fmt: skip
def test_what_is_not_ber_is_refused(data: bytes) -> None:
    """No end, a primitive without length, bytes behind the end, a tag of more bytes, a hundred beginnings."""
    with pytest.raises(MalformedFile):
        der.definite(data)


@given(st.binary(max_size=200))
def test_any_bytes_give_elements_or_malformed_file(data: bytes) -> None:
    """What is read can be written again; anything else is refused with our own error."""
    try:
        elements = der.parse_elements(data)
    except MalformedFile:
        return
    assert b"".join(der.build(element.tag, element.content) for element in elements) == data
