"""release.toml: what is read from it, and what each mistake is told as."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline import config
from pipeline.config.lines import line_index
from pipeline.config.placeholders import expand, names_in
from pipeline.errors import ConfigurationError, ToolMissing
from pipeline.host import Host, system_host
from pipeline.model import AppOptions, ArchiveLayout, Configuration, NotaryMode, World

WHOLE = """\
[release]
world = "rehearsal"

[product]
name = "tool"
identifier = "org.example.tool"
source = "src"
architectures = ["x86_64", "arm64"]
debug = true

[build]
command = ["make", "ARCH={arch}", "OUTPUT={output}", "DEBUG_OUTPUT={debug_output}"]
minimum-macos = { x86_64 = "10.15", arm64 = "11.0" }

[sign]
era = "macos-15"

[app]
display-name = "A Tool"

[notary]
wait = "1h30m"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "id.p12").write_bytes(b"0")
    (tmp_path / "entitlements.plist").write_bytes(b"<plist/>")
    return tmp_path


def on(system: str) -> Host:
    return replace(system_host(), system=system)


def read(folder: Path, text: str, system: str = "Linux") -> Configuration:
    path = folder / "release.toml"
    path.write_text(text, encoding="utf-8")
    return config.load(path, on(system))


def test_a_whole_file_is_read(folder: Path) -> None:
    """Every key arrives in its field, with its type, and paths are relative to the file."""
    configuration = read(folder, WHOLE)
    assert configuration.release == "tool"
    assert configuration.world is World.REHEARSAL
    assert configuration.toolchain == "portable"
    assert configuration.folder == folder / "build" / "macos"
    (product,) = configuration.products
    assert product.source == folder / "src"
    assert product.architectures == ("x86_64", "arm64")
    assert product.debug
    assert product.build.minimum_macos == {"x86_64": "10.15", "arm64": "11.0"}
    assert product.sign.era == "macos-15"
    assert product.sign.debug_entitlements == "get-task-allow"
    assert product.app is not None
    assert product.app.display_name == "A Tool"
    assert product.app.minimum_system == "10.15"
    assert configuration.notary.wait == timedelta(hours=1, minutes=30)
    assert configuration.notary.archives is ArchiveLayout.ONE
    assert configuration.notary.mode is NotaryMode.PARALLEL
    assert configuration.launchd is None


def test_what_is_absent_has_its_default(folder: Path) -> None:
    """A file of the fewest keys gives both architectures, the newest era, no app and no DEBUG twin."""
    configuration = read(
        folder,
        '[release]\nworld = "local"\n[product]\nname = "t"\nidentifier = "t"\nsource = "src"\n'
        '[build]\ncommand = ["cc", "-o", "{output}"]\n',
    )
    (product,) = configuration.products
    assert product.architectures == ("x86_64", "arm64")
    assert product.build.minimum_macos == {"x86_64": "10.13", "arm64": "11.0"}
    assert product.sign.era == "macos-26"
    assert product.app is None
    assert not product.debug
    assert configuration.notary.wait == timedelta(minutes=30)


def test_products_override_the_defaults_key_by_key(folder: Path) -> None:
    """A key of product.build or product.sign stands in place of that key alone."""
    configuration = read(
        folder,
        """
[release]
world = "rehearsal"
[build]
command = ["make", "O={output}"]
serial = true
[sign]
era = "macos-12"
[[product]]
name = "one"
identifier = "a.one"
source = "src"
[[product]]
name = "two"
identifier = "a.two"
source = "src"
[product.build]
command = ["ninja", "{output}"]
[product.sign]
debug-entitlements = "none"
[product.app]
background = true
[launchd]
service-id = "two"
install-path = "/usr/local/two"
""",
    )
    one, two = configuration.products
    assert configuration.release == "one"
    assert (one.build.command[0], two.build.command[0]) == ("make", "ninja")
    assert two.build.serial
    assert two.sign.era == "macos-12"
    assert (one.sign.debug_entitlements, two.sign.debug_entitlements) == ("get-task-allow", None)
    assert one.app is None
    assert two.app is not None
    assert two.app.display_name == "two"
    assert configuration.launchd is not None
    assert configuration.launchd.install_path == "/usr/local/two"


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


def test_what_an_app_holds_is_read(folder: Path) -> None:
    """Icon, profile, contents and entitlements by path arrive as paths; "preserve" is no file."""
    (folder / "Tool.icns").write_bytes(b"icns")
    more = """\
icon = "Tool.icns"
provisioning-profile = "id.p12"
sign-archives = true
contents = { "Contents/Frameworks" = "src", "Contents/Resources/id" = "id.p12" }
entitlements = { "**/*.xpc" = "entitlements.plist", "Contents/Helpers/*" = "preserve" }
"""
    (product,) = read(folder, WHOLE.replace('display-name = "A Tool"\n', more)).products
    assert product.app == AppOptions(
        display_name="tool",
        background=False,
        minimum_system="10.15",
        icon=folder / "Tool.icns",
        provisioning_profile=folder / "id.p12",
        contents={"Contents/Frameworks": folder / "src", "Contents/Resources/id": folder / "id.p12"},
        entitlements={"**/*.xpc": folder / "entitlements.plist", "Contents/Helpers/*": None},
        sign_archives=True,
    )


