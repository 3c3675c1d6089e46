"""How a signature is laid out: hash types, page sizes, versions, segments, flags, by the rules of each era."""

from __future__ import annotations

import hashlib
import plistlib
from typing import Any

import pytest
from builders.chain import developer_id
from builders.mach import DATA, compiled, fat, image
from builders.signing import directory_with, sign, signature_with, signatures, verify

from pipeline.codesign import ERAS, Flags, HashType, SigningOptions, era_named
from pipeline.errors import ConfigurationError, ReleaseError, SigningError
from pipeline.macho import BytesSource, parse_image

DEVELOPER = developer_id(team="ABCDE12345")


@pytest.mark.parametrize("arch", ["x86_64", "arm64", "arm64e", "i386", "ppc7400", "ppc64"])
def test_every_page_is_hashed_as_it_is_written(arch: str) -> None:
    """The hashes are those of the signed file's pages, the last one short; computed here with hashlib alone."""
    signed = sign(image(arch=arch, size=50_001), SigningOptions(identifier="a.b"))
    found = parse_image(BytesSource(signed)).signature
    (signature,) = signatures(signed)
    assert found is not None
    for directory in signature.directories:
        code, page = signed[: found.dataoff], directory.page_size
        expected = [hashlib.sha256(code[at : at + page]).digest() for at in range(0, len(code), page)]
        assert [directory.code_hash(number) for number in range(directory.code_slots)] == expected
        assert directory.code_limit == found.dataoff
        assert len(code) % page, "the last page of this image is a short one"


@pytest.mark.parametrize(
    ("era", "platform", "minimum", "named"),
    [
        ("macos-10.13", 2, "11.0", True),
        ("macos-10.13", 2, "10.3", False),
        ("macos-10.13", 4, "4.0", True),
        ("macos-10.13", 7, "12.0", False),
        ("macos-10.13", 1, "13.0", False),
        ("macos-10.14", 2, "10.3", True),
        ("macos-10.14", 7, "12.0", True),
        ("macos-10.14", 1, "13.0", False),
        ("macos-12", 1, "13.0", True),
        ("macos-10.12", 2, "11.0", False),
    ],
)
def test_when_the_executable_segment_is_named(era: str, platform: int, minimum: str, named: bool) -> None:
    """At first for what was built for iOS 11 and its like, then for all that is not for a Mac, at last for that too."""
    found = directory_with(image(arch="x86_64", platform=platform, minimum=minimum), era=era_named(era))
    assert (found.exec_segment_limit > 0, found.version >= 0x20400) == (named, named)


@pytest.mark.parametrize(
    ("era", "arch", "platform", "page_size"),
    [
        ("macos-26", "arm64", 1, 16384),
        ("macos-26", "arm64e", 1, 16384),
        ("macos-26", "arm64_32", 4, 16384),
        ("macos-26", "arm64", 2, 16384),
        ("macos-26", "arm64", 3, 4096),
        ("macos-26", "x86_64", 1, 4096),
        ("macos-26", "i386", 1, 4096),
        ("macos-26", "armv7", 2, 4096),
        ("macos-15", "arm64", 1, 4096),
        ("macos-11", "arm64", 1, 4096),
    ],
)
def test_pages_are_as_large_as_the_era_has_them(era: str, arch: str, platform: int, page_size: int) -> None:
    """16 KiB on 64-bit ARM since macOS 26, but for tvOS."""
    assert (
        directory_with(image(arch=arch, platform=platform, minimum="26.0"), era=era_named(era)).page_size == page_size
    )


