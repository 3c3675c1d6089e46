"""Embedded entitlements as the notary reads them: strictly XML, and one of them forbidden."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.parsers.expat import ExpatError

from asn1crypto import core, parser

from pipeline.rehearsal.inspection.findings import Broken
from pipeline.rehearsal.inspection.plists import load_plist

_GET_TASK_ALLOW = "com.apple.security.get-task-allow"
_HOSTS_PLUG_INS = "com.apple.security.cs.disable-library-validation"
_HEADER = 8  # of a blob: magic and length
_DEEPEST = 32


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
        _parse_xml(data)
    except Broken as error:
        return error.__cause__.lineno if isinstance(error.__cause__, ExpatError) else 1
    return None


def requests_get_task_allow(xml_blob: bytes | None, der_blob: bytes | None) -> bool:
    """Does either form make the entitlement true, without the one that goes with hosts of plug-ins?

    Apple lets a host of plug-ins be debugged: with library validation disabled too it is notarized (Node.js is). A
    form that cannot be read requests nothing here: other rules refuse it.
    """
    forms = []
    if xml_blob is not None:
        forms.append(_true_in_xml(xml_blob[_HEADER:]))
    if der_blob is not None:
        forms.append(frozenset(_true_in_der(der_blob[_HEADER:], _DEEPEST)))
    return any(_GET_TASK_ALLOW in form and _HOSTS_PLUG_INS not in form for form in forms)


def _parse_xml(data: bytes) -> dict[str, Any]:
    return load_plist(data.lstrip(), only_xml=True)


def _true_in_xml(data: bytes) -> frozenset[str]:
    try:
        return frozenset(key for key, value in _parse_xml(data).items() if value is True)
    except Broken:
        return frozenset()


def _true_in_der(data: bytes, depth: int) -> Iterator[str]:
    """Every text that TRUE follows, at any depth: both forms of the DER, old and new, are made of such pairs."""
    at = 0
    key = None
    while at < len(data) and depth:
        try:
            kind, method, tag, header, content, trailer = parser.parse(data[at:])
        except (ValueError, TypeError):
            return
        at += len(header) + len(content) + len(trailer)
        if method == 1:
            yield from _true_in_der(content, depth - 1)
        elif key is not None and (kind, tag) == (0, core.Boolean.tag) and content != b"\0":
            yield key
        is_text = (kind, tag) == (0, core.UTF8String.tag)
        key = content.decode("utf-8", "replace") if is_text else None
