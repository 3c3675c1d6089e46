"""Embedded entitlements as the notary reads them: strictly XML, and one of them forbidden."""

from __future__ import annotations

import plistlib
import xml.parsers.expat
from typing import Any

from asn1crypto import core, parser

_FORBIDDEN = "com.apple.security.get-task-allow"
_HEADER = 8  # of a blob: magic and length
_DEEPEST = 32
# What the standard library's plist reader raises for what it cannot read.
_NO_PLIST = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError, OverflowError)


def syntax_error(blob: bytes) -> int | None:
    """The line near which the entitlements blob stops being XML of the strict kind, or None.

    Kernel-side parsing takes ASCII without a byte order mark. What is lenient is kept lenient: blanks before the
    declaration occur in real signatures.
    """
    data = blob[_HEADER:]
    for number, line in enumerate(data.split(b"\n"), start=1):
        if any(byte > 0x7E for byte in line):
            return number
    try:
        values = _parse_xml(data)
    except xml.parsers.expat.ExpatError as error:
        return error.lineno
    except _NO_PLIST:
        return 1
    return None if isinstance(values, dict) else 1


def requests_get_task_allow(xml_blob: bytes | None, der_blob: bytes | None) -> bool:
    """Is the entitlement true in either form? One that cannot be read requests nothing here: other rules refuse it."""
    if xml_blob is not None:
        try:
            values = _parse_xml(xml_blob[_HEADER:])
        except (xml.parsers.expat.ExpatError, *_NO_PLIST):
            values = None
        if isinstance(values, dict) and values.get(_FORBIDDEN) is True:
            return True
    return der_blob is not None and _is_true_in_der(der_blob[_HEADER:], _DEEPEST)


def _parse_xml(data: bytes) -> Any:
    return plistlib.loads(data.lstrip(), fmt=plistlib.FMT_XML)


def _is_true_in_der(data: bytes, depth: int) -> bool:
    """Is there anywhere a pair of the key and TRUE? Both forms of the DER, old and new, are made of such pairs."""
    at = 0
    key = False
    while at < len(data) and depth:
        try:
            kind, method, tag, header, content, trailer = parser.parse(data[at:])
        except (ValueError, TypeError):
            return False
        at += len(header) + len(content) + len(trailer)
        if method == 1 and _is_true_in_der(content, depth - 1):
            return True
        if key and (kind, tag) == (0, core.Boolean.tag) and content != b"\0":
            return True
        key = (kind, tag) == (0, core.UTF8String.tag) and content == _FORBIDDEN.encode()
    return False
