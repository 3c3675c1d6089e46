"""The text of a release.toml: the lines of its keys, its placeholders."""

from __future__ import annotations

import plistlib
import re
import tomllib

import pytest

from pipeline.config.lines import line_index
from pipeline.config.placeholders import demand_filled, expand, names_in
from pipeline.errors import ConfigurationError


def test_lines_are_those_of_the_text() -> None:
    """The index knows every way in which TOML writes a key: dotted, quoted, inline, repeated, after long texts."""
    text = '''# [not.a] table
"quoted key" = 1
a.b . "c d" = """
x = 1
\\""" ""\\"""""
l = \'\'\'
[y]\'\'\'\'
[[t]]  # one
n = [ # comment ]
  1979-05-27 07:32:00,
  { x = [1,
    2], "y" = "}" },
]
[[t.u]]
k = 1
[[t]]
[[t.u]]
[[t.u]]
k = '#'
[t.u.'v.w']
z = -1.5e3
'''.replace("\n", "\r\n")
    tomllib.loads(text)
    lines = line_index(text)
    expected = {
        ("quoted key",): 2,
        ("a", "b", "c d"): 3,
        ("l",): 6,
        ("t", 0): 8,
        ("t", 0, "n"): 9,
        ("t", 0, "n", 0): 10,
        ("t", 0, "n", 1, "x", 1): 12,
        ("t", 0, "n", 1, "y"): 12,
        ("t", 0, "u", 0, "k"): 15,
        ("t", 1): 16,
        ("t", 1, "u", 1): 18,
        ("t", 1, "u", 1, "k"): 19,
        ("t", 1, "u", 1, "v.w", "z"): 21,
    }
    assert {path: lines.get(path) for path in expected} == expected


def test_placeholders_are_found_and_replaced() -> None:
    """A name in braces is replaced, a doubled brace is one brace, and nothing that was put in is expanded again."""
    assert names_in("{a}{{b}}-{c}") == ("a", "c")
    assert expand("{a}{{b}}-{c}", {"a": "{c}", "c": "1"}) == "{c}{b}-1"


@pytest.mark.parametrize(
    "value",
    ["$(PRODUCT_NAME)", "${EXECUTABLE_NAME}", "$(PRODUCT_NAME:rfc1034identifier)", "{{VERSION}}", "x.{{ BUILD }}.y"],
)
def test_what_xcode_would_fill_in_is_not_taken_for_a_value(value: str) -> None:
    """A property list with a build setting or a script's placeholder is refused with it and with the file."""
    with pytest.raises(ConfigurationError, match=re.escape(value.strip("x.y"))) as caught:
        demand_filled(plistlib.dumps({"CFBundleName": value}), "Info.plist")
    assert caught.value.where == "Info.plist"


def test_a_dollar_and_a_brace_are_values_like_others() -> None:
    """Only what has the form of a placeholder is one."""
    plist = plistlib.dumps({"a": "$5", "b": "$(1)", "c": "{{x}}", "d": "${}", "e": "{ A }"})
    assert demand_filled(plist, "Info.plist") == plist