def test_a_product_has_its_own_app_or_the_common_one(folder: Path) -> None:
    """A table of the product's takes the place of the common one, key by key: contents are not mixed."""
    product = '[[product]]\nname = "{0}"\nidentifier = "{0}"\nsource = "src"\n'
    text = (
        '[release]\nworld = "local"\n[build]\ncommand = ["x", "{output}"]\n'
        '[app]\nbackground = true\n[app.contents]\n"Contents/common" = "src"\n'
        + product.format("a")
        + product.format("b")
        + '[product.app.contents]\n"Contents/own" = "id.p12"\n'
    )
    first, second = (one.app for one in read(folder, text).products)
    assert first is not None
    assert second is not None
    assert first.contents == {"Contents/common": folder / "src"}
    assert second.contents == {"Contents/own": folder / "id.p12"}
    assert (first.background, second.background) == (True, True)


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


REAL = WHOLE.replace('"rehearsal"', '"real"').replace("[notary]", '[notary]\nprofile = "p"')


@pytest.mark.parametrize(
    ("text", "system", "toolchain"),
    [
        (WHOLE, "Darwin", "portable"),
        (REAL, "Darwin", "apple"),
        (REAL, "Linux", "portable"),
        (REAL.replace("[release]", '[release]\ntoolchain = "portable"'), "Darwin", "portable"),
        (WHOLE.replace("[release]", '[toolchain]\npath = "src"\n[release]\ntoolchain = "apple"'), "Linux", "apple"),
    ],
)
def test_the_toolchain_follows_the_world_and_the_host(folder: Path, text: str, system: str, toolchain: str) -> None:
    """ "auto" is apple for a real release on a Mac and portable elsewhere; what is asked for by name is obeyed."""
    configuration = read(folder, text.replace("[sign]", '[sign]\nidentity = "id.p12"'), system)
    assert configuration.toolchain == toolchain


def test_a_real_release_names_its_identity_and_its_profile(folder: Path) -> None:
    """Keys named and missing are no matter to a build; each is told where it is needed, with its line."""
    named = REAL.replace("[sign]", '[sign]\nidentity = "Developer ID Application: X"')
    assert read(folder, named, "Darwin").products[0].sign.identity == "Developer ID Application: X"
    with pytest.raises(ConfigurationError, match=r"line \d+, key \[sign\]\.identity: .* a name in a keychain"):
        read(folder, named, "Linux").demand_ready()
    gone = read(folder, REAL.replace("[sign]", '[sign]\nidentity = "gone.p12"'), "Linux")
    with pytest.raises(ConfigurationError, match=r"line \d+, key \[sign\]\.identity: no such file"):
        gone.demand_ready()
    file = REAL.replace("[sign]", '[sign]\nidentity = "id.p12"')
    with pytest.raises(ConfigurationError, match=r"\[sign\]\.identity: .* is a file, and codesign signs with"):
        read(folder, file, "Darwin").demand_ready()
    ready = read(folder, file)
    ready.demand_ready()
    assert ready.products[0].sign.identity == str(folder / "id.p12")
    with pytest.raises(ConfigurationError, match=r"\[notary\]\.profile: missing"):
        read(folder, file.replace('profile = "p"', ""))
    with pytest.raises(ConfigurationError, match=r"\[notary\]\.credentials: no such file"):
        read(folder, file.replace('profile = "p"', 'credentials = "gone"')).demand_ready()
    with pytest.raises(ConfigurationError, match=r"\[provenance\]\.key: no such file"):
        read(folder, file + '\n[provenance]\nkey = "gone"\n').demand_ready()


def test_a_rehearsal_needs_no_key_file(folder: Path) -> None:
    """The identity and credentials of a real release need not lie on the machine that rehearses it."""
    text = WHOLE.replace("[sign]", '[sign]\nidentity = "gone.p12"').replace(
        "[notary]", '[notary]\ncredentials = "gone"'
    )
    assert read(folder, text).notary.credentials == folder / "gone"


def test_launchd_names_stand_in_the_daemons_job(folder: Path) -> None:
    """service-name and company-name are handed on; one that a job cannot hold is an error at its key."""
    table = '\n[launchd]\nservice-id = "acmemesh"\ninstall-path = "/opt/acmemesh"\n'
    names = 'service-name = "ACME Mesh"\ncompany-name = "ACME, Inc."\n'
    options = read(folder, WHOLE + table + names).launchd
    assert options is not None
    installation = options.installation("custom", "tool")
    assert (installation.folder, installation.service_name) == ("/opt/acmemesh", "ACME Mesh")
    assert (installation.program, installation.company_name) == ("tool", "ACME, Inc.")
    with pytest.raises(ConfigurationError, match=r"line \d+, key \[launchd\]\.company-name: .*control"):
        read(folder, WHOLE + table + names.replace("ACME, Inc.", "ACME\\u0007"))


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
