"""Property lists as CoreFoundation writes them, read by a parser of others."""

from __future__ import annotations

import plistlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codesign.property_list import build_plist, parse_plist
from pipeline.errors import MalformedFile

# Laid out after the CodeResources of Assistant.app in PySide6-Essentials 6.11.3, which Apple's codesign wrote.
EXPECTED = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
\t<key>files</key>
\t<dict>
\t\t<key>a &amp; &lt;b&gt; "c" 'd'</key>
\t\t<data>
\t\tAAAAAAAAAAAAAAAAAAAAAAAAAAA=
\t\t</data>
\t\t<key>long</key>
\t\t<data>
\t\tAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
\t\tAAAAAA==
\t\t</data>
\t</dict>
\t<key>none</key>
\t<dict/>
\t<key>rules</key>
\t<dict>
\t\t<key>^.*</key>
\t\t<true/>
\t\t<key>^x</key>
\t\t<dict>
\t\t\t<key>omit</key>
\t\t\t<false/>
\t\t\t<key>weight</key>
\t\t\t<real>1000</real>
\t\t</dict>
\t</dict>
</dict>
</plist>
"""


def test_bytes_are_corefoundations() -> None:
    """Tabs, line lengths, reals without a fraction, empty dictionaries and escapes are CoreFoundation's."""
    values = {
        "rules": {"^x": {"weight": 1000.0, "omit": False}, "^.*": True},
        "none": {},
        "files": {"long": bytes(49), "a & <b> \"c\" 'd'": bytes(20)},
    }
    assert build_plist(values).decode() == EXPECTED


def test_keys_are_in_the_order_of_utf16() -> None:
    """Keys are sorted by UTF-16 code units: signs beyond the first plane come before U+E000 and what follows it."""
    names = ["z", "Z", "a", "\u00e9", "e\u0301", "\uff21", "\U0001f600", "_"]
    written = build_plist(dict.fromkeys(names, True)).decode()
    assert sorted(names, key=lambda name: written.index(f"<key>{name}</key>")) == [
        "Z",
        "_",
        "a",
        "e\u0301",
        "z",
        "\u00e9",
        "\U0001f600",
        "\uff21",
    ]


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.binary(max_size=99),
    lambda inner: st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_pythons_parser_reads_what_we_write(values: dict[str, Any]) -> None:
    """plistlib reads back every value, and so do we."""
    written = build_plist(values)
    assert plistlib.loads(written) == values
    assert parse_plist(written, "it") == values


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"bplist00",
        b"<plist/>",
        b"<plist><array/></plist>",
        b"<plist><dict><key>a</key></dict></plist>",
        b"<plist><dict><true/></dict></plist>",
        b"<plist><dict><key>a</key><integer>x</integer></dict></plist>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><plist><dict><key>a</key><string>&b;</string></dict></plist>',
        # Numbers of more than 64 bits; of more digits than Python writes.
        b"<plist><dict><key>a</key><integer>18446744073709551616</integer></dict></plist>",
        b"<plist><dict><key>a</key><integer>-9223372036854775809</integer></dict></plist>",
        b"<plist><dict><key>a</key><array><integer>0x" + b"9" * 5000 + b"</integer></array></dict></plist>",
    ],
)
def test_what_is_no_dictionary_is_malformed(data: bytes) -> None:
    """Whatever else stands there is malformed, whichever way the parser stumbles over it."""
    with pytest.raises(MalformedFile):
        parse_plist(data, "it")


def test_the_largest_numbers_are_read() -> None:
    values = {"a": [(1 << 64) - 1, -(1 << 63)]}
    for form in (plistlib.FMT_XML, plistlib.FMT_BINARY):
        assert parse_plist(plistlib.dumps(values, fmt=form), "it") == values


def test_a_list_that_holds_itself_many_times_is_read_once() -> None:
    """A binary list of twelve arrays, each of which holds the next ten times: a billion paths, twelve objects."""
    objects = [b"\xd1\x01\x02", b"\x51a", *(b"\xaa" + bytes([3 + n]) * 10 for n in range(12)), b"\x51b"]
    starts = [8 + sum(map(len, objects[:n])) for n in range(len(objects))]
    numbers = (len(objects), 0, 8 + sum(map(len, objects)))
    trailer = bytes(6) + b"\1\1" + b"".join(number.to_bytes(8, "big") for number in numbers)
    assert list(parse_plist(b"bplist00" + b"".join(objects) + bytes(starts) + trailer, "it")) == ["a"]


@given(st.binary(max_size=60), st.sampled_from([b"", b"bplist00", b"<plist><dict>"]))
def test_noise_raises_nothing_else(noise: bytes, start: bytes) -> None:
    """Arbitrary bytes are malformed or a dictionary, and nothing else happens."""
    try:
        assert isinstance(parse_plist(start + noise, "it"), dict)
    except MalformedFile as error:
        assert "it" in error.message  # noqa: PT017 - either way of ending is right


def test_a_name_that_is_no_utf8_is_refused() -> None:
    """A key with bytes that are no UTF-8 cannot be written."""
    with pytest.raises(MalformedFile):
        build_plist({b"\xff".decode("utf-8", "surrogateescape"): True})


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\n  "])
@pytest.mark.parametrize("behind", [b"", b"\0\0\0", b"\n</xml>", b"<dict/>", b" more & more"])
def test_what_stands_around_the_element_is_nothing(before: bytes, behind: bytes) -> None:
    """CoreFoundation reads one element and stops; a real signature has entitlements with one end tag too many."""
    xml = b'<?xml version="1.0"?><plist version="1.0"><dict><key>a</key><string>&lt;</string></dict></plist>'
    assert parse_plist(before + xml + behind, "it") == {"a": "<"}
    assert parse_plist(before + b"<dict/>" + behind, "it") == {}


@pytest.mark.parametrize("broken", [b"<plist><dict></plist>", b"<plist><dict/>", b"</plist>", b"text <dict/>", b""])
def test_what_is_broken_inside_is_refused(broken: bytes) -> None:
    """Only what stands behind the element is let pass."""
    with pytest.raises(MalformedFile, match="it"):
        parse_plist(broken, "it")


def test_carriage_returns_are_kept() -> None:
    """CoreFoundation writes and reads them as they are, in a folder's `Icon\\r` as in a text."""
    values = {"Icon\r": b"hash", "text": "one\rtwo\r\nthree\n"}
    written = build_plist(values)
    assert b"<key>Icon\r</key>" in written
    assert parse_plist(written, "it") == values
    lines = (
        '<?xml version="1.0"?>',
        "<!-- > -->",
        "<plist>",
        "<dict>",
        "<key>a</key>",
        "<true/>",
        "</dict>",
        "</plist>",
        "",
    )
    assert parse_plist("\r\n".join(lines).encode(), "it") == {"a": True}
