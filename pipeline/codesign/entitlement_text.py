"""Is a file of entitlements one that Apple's parsers take, all of them?

plutil and CoreFoundation take almost anything. The kernel's own parser (AMFIUnserializeXML), which codesign and the
notary ask, wants plain XML in ASCII: no byte order mark, no binary form, no two hyphens in a comment. What it accepts
and nobody acts on is refused too: a text or a number where a boolean is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.parsers.expat import ExpatError, ParserCreate, errors

from pipeline.codesign.entitlements import parse_entitlements
from pipeline.errors import MalformedFile

_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_BINARY = b"bplist"
_ALMOST_BOOLEAN = ("true", "false", "yes", "no")
# Of these every value is a boolean: developer.apple.com/documentation/security/hardened-runtime
_BOOLEAN = ("com.apple.security.cs.", "com.apple.security.device.", "com.apple.security.get-task-allow")
_ADVICE = "write plain XML in ASCII, without a byte order mark, with <true/> and <false/>"


def check_entitlements(xml: bytes, where: str) -> None:
    """Returns for what may be signed. Raises MalformedFile with the line, or the key."""
    if xml.startswith(_MARKS):
        raise _refused("begins with a byte order mark, which plutil accepts and the notary refuses", where)
    if xml.startswith(_BINARY):
        raise _refused("a binary property list; entitlements are XML", where, "plutil -convert xml1 makes it XML")
    for number, line in enumerate(xml.split(b"\n"), 1):
        if not line.isascii():
            raise _refused("a character outside of ASCII, which the kernel's parser refuses", f"{where}, line {number}")
    try:
        ParserCreate().Parse(xml.lstrip(), True)
    except ExpatError as error:
        last = error.lineno + xml[: len(xml) - len(xml.lstrip())].count(b"\n")
        raise _refused(f"no well-formed XML: {errors.messages[error.code]}", f"{where}, line {last}") from error
    try:
        values = parse_entitlements(xml)
    except MalformedFile as error:
        raise _refused(error.message, where) from error
    _demand_booleans(values, where)


def _demand_booleans(values: Mapping[str, Any], where: str) -> None:
    for key, value in values.items():
        text = isinstance(value, str) and value.lower() in _ALMOST_BOOLEAN
        if text or (key.startswith(_BOOLEAN) and not isinstance(value, bool)):
            raise _refused(f"{key} is {value!r}, not a boolean: no part of macOS takes it for one", where)


def _refused(message: str, where: str, remedy: str = _ADVICE) -> MalformedFile:
    return MalformedFile(message, where=where, remedy=remedy)
