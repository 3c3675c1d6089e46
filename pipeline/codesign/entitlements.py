"""Entitlements: the property list a user wrote, its DER twin, and the executable-segment flags that follow from it.

The XML in a signature is the file's bytes, verbatim; nothing here writes XML. Values are Python's own: bool, int,
float, str, list, dict, and bytes and datetime where the file holds them. Not here: which slots a signature gets (the
signer), the blobs around them (superblob).

The DER forms are Apple's. `DerForm.VERSIONED` is that of CoreEntitlements (macOS 12 and later): booleans, texts and
arrays compared with the slot 7 of real signatures; integers, empty and nested dictionaries with what codesign wrote
for the tests of apple-codesign (plist_der.rs); the order of keys that are not ASCII read in `TLE.mm` (Security 61439).
There codesign refuses data, dates and reals, the latter two because AMFI's XML parser knows neither. `DerForm.SET` is
that of `der_plist.c` in Security 59754 (macOS 11), read in the source.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pipeline.codesign import der
from pipeline.codesign.property_list import parse_plist
from pipeline.errors import MalformedFile, SigningError

# A property list of entitlements is a few hundred bytes, and AMFI has no use for a deep one; the limits keep a hostile
# file from costing memory (plistlib: about a hundred bytes an element) or the stack.
LARGEST_XML = 1024 * 1024
DEEPEST = 64

_VERSION = 1
_APPLICATION_16, _CONTEXT_16 = 0x70, 0xB0
_INTEGER_RANGE = range(-(1 << 63), 1 << 63)

# osfmk/kern/cs_blobs.h CS_EXECSEG_*: what a main executable's boolean entitlements switch on in its CodeDirectory.
_EXEC_SEGMENT_FLAGS = {
    "get-task-allow": 0x10,
    "run-unsigned-code": 0x10,
    "com.apple.private.cs.debugger": 0x20,
    "dynamic-codesigning": 0x40,
    "com.apple.private.skip-library-validation": 0x80,
    "com.apple.private.amfi.can-load-cdhash": 0x100,
    "com.apple.private.amfi.can-execute-cdhash": 0x200,
}


class DerForm(StrEnum):
    """The two ways in which codesign has written entitlements as DER."""

    VERSIONED = "versioned"
    SET = "set"


def parse_entitlements(xml: bytes) -> dict[str, Any]:
    """The values of a property list in XML, as Apple's parser takes it: blanks before the declaration are no fault.

    Raises MalformedFile for anything but a dictionary in XML.
    """
    return parse_property_list(xml, what="entitlements")


def parse_property_list(xml: bytes, *, what: str = "the property list") -> dict[str, Any]:
    """The values of any property list that a signature holds, read in the same lenient way. Raises MalformedFile."""
    if len(xml) > LARGEST_XML:
        raise MalformedFile(f"{what}: {len(xml)} bytes; the most that is read is {LARGEST_XML}")
    if xml.startswith(b"bplist"):
        raise MalformedFile(f"{what}: no property list in XML")
    values = parse_plist(xml, what)
    _check_depth(values)
    return values


def entitlements_der(
    values: Mapping[str, Any], form: DerForm = DerForm.VERSIONED, *, data_allowed: bool = False
) -> bytes:
    """The DER of entitlements, without the blob's header.

    `data_allowed` lets the versioned form hold data, as launch constraints may and entitlements may not. Raises
    SigningError for a kind of value that the form has not.
    """
    _check_depth(values)
    if form is DerForm.SET:
        return _build_plain(values)
    return der.build(_APPLICATION_16, der.build_integer(_VERSION), _build_versioned(values, data_allowed))


def parse_entitlements_der(data: bytes, *, data_allowed: bool = False) -> dict[str, Any]:
    """The values of entitlements in either form of DER, without the blob's header.

    Raises MalformedFile for what is no such DER, and for keys that are out of order or twice there.
    """
    if len(data) > LARGEST_XML:
        raise MalformedFile(f"entitlements of {len(data)} bytes; the most that is read is {LARGEST_XML}")
    outer = der.parse(data)
    if outer.tag == der.SET:
        values, written = _parse_dictionary(outer, 1), DerForm.SET
    elif outer.tag == _APPLICATION_16:
        parts = der.parse_elements(outer.content)
        if len(parts) != 2 or der.parse_integer(parts[0]) != _VERSION or parts[1].tag != _CONTEXT_16:
            raise MalformedFile("DER entitlements are not of version 1")
        values, written = _parse_dictionary(parts[1], 1), DerForm.VERSIONED
    else:
        raise MalformedFile(f"DER entitlements begin with tag 0x{outer.tag:02x}")
    try:
        rebuilt = entitlements_der(values, written, data_allowed=data_allowed)
    except SigningError as error:
        raise MalformedFile(f"DER entitlements hold what their form has not: {error}") from error
    if rebuilt != data:
        raise MalformedFile("DER entitlements are not in their one canonical form (order of keys, shape of a value)")
    return values


def exec_seg_flags(values: Mapping[str, Any]) -> int:
    """The execSegFlags that entitlements add to a main executable's; only a boolean true counts."""
    flags = 0
    for key, flag in _EXEC_SEGMENT_FLAGS.items():
        if values.get(key) is True:
            flags |= flag
    return flags