@pytest.mark.parametrize(
    ("era", "platform", "minimum", "types"),
    [
        ("macos-26", 1, "10.11.3", (1, 2)),
        ("macos-26", 1, "10.11.4", (2,)),
        ("macos-26", 2, "10.3", (1, 2)),
        ("macos-26", 2, "11.0", (2,)),
        ("macos-26", 3, "10.9", (1, 2)),
        ("macos-26", 4, "11.9", (1, 2)),
        ("macos-26", 4, "12.0", (2,)),
        ("macos-15", 4, "12.0", (1, 2)),
        ("macos-26", 6, "1.0", (2,)),
        ("macos-26", 10, "1.0", (2,)),
        ("macos-26", 1, None, (2,)),
        ("macos-15", 1, None, (1, 2)),
        ("macos-10.15", 1, "10.12", (2,)),
        ("macos-10.13", 2, "15.0", (1, 2)),
        ("macos-10.11", 1, "10.12", (1,)),
    ],
)
def test_sha1_is_added_where_the_target_is_too_old(
    era: str, platform: int, minimum: str | None, types: tuple[int, ...]
) -> None:
    """By platform and deployment target; SHA-1 is in slot 0 then, SHA-256 in slot 0x1000."""
    found = signature_with(image(arch="x86_64", platform=platform, minimum=minimum), era=era_named(era))
    assert tuple(directory.hash_type for directory in found.directories) == types
    assert [blob.slot for blob in found.blobs if blob.slot in (0, 0x1000)] == [0, 0x1000][: len(types)]
    assert found.best.hash_type == max(types)


def test_one_old_slice_makes_all_of_them_dual() -> None:
    """Since macOS 12; before, the native slice alone decided."""
    data = fat(image(arch="x86_64", minimum="10.9"), image(arch="arm64", minimum="11.0"))
    for era, count in (("macos-26", 2), ("macos-12", 2), ("macos-11", 1)):
        found = signatures(sign(data, SigningOptions(identifier="a.b", era=era_named(era))))
        assert [len(signature.directories) for signature in found] == [count, count]


def test_hash_types_can_be_given() -> None:
    """In their order: the first goes into slot 0."""
    found = signature_with(image(), hash_types=(HashType.SHA256, HashType.SHA384))
    assert [directory.hash_type for directory in found.directories] == [HashType.SHA256, HashType.SHA384]
    assert [blob.slot for blob in found.blobs][:1] + [blob.slot for blob in found.blobs][-2:-1] == [0, 0x1000]


@pytest.mark.parametrize(
    ("shape", "options", "version"),
    [
        ({}, {"flags": Flags.RUNTIME}, 0x20500),
        ({}, {}, 0x20400),
        ({"sdk": "0.0"}, {"flags": Flags.RUNTIME}, 0x20400),
        ({"minimum": None}, {}, 0x20100),
        ({"minimum": None}, {"flags": Flags.RUNTIME, "runtime_version": 0x000D0100}, 0x20500),
        ({}, {"era": era_named("macos-10.15")}, 0x20100),
        ({}, {"era": era_named("macos-10.15"), "flags": Flags.RUNTIME}, 0x20500),
        ({}, {"era": era_named("macos-10.13"), "flags": Flags.RUNTIME}, 0x20100),
        ({"platform": 2}, {"era": era_named("macos-10.15")}, 0x20400),
    ],
    ids=repr,
)
def test_the_version_is_the_least_that_is_needed(shape: dict[str, Any], options: dict[str, Any], version: int) -> None:
    """By runtime version, executable segment and era."""
    assert directory_with(image(arch="x86_64", **shape), **options).version == version


def test_the_runtime_version_is_the_sdk() -> None:
    """Of each slice its own, and only with the hardened runtime; a given one goes before."""
    data = fat(image(arch="x86_64", sdk="13.1"), image(arch="arm64", sdk="26.0.1"))
    runtime = SigningOptions(identifier="a.b", flags=Flags.RUNTIME)
    assert [one.best.runtime for one in signatures(sign(data, runtime))] == [0x000D0100, 0x001A0001]
    assert [one.best.runtime for one in signatures(sign(data, SigningOptions(identifier="a.b")))] == [0, 0]
    given = SigningOptions(identifier="a.b", flags=Flags.RUNTIME, runtime_version=0x000B0000)
    assert [one.best.runtime for one in signatures(sign(data, given))] == [0x000B0000] * 2


