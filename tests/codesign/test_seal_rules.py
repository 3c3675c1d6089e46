"""Which rule decides about a path, and when rules are too weak."""

from __future__ import annotations

import math

import pytest

from pipeline.codesign.seal_rules import RuleSet, default_rules, is_weak, parse_rules
from pipeline.errors import MalformedFile

APP = RuleSet(default_rules("Resources/")[1], main_file="MacOS/tool")
FLAT = RuleSet(default_rules("")[1], main_file="tool")
OLD = RuleSet(default_rules("Resources/")[0], main_file="MacOS/tool")


def said(rules: RuleSet, path: str) -> str:
    """In one word what the rules say of a path."""
    rule = rules.find(path)
    if rule is None:
        return "nothing"
    if rule.excluded:
        return "excluded"
    if rule.omitted:
        return "omitted"
    if rule.nested:
        return "nested"
    return "optional" if rule.optional else "sealed"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Info.plist", "omitted"),
        ("PkgInfo", "omitted"),
        ("version.plist", "sealed"),
        ("embedded.provisionprofile", "sealed"),
        ("CodeResources", "excluded"),
        ("_CodeSignature", "excluded"),
        ("_MASReceipt", "excluded"),
        ("MacOS/tool", "excluded"),
        ("MacOS/other", "nested"),
        ("MacOS/tool.dSYM", "sealed"),
        ("MacOS/tool.dSYM/Contents/Info.plist", "sealed"),
        ("stray.txt", "nested"),
        ("Frameworks/A.framework", "nested"),
        ("Helpers/sub/tool", "nested"),
        ("Library/LoginItems/L.app", "nested"),
        ("Library/SystemExtensions/S.systemextension", "sealed"),
        ("Library/LaunchDaemons/com.example.plist", "sealed"),
        ("Resources/a.txt", "sealed"),
        ("Resources/Info.plist", "sealed"),
        ("Resources/tool", "sealed"),
        ("Resources/de.lproj/a.strings", "optional"),
        ("Resources/sub/de.lproj/a.strings", "optional"),
        ("Resources/Base.lproj/a.nib", "sealed"),
        ("Resources/de.lproj/locversion.plist", "omitted"),
        ("Resources/.DS_Store", "omitted"),
        (".DS_Store", "omitted"),
        ("Frameworks/.DS_Store", "omitted"),
        ("Other/anything", "sealed"),
    ],
)
def test_an_apps_paths(path: str, expected: str) -> None:
    """codesign's own rules decide about the places of an app as its documentation of nested code says."""
    assert said(APP, path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Info.plist", "omitted"),
        ("a.txt", "sealed"),
        ("Frameworks/A.framework/A", "sealed"),
        ("de.lproj/a", "optional"),
        ("Base.lproj/a", "sealed"),
        ("tool", "excluded"),
    ],
)
def test_a_flat_bundles_paths(path: str, expected: str) -> None:
    """A flat bundle has no nested code: everything is a resource."""
    assert said(FLAT, path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Resources/a.txt", "sealed"),
        ("Resources/de.lproj/a", "optional"),
        ("version.plist", "sealed"),
        ("Frameworks/A.framework/A", "nothing"),
        ("MacOS/other", "nothing"),
    ],
)
def test_old_systems_know_resources_alone(path: str, expected: str) -> None:
    """The first table, for systems of before 10.9.5, says nothing of code."""
    assert said(OLD, path) == expected


def test_a_name_with_the_signs_of_patterns_is_excluded_as_it_is() -> None:
    """An executable whose name looks like a pattern excludes itself alone."""
    rules = RuleSet({"^.*": True}, main_file="MacOS/a+(b).*")
    assert said(rules, "MacOS/a+(b).*") == "excluded"
    assert said(rules, "MacOS/aab") == "sealed"


def test_of_equal_weights_the_one_that_omits_counts() -> None:
    """As codesign's dictionary had it in flat bundles of Xcode 8 to 10, whose own table weighs "^" as it does these."""
    table = {
        "^": {"weight": 20.0},
        "^Info\\.plist$": {"omit": True, "weight": 20.0},
        "^version\\.plist$": {"weight": 20.0},
    }
    for order in (table, dict(reversed(table.items()))):
        rules = RuleSet(order)
        assert [said(rules, path) for path in ("Info.plist", "version.plist", "a")] == ["omitted", "sealed", "sealed"]


def test_where_links_may_lead() -> None:
    """A link may lead to what is sealed and to the main executable, not to what is left out."""
    assert APP.includes("Resources/a.txt")
    assert APP.includes("MacOS/tool")
    assert APP.includes("Frameworks/A.framework/Versions/A/A")
    assert not APP.includes("Info.plist")
    assert not APP.includes("_CodeSignature/CodeResources")
    assert not APP.includes("_MASReceipt/receipt")


@pytest.mark.parametrize(
    ("change", "weak"),
    [
        ({}, False),
        ({"^Resources/extra/": {"weight": 30}}, False),
        ({"^Resources/secret$": {"omit": True, "weight": 30}}, True),
        ({"^Resources/secret$": False}, True),
        ({"^.*": {"weight": 1}}, True),
        ({"^.*": False}, True),
    ],
)
def test_rules_that_leave_out_more_are_weak(change: dict[str, object], weak: bool) -> None:
    """A seal that leaves out more than codesign's own rules, or does not begin with everything, is weak."""
    assert is_weak({**default_rules("Resources/")[1], **change}, "Resources/", version=2) is weak


@pytest.mark.parametrize(
    "table",
    [
        None,
        [],
        {1: True},
        {"^a": 1},
        {"^a": "yes"},
        {"^a": {"weight": True}},
        {"^a": {"weight": "10"}},
        {"^a": {"weight": -1}},
        {"^a": {"weight": math.nan}},
        {"^a": {"weight": math.inf}},
        {f"^{number}": True for number in range(1000)},
    ],
)
def test_what_is_no_table_is_refused(table: object) -> None:
    """A table of rules that codesign could not have written is malformed."""
    with pytest.raises(MalformedFile):
        parse_rules(table)