def _check_depth(values: Mapping[str, Any]) -> None:
    level: list[Any] = [values]
    for _ in range(DEEPEST):
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, Mapping) else value)
            if isinstance(inner, Mapping | list | tuple)
        ]
        if not level:
            return
    raise MalformedFile(f"entitlements are nested more than {DEEPEST} deep")


def _build_versioned(value: Any, data_allowed: bool) -> bytes:
    if isinstance(value, Mapping):
        ordered = sorted(value.items(), key=_order)
        pairs = [(_text(key), _build_versioned(item, data_allowed)) for key, item in ordered]
        return der.build(_CONTEXT_16, *(der.build(der.SEQUENCE, *pair) for pair in pairs))
    if isinstance(value, bool):
        return der.build(der.BOOLEAN, b"\xff" if value else b"\x00")
    if isinstance(value, bytes) and data_allowed:
        return der.build(der.OCTET_STRING, value)
    return _build_simple(value, lambda item: _build_versioned(item, data_allowed))


def _build_plain(value: Any) -> bytes:
    if isinstance(value, Mapping):
        return der.build_set(*(der.build(der.SEQUENCE, _text(key), _build_plain(item)) for key, item in value.items()))
    if isinstance(value, bool):
        # This encoder writes the C value of the boolean, 1, where DER asks for 0xff.
        return der.build(der.BOOLEAN, b"\x01" if value else b"\x00")
    if isinstance(value, float):
        return _integer(int(value) if value.is_integer() else value)
    if isinstance(value, bytes):
        return der.build(der.OCTET_STRING, value)
    if isinstance(value, datetime):
        return der.build(der.GENERALIZED_TIME, value.strftime("%Y%m%d%H%M%SZ").rjust(15, "0").encode())
    return _build_simple(value, _build_plain)


def _build_simple(value: Any, build: Callable[[Any], bytes]) -> bytes:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, list | tuple):
        return der.build(der.SEQUENCE, *map(build, value))
    raise SigningError(f"entitlements hold a value of a kind that DER entitlements have not: {type(value).__name__}")


def _order(pair: tuple[Any, Any]) -> bytes:
    """By the key's text (its DER would put the shorter first), in the order of NSString's `compare:`.

    That is the order of UTF-16 units of the decomposed text; plain ASCII order wherever the keys are ASCII.
    """
    return unicodedata.normalize("NFD", str(pair[0])).encode("utf-16-be", "surrogatepass")


def _text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise SigningError(f"entitlements have a key that is no text: {value!r}")
    try:
        return der.build(der.UTF8_STRING, value.encode())
    except UnicodeEncodeError as error:
        raise SigningError(f"entitlements hold a text that is not Unicode: {value!r}") from error


def _integer(value: int | float) -> bytes:
    if isinstance(value, float) or value not in _INTEGER_RANGE:
        # Not shown: a number may be as long as the file.
        raise SigningError("entitlements hold a number that is no 64-bit integer")
    return der.build_integer(value)


def _parse_dictionary(element: der.Element, depth: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in der.parse_elements(element.content):
        parts = der.parse_elements(pair.content) if pair.tag == der.SEQUENCE else ()
        if len(parts) != 2 or parts[0].tag != der.UTF8_STRING:
            raise MalformedFile("DER entitlements: a key and a value were expected")
        key = _decode(parts[0].content)
        if key in values:
            raise MalformedFile(f"DER entitlements have the key {key!r} twice")
        values[key] = _parse_value(parts[1], depth)
    return values


def _parse_value(element: der.Element, depth: int) -> Any:
    if depth >= DEEPEST:
        raise MalformedFile(f"entitlements are nested more than {DEEPEST} deep")
    content = element.content
    match element.tag:
        case der.BOOLEAN if content in (b"\x00", b"\x01", b"\xff"):
            return content != b"\x00"
        case der.INTEGER:
            return der.parse_integer(element)
        case der.UTF8_STRING:
            return _decode(content)
        case der.SEQUENCE:
            return [_parse_value(item, depth + 1) for item in der.parse_elements(content)]
        case der.SET | 0xB0:
            return _parse_dictionary(element, depth + 1)
        case der.OCTET_STRING:
            return content
        case der.GENERALIZED_TIME:
            try:
                return datetime.strptime(content.decode("ascii"), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
            except ValueError as error:
                raise MalformedFile("DER entitlements hold a time that is none") from error
        case _:
            raise MalformedFile(
                f"DER entitlements: a value has tag 0x{element.tag:02x} or a shape that it may not have"
            )


def _decode(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise MalformedFile("DER entitlements hold a text that is not UTF-8") from error