@pytest.mark.parametrize("kind", ["execute", "dylib", "bundle", "kext", "dylinker"])
def test_the_executable_segment_is_text(kind: str) -> None:
    """Its place is that of __TEXT; its flag says whether this is a main program."""
    data = image(arch="x86_64", kind=kind)
    text = parse_image(BytesSource(data)).segment("__TEXT")
    found = directory_with(data)
    assert text is not None
    assert (found.exec_segment_base, found.exec_segment_limit) == (text.fileoff, text.filesize)
    assert found.exec_segment_flags == (1 if kind == "execute" else 0)


@pytest.mark.parametrize(
    ("value", "flags"),
    [(0x200, 0x202), ("kill, library-validation", 0x2202), ("", 2), (None, 2)],
    ids=["number", "names", "no name", "absent"],
)
def test_an_info_plist_can_give_flags(value: object, flags: int) -> None:
    """CSFlags, where the caller gives none."""
    plist = plistlib.dumps({"CFBundleIdentifier": "a.b"} | ({"CSFlags": value} if value is not None else {}))
    assert directory_with(image(info_plist=plist)).flags == flags
    assert directory_with(image(info_plist=plist), flags=Flags.HARD).flags == 0x102


@pytest.mark.parametrize("value", ["nonsense", True, [1]])
def test_flags_that_are_none_are_refused(value: object) -> None:
    """Another kind of CSFlags, or an unknown name."""
    plist = plistlib.dumps({"CFBundleIdentifier": "a.b", "CSFlags": value})
    with pytest.raises(ReleaseError):
        sign(image(info_plist=plist), SigningOptions())


def test_flags_that_cannot_be_are_refused() -> None:
    """linker-signed is the linker's, and i386 knows no library validation."""
    with pytest.raises(SigningError, match="linker's own"):
        signature_with(image(), flags=Flags.LINKER_SIGNED)
    with pytest.raises(SigningError, match="i386"):
        signature_with(image(arch="i386"), flags=Flags.LIBRARY_VALIDATION)
    assert signature_with(image(arch="x86_64"), flags=Flags.LIBRARY_VALIDATION)


def test_slices_of_different_kinds_are_not_signed_together() -> None:
    """A universal file holds one kind of file."""
    with pytest.raises(SigningError, match="different file types"):
        sign(fat(image(arch="x86_64", kind="dylib"), image(arch="arm64")), SigningOptions())


@pytest.mark.parametrize("page_size", [0, 1, 100, 2048, 131072])
def test_a_page_size_without_sense_is_refused(page_size: int) -> None:
    """Powers of two from 4096 to 65536 only."""
    with pytest.raises(SigningError, match="a page size of"):
        signature_with(image(), page_size=page_size)
    assert directory_with(image(), page_size=65536).page_size == 65536


def test_eras_have_names() -> None:
    """The contract's seven and those of before, newest first; another name is told with those there are."""
    assert [era.name for era in ERAS] == [
        f"macos-{name}"
        for name in (
            "26",
            "15",
            "12",
            "11",
            "10.15",
            "10.14",
            "10.13",
            "10.12",
            "10.11.4",
            "10.11",
            "10.9",
            "10.7",
            "10.5",
        )
    ]
    with pytest.raises(ConfigurationError, match="unknown era 'macos-9'") as refused:
        era_named("macos-9")
    assert "macos-10.11" in (refused.value.remedy or "")


@pytest.mark.parametrize("era", [era.name for era in ERAS])
@pytest.mark.parametrize("data", [image(arch="x86_64", size=len(DATA)), compiled("arm64"), compiled("arm64", "dylib")])
def test_a_signature_of_every_era_holds(era: str, data: bytes) -> None:
    """Whatever the era, what was signed verifies."""
    options = SigningOptions(
        identifier="com.example.tool",
        anchors=DEVELOPER.anchors,
        era=era_named(era),
        entitlements=plistlib.dumps({"get-task-allow": True}),
        flags=Flags.RUNTIME,
    )
    (found,) = verify(sign(data, options, DEVELOPER), DEVELOPER)
    assert found.identifier == "com.example.tool"
    assert not found.residue
