"""What each mistake in a release.toml is told as: its key, its line, what to write."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders.release_toml import WHOLE, on, read

from pipeline import config
from pipeline.errors import ConfigurationError, ToolMissing

MISTAKES = [
    # (text replaced, its replacement, line or None, key, a part of the message)
    ('world = "rehearsal"', 'world = "rehersal"', 2, "[release].world", 'did you mean "rehearsal"?'),
    ('world = "rehearsal"', "", 1, "[release].world", "missing"),
    ('world = "rehearsal"', "world = true", 2, "[release].world", "must be a text, not true or false"),
    ('[release]\nworld = "rehearsal"\n', "\n\n", None, "[release].world", "missing"),
    ('[release]\nworld = "rehearsal"\n', 'release = "x"\n\n', 1, "[release]", "must be a table, not a text"),
    ('world = "rehearsal"', 'world = "rehearsal"\nworlds = 1', 3, "[release].worlds", 'did you mean "world"?'),
    ("[notary]", "[notarize]", 21, "[notarize]", 'did you mean "notary"?'),
    ('world = "rehearsal"', 'world = "rehearsal"\ntoolchain = "apple"', 3, "[release].toolchain", "cannot rehearse"),
    ('world = "rehearsal"', 'world = "rehearsal"\ntoolchain = "xcode"', 3, "[release].toolchain", "none of auto"),
    ("[notary]", '[toolchain]\npath = "src"\n[notary]', 22, "[toolchain].path", "only the apple toolchain"),
    ("[notary]", '[toolchain]\npath = "gone"\n[notary]', 22, "[toolchain].path", "no such folder"),
    ('world = "rehearsal"', 'world = "rehearsal"\nprevious = "x.json"', 3, "[release].previous", "no such file"),
    ('world = "rehearsal"', 'world = "real"', 15, "[sign].identity", "missing"),
    ('name = "tool"', "", 4, "[product].name", "missing"),
    ('name = "tool"', 'name = ""', 5, "[product].name", "is empty"),
    ('name = "tool"', 'name = "../tool"', 5, "[product].name", "not a safe file name"),
    ('name = "tool"', 'name = "to\\u0000ol"', 5, "[product].name", "NUL"),
    ('name = "tool"', 'name = "-tool"', 5, "[product].name", "not a safe file name"),
    ('name = "tool"', 'name = "DEBUG_tool"', 5, "[product].name", "debug binaries"),
    ('name = "tool"', 'name = "tool.App"', 5, "[product].name", "ends like a file"),
    ('name = "tool"', 'nmae = "tool"', 5, "[product].nmae", 'did you mean "name"?'),
    ('"org.example.tool"', '"org example"', 6, "[product].identifier", "not an identifier"),
    ('source = "src"', 'source = "nowhere"', 7, "[product].source", "no such folder"),
    ('source = "src"', f'source = "{"x" * 5000}"', 7, "[product].source", "no such folder"),
    ('source = "src"', "", 4, "[product].source", "missing"),
    ('source = "src"', "source = 5", 7, "[product].source", "must be a text, not a whole number"),
    ('["x86_64", "arm64"]', "[]", 8, "[product].architectures", "is empty"),
    ('["x86_64", "arm64"]', '"arm64"', 8, "[product].architectures", "must be a list of texts, not a text"),
    ('["x86_64", "arm64"]', '[\n"x86_64",\n"amd64"]', 10, "[product].architectures #2", "not an architecture"),
    ('["x86_64", "arm64"]', '["arm64", "arm64"]', 8, "[product].architectures #2", "stands twice"),
    ('["x86_64", "arm64"]', '["arm64", 1]', 8, "[product].architectures #2", "must be a text"),
    ("debug = true", 'debug = "yes"', 9, "[product].debug", "must be true or false, not a text"),
    ("debug = true", 'require-sections = ["__TEXT"]', 9, "[product].require-sections #1", "names no section"),
    ("debug = true", "build = 1.5", 9, "[product].build", "must be a table, not a number"),
    ("debug = true", "build = 1979-05-27", 9, "[product].build", "must be a table, not a date or time"),
    ('"make", ', '"make", "{archs}", ', 12, "[build].command #2", 'did you mean "arch"?'),
    ('"make", ', '"make", "{", ', 12, "[build].command #2", "a lone"),
    ('"make", ', '"make", 7, ', 12, "[build].command #2", "must be a text"),
    ('"OUTPUT={output}", ', "", 12, "[build].command", "nothing says where the binary goes"),
    (', "DEBUG_OUTPUT={debug_output}"', "", 12, "[build].command", "where the debug binary goes"),
    ("minimum-macos", "minimum_macos", 13, "[build].minimum_macos", 'did you mean "minimum-macos"?'),
    ('x86_64 = "10.15"', "x86_64 = 10.15", 13, "[build.minimum-macos].x86_64", "must be a text, not a number"),
    ('x86_64 = "10.15"', 'i386 = "10.15"', 13, "[build.minimum-macos].i386", "unknown key"),
    ('x86_64 = "10.15"', 'x86_64 = "\\u0663.1"', 13, "[build.minimum-macos].x86_64", "not a macOS version"),
    ('arm64 = "11.0"', 'arm64 = "10.15"', 13, "[build.minimum-macos].arm64", "lower than 11.0"),
    ("[sign]", 'values = { arch = { x86_64 = "1", arm64 = "2" } }\n[sign]', 15, "[build.values].arch", "fills"),
    ("[sign]", 'values = { id = { x86_64 = "16" } }\n[sign]', 15, "[build.values.id].arm64", "missing"),
    ("[sign]", "values = { id = 16 }\n[sign]", 15, "[build.values].id", "must be a table"),
    ("[sign]", 'collect = { output = "../x" }\n[sign]', 15, "[build.collect].output", "leaves the source"),
    ("[sign]", 'collect = { output = "/x" }\n[sign]', 15, "[build.collect].output", "leaves the source"),
    ("[sign]", 'collect = { output = "{output}" }\n[sign]', 15, "[build.collect].output", "unknown placeholder"),
    ("[sign]", 'environment = ["A=B"]\n[sign]', 15, "[build].environment #1", "name of a variable"),
    ('era = "macos-15"', 'era = "macos-14"', 16, "[sign].era", "no era of codesign"),
    ('era = "macos-15"', 'entitlements = "none.plist"', 16, "[sign].entitlements", "no such file"),
    ('era = "macos-15"', 'debug-entitlements = "no"', 16, "[sign].debug-entitlements", "no such file"),
    ('display-name = "A Tool"', 'minimum-system = "10.13"', 19, "[app].minimum-system", "lower than 10.15"),
    ('display-name = "A Tool"', 'minimum-system = "x"', 19, "[app].minimum-system", "not a macOS version"),
    ("[notary]", '[app.contents]\n"Resources/x" = "id.p12"\n[notary]', 22, "[app.contents].Resources/x", "no place"),
    (
        "[notary]",
        '[app.contents]\n"Contents/../x" = "id.p12"\n[notary]',
        22,
        "[app.contents].Contents/../x",
        "no place",
    ),
    (
        "[notary]",
        '[app.contents]\n"Contents/a\\u0000b" = "id.p12"\n[notary]',
        22,
        "[app.contents].Contents/a\0b",
        "no place",
    ),
    ("[notary]", '[app.contents]\n"Contents/x" = "gone"\n[notary]', 22, "[app.contents].Contents/x", "no such file"),
    (
        "[notary]",
        '[app.contents]\n"Contents/info.plist" = "id.p12"\n[notary]',
        22,
        "[app.contents].Contents/info.plist",
        "written by the release itself",
    ),
    (
        "[notary]",
        '[app.contents]\n"Contents/A/b" = "id.p12"\n"Contents/a" = "src"\n[notary]',
        23,
        "[app.contents].Contents/a",
        "lies inside it",
    ),
    (
        "[notary]",
        '[app.entitlements]\n"Contents/x" = "gone"\n[notary]',
        22,
        "[app.entitlements].Contents/x",
        "no such file",
    ),
    ('display-name = "A Tool"', 'info-plist = "gone.plist"', 19, "[app].info-plist", "no such file"),
    ('display-name = "A Tool"', 'icon = "id.p12"', 19, "[app].icon", "ends in .icns"),
    ('display-name = "A Tool"', 'provisioning-profile = "no"', 19, "[app].provisioning-profile", "no such file"),
    ('display-name = "A Tool"', 'sign-archives = "no"', 19, "[app].sign-archives", "must be true or false"),
    ('wait = "1h30m"', 'wait = "30"', 22, "[notary].wait", "not a duration"),
    ('wait = "1h30m"', 'wait = "0s"', 22, "[notary].wait", "not a duration"),
    ('wait = "1h30m"', 'archives = "many"', 22, "[notary].archives", "none of one, each"),
    ("[notary]", '[launchd]\nservice-id = 1\ninstall-path = "/x"\n[notary]', 22, "[launchd].service-id", "a text"),
    ("[notary]", '[launchd]\nservice-id = "x"\n[notary]', 21, "[launchd].install-path", "missing"),
]


@pytest.mark.parametrize(("old", "new", "line", "key", "message"), MISTAKES)
def test_a_mistake_is_told_with_its_key_and_line(
    folder: Path, old: str, new: str, line: int | None, key: str, message: str
) -> None:
    """One wrong thing in a right file is an error that says which key, on which line, and what to write."""
    assert old in WHOLE
    with pytest.raises(ConfigurationError) as caught:
        read(folder, WHOLE.replace(old, new, 1))
    place = f" line {line}" if line else ""
    assert caught.value.where == f"release.toml{place}, key {key}"
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_the_apple_toolchain_is_missing_elsewhere(folder: Path) -> None:
    """Nothing is wrong with the text: the tools that it names are on no other host than a Mac."""
    with pytest.raises(ToolMissing, match="runs on macOS") as caught:
        read(folder, WHOLE.replace('world = "rehearsal"', 'world = "local"\ntoolchain = "apple"', 1))
    assert caught.value.where == "release.toml line 3, key [release].toolchain"


def test_the_second_products_mistake_names_it(folder: Path) -> None:
    """Of several products, the message numbers the one that is wrong; names that differ in case alone are one name."""
    second = '[[product]]\nname = "{0}"\nidentifier = "{0}"\nsource = "src"\n'
    text = (
        '[release]\nworld = "local"\n[build]\ncommand = ["x", "{output}"]\n' + second.format("a") + second.format("A")
    )
    with pytest.raises(ConfigurationError) as caught:
        read(folder, text)
    assert caught.value.where == "release.toml line 10, key [product #2].name"


@pytest.mark.parametrize("text", ["product = []", "product = [1]", "[[product]]\n[product.x]", ""])
def test_a_release_has_products(folder: Path, text: str) -> None:
    """No product, an empty list of them, or something else in their place is refused."""
    with pytest.raises(ConfigurationError, match=r"key \[product"):
        read(folder, text + '\n[release]\nworld = "local"\n')


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"[release\n", "release.toml line 1"),
        (b"[release]\nworld = \n", "release.toml line 2"),
        (b"[a]\n\n[a]\n", "release.toml line 3"),
        (b"a = '''", "release.toml line 1"),
        (b'a = 1\nb = "\xff"\n', "release.toml line 2"),
        (b"a = " + b"[" * 100_000, "release.toml"),
        (b"a = " + b"9" * 5000, "release.toml"),
    ],
)
def test_what_is_not_toml_is_told_with_its_line(folder: Path, data: bytes, where: str) -> None:
    """A syntax error, a wrong encoding and abusive nesting or digits are configuration errors at their line."""
    (folder / "release.toml").write_bytes(data)
    with pytest.raises(ConfigurationError) as caught:
        config.load(folder / "release.toml", on("Linux"))
    assert caught.value.where == where


def test_no_file_is_a_configuration_error(tmp_path: Path) -> None:
    """A path where no file is names that path."""
    with pytest.raises(ConfigurationError, match="no such file"):
        config.load(tmp_path / "release.toml", on("Linux"))
