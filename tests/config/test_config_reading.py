"""What is read from a release.toml: keys, defaults, what one product says in place of all, paths, toolchain."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from builders.release_toml import REAL, WHOLE, read

from pipeline.errors import ConfigurationError
from pipeline.model import AppOptions, ArchiveLayout, NotaryMode, World


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
