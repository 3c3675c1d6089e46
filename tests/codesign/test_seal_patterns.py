"""Patterns of resource rules against grep's extended regular expressions."""

from __future__ import annotations

import os
import subprocess

import pytest
from builders.clients import need
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.codesign.seal_patterns import PatternSet
from pipeline.codesign.seal_rules import default_rules
from pipeline.errors import MalformedFile

PATHS = [
    "",
    "a",
    "Info.plist",
    "InfoXplist",
    "sub/Info.plist",
    "Resources",
    "Resources/",
    "Resources/a",
    "aResources/a",
    "Resources/de.lproj/x",
    "Resources/sub/de.lproj/x",
    "Resources/Base.lproj/x",
    "Resources/xBase.lproj/x",
    "Resources/de.lproj/locversion.plist",
    "Resources/de.lproj/locversionXplist",
    "MacOS/tool",
    "MacOS/tool.dSYM",
    "MacOS/tool.dSYM/Contents",
    "MacOS/tool.dSYMs",
    "Library/Automator/x",
    "Library/SystemExtensions/x",
    "Frameworks/A.framework",
    "XFrameworks/A.framework",
    ".DS_Store",
    "a/.DS_Store",
    "a.DS_Store",
    "PkgInfo",
    "version.plist",
    "versionXplist",
    "embedded.provisionprofile",
    "\u00fcber/\u65e5\u672c",
]
OTHERS = [
    "^$",
    "$",
    "a{2}",
    "^a{1,2}b{0,}c?$",
    "(ab|cd)+e",
    "[^/]+/[^/]+$",
    "[]x]",
    "[a-cx-]",
    "[[:digit:]]+",
    "[^[:alpha:]/.]",
    "\\.",
    "(^|/)a",
    "x*",
    "(a|b|)c",
    "Ma[c]OS",
]


def grep(pattern: str, paths: list[str]) -> list[bool]:
    """What grep, a matcher of others, says of each path: in bytes, as codesign's regcomp."""
    told = subprocess.run(
        [need("grep"), "-E", "-c", "-e", pattern],
        input=b"",
        capture_output=True,
        env={**os.environ, "LC_ALL": "C"},
        check=False,
    )
    assert told.returncode < 2, told.stderr
    done = subprocess.run(
        [need("grep"), "-E", "-n", "-e", pattern],
        input="".join(f"{path}\n" for path in paths).encode(),
        capture_output=True,
        env={**os.environ, "LC_ALL": "C"},
        check=False,
    )
    numbers = {int(line.split(b":")[0]) for line in done.stdout.splitlines()}
    return [number in numbers for number in range(1, len(paths) + 1)]


@pytest.mark.parametrize("pattern", [*default_rules("Resources/")[1], *default_rules("")[1], *OTHERS])
def test_a_pattern_matches_what_grep_says(pattern: str) -> None:
    """Each pattern of codesign's own rules, and of other shapes, matches the paths that grep matches."""
    patterns = PatternSet([pattern])
    assert [patterns.matching(path) == {0} for path in PATHS] == grep(pattern, PATHS)


ATOMS = st.sampled_from(["a", "b", "/", ".", "\\.", "[ab]", "[^a]", "(a|b)", "(ab)", "^", "$", "(a|/b)", "[a-b/]"])
PATTERNS = st.lists(st.tuples(ATOMS, st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{0,1}", "{1,}"])), max_size=6)


@settings(max_examples=60, deadline=None)
@given(pieces=PATTERNS, paths=st.lists(st.text("ab/.", max_size=6), min_size=5, max_size=30, unique=True))
def test_any_pattern_matches_what_grep_says(pieces: list[tuple[str, str]], paths: list[str]) -> None:
    """Patterns put together at random match what grep matches."""
    # What a repeated anchor means, POSIX leaves open.
    pattern = "".join(atom + (count if atom not in "^$" else "") for atom, count in pieces)
    assume(pattern)
    patterns = PatternSet([pattern])
    assert [patterns.matching(path) == {0} for path in paths] == grep(pattern, paths), pattern


def test_a_set_tells_all_that_match() -> None:
    """One pass answers for every pattern of the set."""
    patterns = PatternSet(["^a", "b$", "c", "^abc$"])
    assert patterns.matching("abc") == {0, 2, 3}
    assert patterns.matching("xcb") == {1, 2}
    assert patterns.matching("") == frozenset()


@pytest.mark.parametrize("path", ["a\n", "a\nb", "\na"])
def test_a_line_end_is_a_byte_like_others(path: str) -> None:
    """`$` is the end of the path, not of a line in it, and `.` matches a line end; regcomp is called so by codesign."""
    patterns = PatternSet(["^a$", "^...?$"])
    assert patterns.matching(path) == {1}


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "a)",
        "[a",
        "[]",
        "a{",
        "a{x}",
        "a{3,1}",
        "a{999}",
        "*",
        "+a",
        "a**",
        "\\",
        "\\1",
        "[b-a]",
        "[[:no:]]",
        "[[.a.]]",
        "[[=a=]]",
        "[!-[.a.]]",
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    """A pattern that regcomp would not take, or takes in its own way, is malformed."""
    with pytest.raises(MalformedFile, match="pattern"):
        PatternSet([pattern])


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param("a" * 2000, id="long"),
        pytest.param("(" * 100 + ")" * 100, id="deep"),
        pytest.param("(((((a{255}){255}){255}){255}){255})", id="counts of counts"),
        pytest.param("(((((((){255}){255}){255}){255}){255}){255})", id="counts of nothing"),
    ],
)
def test_a_pattern_too_large_is_refused_at_once(pattern: str) -> None:
    """A pattern made to exhaust time or memory is refused, not expanded."""
    with pytest.raises(MalformedFile):
        PatternSet([pattern])


def test_a_pattern_made_to_backtrack_takes_linear_time() -> None:
    """Patterns that take a backtracking matcher longer than the universe has are answered."""
    patterns = PatternSet(["^(a*)*$", "^(a|a)*b$", "(a+)+c", "^(a?){60}a{60}$"])
    assert patterns.matching("a" * 60) == {0, 3}
    assert patterns.matching("a" * 1000 + "!") == frozenset()


def test_a_hostile_set_keeps_little() -> None:
    """A pattern with a new state of affairs for every byte is still answered right."""
    patterns = PatternSet(["(a|b)*a(a|b){12}$"])
    for number in range(5000):
        path = format(number, "013b").replace("0", "a").replace("1", "b")
        assert patterns.matching(path) == ({0} if path[0] == "a" else frozenset())


def test_a_set_that_is_costly_for_each_byte_is_refused() -> None:
    """Linear is too long, too, where ten thousand states wait for each byte of each of a million paths."""
    costly = PatternSet([f"a.{{{count}}}b" for count in range(200, 235)])
    paths = ["".join("ab"[number * at % 7 % 2] for at in range(900)) for number in range(100)]
    with pytest.raises(MalformedFile, match="too long"):
        [costly.matching(path) for path in paths]
