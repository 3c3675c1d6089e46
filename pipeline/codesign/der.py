"""DER, the little of it that a signature needs bytes for: one element written, one element read, strictly.

Here: tag-length-value with one-byte tags and definite minimal lengths, integers, object identifiers, times, and BER's
indefinite lengths turned into definite ones. Not here: what the elements mean. Rules: ITU-T X.690, sections 8 and 10.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline.errors import MalformedFile

BOOLEAN, INTEGER, OCTET_STRING, NULL, OBJECT_IDENTIFIER, UTF8_STRING = 0x01, 0x02, 0x04, 0x05, 0x06, 0x0C
UTC_TIME, GENERALIZED_TIME, SEQUENCE, SET = 0x17, 0x18, 0x30, 0x31

_LONGEST_OID = 128
_DEEPEST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element: its tag byte, its content, and the whole of it as it stood."""

    tag: int
    content: bytes
    encoded: bytes


def build(tag: int, *parts: bytes) -> bytes:
    """One element whose content is the parts, one after the other."""
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def build_set(*elements: bytes) -> bytes:
    """A SET OF: elements in the order that DER asks for (ascending as octet strings)."""
    return build(SET, *sorted(elements))


def build_integer(value: int) -> bytes:
    """An INTEGER, two's complement in as few bytes as hold it."""
    width = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return build(INTEGER, value.to_bytes(width, "big", signed=True))


def parse_elements(data: bytes) -> tuple[Element, ...]:
    """Every element of `data`, which must hold nothing else. Raises MalformedFile."""
    elements = []
    position = 0
    while position < len(data):
        element = _parse_at(data, position)
        elements.append(element)
        position += len(element.encoded)
    return tuple(elements)


def parse(data: bytes) -> Element:
    """The one element that `data` is. Raises MalformedFile."""
    elements = parse_elements(data)
    if len(elements) != 1:
        raise MalformedFile(f"DER: one element expected, {len(elements)} found")
    return elements[0]


def parse_integer(element: Element) -> int:
    """The value of an INTEGER in minimal form. Raises MalformedFile."""
    content = element.content
    if element.tag != INTEGER or not content:
        raise MalformedFile("DER: an integer was expected")
    if len(content) > 1 and (content[0], content[1] >> 7) in ((0x00, 0), (0xFF, 1)):
        raise MalformedFile("DER: an integer is not in its shortest form")
    return int.from_bytes(content, "big", signed=True)


def build_oid(dotted: str) -> bytes:
    """The content of an OBJECT IDENTIFIER: no tag, no length. Raises MalformedFile for text that names none."""
    if len(dotted) > _LONGEST_OID or not re.fullmatch(r"[012](\.(0|[1-9][0-9]*))+", dotted):
        raise MalformedFile(f"not an object identifier: {dotted[:_LONGEST_OID]!r}")
    first, second, *arcs = map(int, dotted.split("."))
    if first < 2 and second > 39:
        raise MalformedFile(f"not an object identifier: {dotted!r}")
    content = bytearray()
    for arc in (first * 40 + second, *arcs):
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.append(arc & 0x7F | 0x80)
        content += bytes(reversed(digits))
    return bytes(content)


def parse_oid(content: bytes) -> str:
    """The dotted text of an OBJECT IDENTIFIER's content. Raises MalformedFile."""
    if not content or content[-1] & 0x80 or len(content) > _LONGEST_OID:
        raise MalformedFile("DER: an object identifier is cut off, or too long")
    arcs: list[int] = []
    arc, begins = 0, True
    for byte in content:
        if begins and byte == 0x80:
            raise MalformedFile("DER: an object identifier is not in its shortest form")
        arc, begins = arc << 7 | byte & 0x7F, not byte & 0x80
        if begins:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def build_time(moment: datetime) -> bytes:
    """A UTCTime for the years that it has (1950 to 2049), else a GeneralizedTime; whole seconds (RFC 5652, 11.3)."""
    moment = moment.astimezone(UTC)
    if 1950 <= moment.year < 2050:
        return build(UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode())
    return build(GENERALIZED_TIME, f"{moment.year:04}{moment:%m%d%H%M%S}Z".encode())


def parse_time(element: Element) -> datetime:
    """The moment of a UTCTime or a GeneralizedTime that ends in Z. Raises MalformedFile.

    Second 60 is the next minute's first, as in C's timegm: Apple's time-stamp authority wrote it in 2012.
    """
    text = element.content.decode("latin-1")
    if element.tag == UTC_TIME and len(text) == 13:
        text = ("19" if text >= "50" else "20") + text
    elif element.tag != GENERALIZED_TIME:
        raise MalformedFile("DER: a time was expected")
    whole, _, fraction = text.removesuffix("Z").partition(".")
    if not (text.endswith("Z") and len(whole) == 14 and whole.isdecimal() and whole.isascii()):
        raise MalformedFile(f"DER: a time that is none: {text!r}")
    if "." in text and not (fraction.isascii() and fraction.isdecimal() and not fraction.endswith("0")):
        raise MalformedFile(f"DER: a time that is none: {text!r}")
    try:
        carried = whole.endswith("60")
        moment = datetime.strptime(whole[:12] + "59" if carried else whole, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        moment += timedelta(seconds=carried)
    except (ValueError, OverflowError) as error:
        raise MalformedFile(f"DER: a time that is none: {text!r}") from error
    return moment.replace(microsecond=int(fraction[:6].ljust(6, "0")) if fraction else 0)


def definite(data: bytes) -> bytes:
    """The one BER element that `data` is, with every indefinite length made definite. Raises MalformedFile.

    Data that have no indefinite length come back as they are.
    """
    element, end = _definite_at(data, 0, 0)
    if end != len(data):
        raise MalformedFile(f"BER: {len(data) - end} bytes behind the last element")
    return element


def _definite_at(data: bytes, start: int, depth: int) -> tuple[bytes, int]:
    if depth > _DEEPEST:
        raise MalformedFile(f"BER: nested more than {_DEEPEST} deep")
    if data[start + 1 : start + 2] != b"\x80":
        element = _parse_at(data, start)
        return element.encoded, start + len(element.encoded)
    tag = data[start]
    if not tag & 0x20 or tag & 0x1F == 0x1F:
        raise MalformedFile(f"BER: tag 0x{tag:02x} with an indefinite length")
    position, parts = start + 2, []
    while data[position : position + 2] != b"\0\0":
        part, position = _definite_at(data, position, depth + 1)
        parts.append(part)
    return build(tag, *parts), position + 2


def _parse_at(data: bytes, start: int) -> Element:
    if len(data) - start < 2:
        raise MalformedFile("DER: an element is cut off")
    tag, length = data[start], data[start + 1]
    if tag & 0x1F == 0x1F:
        raise MalformedFile(f"DER: tag 0x{tag:02x} of more than one byte")
    position = start + 2
    if length & 0x80:
        count = length & 0x7F
        digits = data[position : position + count]
        position += count
        length = int.from_bytes(digits, "big")
        if not count or len(digits) < count or digits[0] == 0 or length < 0x80:
            raise MalformedFile("DER: a length is indefinite, cut off or not in its shortest form")
    if length > len(data) - position:
        raise MalformedFile(f"DER: an element of {length} bytes where {len(data) - position} are left")
    end = position + length
    return Element(tag=tag, content=data[position:end], encoded=data[start:end])
