"""Property lists (a seal, an Info.plist): read within limits, written byte for byte as CoreFoundation writes XML.

Python's plistlib writes other bytes (reals as 1000.0, keys in another order outside ASCII). Rules: CoreFoundation's
CFPropertyList.c, compared with the CodeResources of bundles that Apple's codesign sealed.
"""

from __future__ import annotations

import base64
import plistlib
from collections.abc import Iterator, Mapping
from typing import Any
from xml.parsers.expat import ExpatError

from pipeline.errors import MalformedFile

# A seal has some 300 bytes a file: this is one of 200,000 files.
LARGEST_SEAL = 64 * 1024 * 1024
_DEEPEST = 16
_LINE = 76
_DEEPEST_INDENT = 8

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
        values = plistlib.loads(data)
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
        raise MalformedFile(f"{what} is no property list ({type(error).__name__})") from error
    if not isinstance(values, dict):
        raise MalformedFile(f"{what} is no dictionary")
    return values


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
