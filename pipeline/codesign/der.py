"""DER, the little of it that a signature needs bytes for: one element written, one element read, strictly.

Here: tag-length-value with one-byte tags, definite minimal lengths. Not here: what the elements mean; certificates, CMS
and time-stamp tokens (asn1crypto and cryptography read those). Rules: ITU-T X.690, section 10.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import MalformedFile

BOOLEAN, INTEGER, OCTET_STRING, NULL, OBJECT_IDENTIFIER, UTF8_STRING = 0x01, 0x02, 0x04, 0x05, 0x06, 0x0C
UTC_TIME, GENERALIZED_TIME, SEQUENCE, SET = 0x17, 0x18, 0x30, 0x31


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
