"""A file of entitlements is refused before anything is signed with it, where one of Apple's parsers would refuse it."""

from __future__ import annotations

import plistlib

import pytest
from builders.signature_parts import WITH_DER, Parts, marked

from pipeline.codesign.entitlement_text import check_entitlements
from pipeline.errors import MalformedFile

_HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n<plist version="1.0">\n<dict>\n'
_TAIL = b"</dict>\n</plist>\n"
GOOD = _HEAD + b"\t<key>com.apple.security.cs.allow-jit</key>\n\t<true/>\n" + _TAIL


def holding(key: str, value: object) -> bytes:
    return plistlib.dumps({key: value})


@pytest.mark.parametrize("name", marked(WITH_DER))
def test_entitlements_of_real_signatures_pass(name: str) -> None:
    """What Apple's tools signed is what they accept."""
    check_entitlements(Parts(name=name).entitlements, name)


@pytest.mark.parametrize(
    "xml",
    [
        GOOD,
        b"\n\t" + GOOD,
        GOOD.replace(b"<dict>", b"<!-- a comment -->\n<dict>"),
        holding("com.apple.security.application-groups", ["group.com.example"]),
        holding("com.example.count", 3),
        holding("com.apple.security.cs.allow-jit", False),
    ],
)
def test_plain_xml_passes(xml: bytes) -> None:
    """Blanks before the declaration, comments, lists and numbers are no faults."""
    check_entitlements(xml, "a.plist")


@pytest.mark.parametrize(
    ("xml", "place", "words"),
    [
        (b"\xef\xbb\xbf" + GOOD, "a.plist", "byte order mark"),
        (GOOD.decode().encode("utf-16"), "a.plist", "byte order mark"),
        (plistlib.dumps({"a": True}, fmt=plistlib.FMT_BINARY), "a.plist", "binary property list"),
        (GOOD.replace(b"<dict>", "<!-- für -->\n<dict>".encode()), "a.plist, line 3", "outside of ASCII"),
        (GOOD.replace(b"<dict>", b"<!-- --options runtime -->\n<dict>"), "a.plist, line 3", "no well-formed XML"),
        (GOOD.replace(b"<true/>", b"<true>"), "a.plist, line 6", "mismatched tag"),
        (b"\n\n" + GOOD.replace(b"<true/>", b"<true>"), "a.plist, line 8", "mismatched tag"),
        (GOOD[:-20], "a.plist", "no well-formed XML"),
        (b"", "a.plist", "no element found"),
        (plistlib.dumps(["a"]), "a.plist", "not a dictionary"),
        (GOOD.replace(b"<true/>", b"<string>true</string>"), "a.plist", "not a boolean"),
        (GOOD.replace(b"<true/>", b"<integer>1</integer>"), "a.plist", "not a boolean"),
        (holding("com.example.own", "YES"), "a.plist", "com.example.own is 'YES'"),
        (holding("com.apple.security.get-task-allow", 1), "a.plist", "not a boolean"),
    ],
)
def test_what_a_parser_of_apples_refuses_is_refused(xml: bytes, place: str, words: str) -> None:
    """Each fault is told with its line or its key, and how to write it."""
    with pytest.raises(MalformedFile, match=words) as caught:
        check_entitlements(xml, "a.plist")
    assert (caught.value.where or "").startswith(place)
    assert caught.value.remedy
