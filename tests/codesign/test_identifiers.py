"""The identifier that codesign chooses: from an Info.plist, from the file's name, unique where it is ad hoc."""

from __future__ import annotations

import hashlib
import plistlib

import pytest
from builders.chain import developer_id
from builders.mach import fat, image
from builders.signing import sign, signatures

from pipeline.codesign import SigningOptions, era_named
from pipeline.codesign.identifiers import canonical_identifier
from pipeline.errors import SigningError

PLIST = plistlib.dumps({"CFBundleIdentifier": "com.example.embedded"})
DOTLESS = plistlib.dumps({"CFBundleIdentifier": "embedded"})
UUID_SUFFIX = "-55554944" + bytes(range(16)).hex()


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        # The examples that Apple's source gives for the rule, and its corners.
        ("libfrotz7.3.5.dylib", "libfrotz7"),
        ("mumble.77.plugin", "mumble.77"),
        ("rumble.rb", "rumble"),
        ("foo.2.3.4", "foo.2"),
        ("foo2.3", "foo2"),
        ("foo.9", "foo.9"),
        ("foo", "foo"),
        ("/usr/local/bin/tool", "tool"),
        ("folder.app/tool", "tool"),
        ("7zip", "7zip"),
        ("7zip.1.2", "7zip.1.2"),
        (".hidden.1.2", ".hidden.1.2"),
        ("libz.1.2.11.dylib", "libz.1"),
        ("foo.", "foo."),
        ("foo1.2.3.bar", "foo1"),
        ("org.example.tool", "org.example"),
        ("", ""),
    ],
)
def test_a_name_is_made_canonical(name: str, identifier: str) -> None:
    """Folders, a last extension and all but the first version number fall away."""
    assert canonical_identifier(name) == identifier


def _identifier(data: bytes, options: SigningOptions | None = None, *, named: bool = False) -> str:
    chain = developer_id(team="ABCDE12345") if named else None
    (signature, *_) = signatures(sign(data, options or SigningOptions(), chain, file_name="tool"))
    return signature.best.identifier


def test_an_ad_hoc_name_is_made_unique() -> None:
    """A name without a dot gains the UUID in hex; this is how real ad-hoc signatures are named."""
    assert _identifier(image()) == "tool" + UUID_SUFFIX


def test_a_name_with_a_certificate_is_not() -> None:
    """Where somebody signs, the file's name is enough."""
    assert _identifier(image(), named=True) == "tool"


def test_a_given_identifier_is_taken_as_it_is() -> None:
    """Ad hoc or not, with a dot or not."""
    assert _identifier(image(), SigningOptions(identifier="given")) == "given"


def test_an_embedded_plist_gives_the_identifier() -> None:
    """CFBundleIdentifier goes before the file's name, and needs nothing to be unique."""
    assert _identifier(image(info_plist=PLIST)) == "com.example.embedded"
    assert _identifier(image(info_plist=DOTLESS)) == "embedded"


@pytest.mark.parametrize(("era", "suffix"), [("macos-15", ""), ("macos-12", UUID_SUFFIX), ("macos-11", UUID_SUFFIX)])
def test_older_eras_make_a_plists_identifier_unique_too(era: str, suffix: str) -> None:
    """Up to macOS 13 a dotless identifier gains the UUID wherever it came from."""
    assert _identifier(image(info_plist=DOTLESS), SigningOptions(era=era_named(era))) == "embedded" + suffix


def test_a_prefix_goes_before_a_name_without_a_dot() -> None:
    """And makes the UUID needless where it brings a dot."""
    assert _identifier(image(), SigningOptions(prefix="com.example.")) == "com.example.tool"
    assert _identifier(image(info_plist=PLIST), SigningOptions(prefix="x.")) == "com.example.embedded"


def test_all_slices_share_the_native_slices_name() -> None:
    """The UUID is that of the slice which a Mac with Apple silicon runs."""
    intel, apple = image(arch="x86_64", uuid=b"\xaa" * 16), image(arch="arm64", uuid=b"\xbb" * 16)
    names = {found.best.identifier for found in signatures(sign(fat(intel, apple), SigningOptions(), file_name="tool"))}
    assert names == {"tool-55554944" + "bb" * 16}


def test_without_a_uuid_the_head_is_hashed() -> None:
    """SHA-1 of the 32-bit part of the header and the load commands stands in for it."""
    data = image(uuid=None)
    size = int.from_bytes(data[20:24], "little")
    expected = hashlib.sha1(data[:28] + data[32 : 32 + size]).hexdigest()
    assert _identifier(data) == f"tool-{expected}"


@pytest.mark.parametrize(
    "plist",
    [b"not a plist", plistlib.dumps([1]), plistlib.dumps({"CFBundleIdentifier": 7}), b"<plist><dict><key>"],
    ids=["no list", "no dictionary", "a number", "cut off"],
)
def test_an_embedded_plist_that_is_none_is_refused(plist: bytes) -> None:
    """codesign refuses it too; nothing is guessed in its place."""
    with pytest.raises(SigningError):
        sign(image(info_plist=plist), SigningOptions())


def test_an_identifier_that_cannot_be_written_is_refused() -> None:
    """It ends at a zero byte in the signature."""
    with pytest.raises(SigningError):
        sign(image(), SigningOptions(identifier="a\0b"))
