"""Property lists (a seal, an Info.plist): read within limits, written byte for byte as CoreFoundation writes XML.

Python's plistlib writes other bytes (reals as 1000.0, keys in another order outside ASCII). Rules: CoreFoundation's
CFPropertyList.c, compared with the CodeResources of bundles that Apple's codesign sealed.
"""

from __future__ import annotations

import base64
import plistlib
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from xml.parsers.expat import ExpatError, ParserCreate

from pipeline.errors import MalformedFile

# A seal has some 300 bytes a file: this is one of 200,000 files.
LARGEST_SEAL = 64 * 1024 * 1024
_DEEPEST = 16
_SMALLEST, _LARGEST = -(1 << 63), (1 << 64) - 1
_LINE = 76
_DEEPEST_INDENT = 8
_FIRST_ELEMENT = re.compile(rb"<[A-Za-z]")
_TEXT = re.compile(rb">[^<]*")
_BEFORE_XML = b"\xef\xbb\xbf \t\r\n"

_HEADER = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
    '<plist version="1.0">\n'
)


def parse_plist(data: bytes, what: str) -> dict[str, Any]:
    """The dictionary in a property list, XML or binary; MalformedFile if there is none."""
    if len(data) > LARGEST_SEAL:
        raise MalformedFile(f"{what} has {len(data)} bytes; the most that is read is {LARGEST_SEAL}")
    try:
        values = _load_xml(data) if data.lstrip(_BEFORE_XML).startswith(b"<") else plistlib.loads(data)
    # plistlib has no error of its own for XML: what its handlers stumble over comes out as it is.
    except (
        plistlib.InvalidFileException,
        ExpatError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        OverflowError,
        RecursionError,
        MemoryError,
    ) as error:
        told = f": {error}" if isinstance(error, ExpatError) else ""
        raise MalformedFile(f"{what}: no property list ({type(error).__name__}{told})") from error
    if not isinstance(values, dict):
        raise MalformedFile(f"{what}: not a dictionary")
    _check_numbers(values, what)
    return values


def _check_numbers(values: dict[str, Any], what: str) -> None:
    """CoreFoundation has no integer of more than 64 bits; Python has, and some that it cannot write in digits."""
    pending: list[Any] = [values]
    seen: set[int] = set()
    while pending:
        value = pending.pop()
        if isinstance(value, dict | list):
            # A binary list can hold one object any number of times.
            if id(value) not in seen:
                seen.add(id(value))
                pending += value.values() if isinstance(value, dict) else value
        elif isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
            raise MalformedFile(f"{what}: a number of more than 64 bits")


def _load_xml(data: bytes) -> object:
    """What the first element says. CoreFoundation minds neither blanks before it nor anything behind it: a forgotten
    end tag, or the zeros that a linked-in section is filled up with (CFPropertyList.c, parseXMLPropertyList)."""
    xml = _with_returns(data.lstrip(_BEFORE_XML))
    try:
        return plistlib.loads(xml, fmt=plistlib.FMT_XML)
    except ExpatError:
        end = _end_of_element(xml)
        if end is None:
            raise
    return plistlib.loads(xml[:end], fmt=plistlib.FMT_XML)


def _with_returns(xml: bytes) -> bytes:
    """XML whose texts keep their carriage returns, as CoreFoundation reads them: a folder's icon is a file `Icon\\r`.

    Parsers by the standard take a bare one for a line feed, a written one (`&#13;`) for itself.
    """
    if b"\r" not in xml or b"<![CDATA[" in xml:
        return xml
    root = _FIRST_ELEMENT.search(xml)
    start = root.start() if root is not None else len(xml)
    return xml[:start] + _TEXT.sub(lambda text: text.group().replace(b"\r", b"&#13;"), xml[start:])


def _end_of_element(xml: bytes) -> int | None:
    """Where the first element of XML ends that is broken behind it; None where it is broken before."""
    ends: list[int] = []
    depth = 0
    parser = ParserCreate()

    def start(_name: str, _attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1
        if not depth:
            at = parser.CurrentByteIndex
            # At the end tag; behind the one tag of an element without content.
            ends.append(xml.index(b">", at) + 1 if xml.startswith(b"</", at) else at)

    parser.StartElementHandler, parser.EndElementHandler = start, end
    with suppress(ExpatError):
        parser.Parse(xml, True)
    return ends[0] if ends else None


def build_plist(values: Mapping[str, Any]) -> bytes:
    """The XML of a dictionary of booleans, numbers, texts, bytes and dictionaries.

    Raises MalformedFile for a text that is no UTF-8, or a value of another type.
    """
    text = "".join((_HEADER, *_element(values, 0), "</plist>\n"))
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise MalformedFile(f"{error.object[max(error.start - 20, 0) : error.end + 20]!r} is no UTF-8") from error


def _element(value: object, indent: int) -> Iterator[str]:
    tabs = "\t" * indent
    # A truth value is a number to Python, so it comes first.
    match value:
        case bool():
            yield f"{tabs}<{'true' if value else 'false'}/>\n"
        case int():
            yield f"{tabs}<integer>{value}</integer>\n"
        case float():
            yield f"{tabs}<real>{value:.17g}</real>\n"
        case str():
            yield f"{tabs}<string>{_escape(value)}</string>\n"
        case bytes():
            yield f"{tabs}<data>\n"
            yield from _lines(value, indent)
            yield f"{tabs}</data>\n"
        case Mapping() if not value:
            yield f"{tabs}<dict/>\n"
        case Mapping():
            if indent > _DEEPEST:
                raise MalformedFile("a property list too deep to be written")
            yield f"{tabs}<dict>\n"
            for key in sorted(value, key=_order):
                yield f"{tabs}\t<key>{_escape(key)}</key>\n"
                yield from _element(value[key], indent + 1)
            yield f"{tabs}</dict>\n"
        case _:
            raise MalformedFile(f"a value of type {type(value).__name__} in a property list")


def _order(key: str) -> bytes:
    """CFStringCompare without options: by UTF-16 code units, so that U+10000 and above come before U+E000."""
    return key.encode("utf-16-be", "surrogatepass")


def _lines(data: bytes, indent: int) -> Iterator[str]:
    """Base64 in lines that with their indentation, eight columns a tab, fill at most 76 columns."""
    text = base64.b64encode(data).decode()
    indent = min(indent, _DEEPEST_INDENT)
    width = _LINE - 8 * indent
    for at in range(0, len(text), width):
        yield "\t" * indent + text[at : at + width] + "\n"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
