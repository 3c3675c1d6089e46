"""Bundles without an executable: the Info.plist is signed, and the signature is in files beside the seal."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest
from builders import bundles
from builders.bundles import info, under, write
from builders.signed_bundles import DEVELOPER, seal, sha256, sign

from pipeline.codesign.code_directory import HashType
from pipeline.codesign.options import SigningOptions
from pipeline.disk import verify_path
from pipeline.errors import VerificationError

PLAIN: bundles.Files = {
    "Contents/Info.plist": info(None, "com.example.strings", "BNDL"),
    "Contents/Resources/en.lproj/Localizable.strings": b'"a" = "b";',
    "Contents/Resources/data": b"data",
}


@pytest.mark.parametrize("ad_hoc", [True, False])
def test_a_bundle_without_an_executable(tmp_path: Path, ad_hoc: bool) -> None:
    """Where there is no executable, the Info.plist is what is signed, and the signature is in files beside the seal."""
    signed = sign(write(tmp_path / "Strings.bundle", PLAIN), ad_hoc=ad_hoc)
    folder = signed / "Contents/_CodeSignature"
    assert {path.name for path in folder.iterdir()} == {
        "CodeDirectory",
        "CodeRequirements",
        "CodeResources",
        "CodeSignature",
    }
    directory = (folder / "CodeDirectory").read_bytes()
    magic, length, version, _flags, hashes, identifier, special, code, limit = struct.unpack_from(">9I", directory)
    assert (magic, length, special, code) == (0xFADE0C02, len(directory), 3, 1)
    assert version == (0x20100 if ad_hoc else 0x20200)
    assert limit == (signed / "Contents/Info.plist").stat().st_size
    assert directory[39] == 0, "not in pages"
    assert directory[identifier:].startswith(b"com.example.strings\0")
    slots = [directory[hashes + 32 * number :][:32] for number in range(-3, 1)]
    assert slots == [
        sha256(folder / "CodeResources"),
        sha256(folder / "CodeRequirements"),
        sha256(signed / "Contents/Info.plist"),
        sha256(signed / "Contents/Info.plist"),
    ]
    assert ((folder / "CodeSignature").stat().st_size == 0) is ad_hoc
    (found,) = verify_path(signed, anchors=DEVELOPER.anchors)
    assert found.cdhash == hashlib.sha256(directory).hexdigest()[:40]
    assert (found.identifier, found.team) == ("com.example.strings", None if ad_hoc else "ABCDE12345")


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("Info.plist", "Info.plist"),
        ("Resources/data", "Resources/data"),
        ("_CodeSignature/CodeDirectory", "Info.plist"),
        ("_CodeSignature/CodeRequirements", "requirements"),
        ("_CodeSignature/CodeResources", "CodeResources"),
        ("_CodeSignature/CodeSignature", "CMS"),
    ],
)
def test_a_change_of_a_bundle_without_an_executable(tmp_path: Path, name: str, named: str) -> None:
    """Every file of such a bundle is covered, those of the signature too."""
    signed = sign(write(tmp_path / "Strings.bundle", PLAIN))
    path = signed / "Contents" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(VerificationError, match=named):
        verify_path(signed, anchors=DEVELOPER.anchors)


def test_without_its_code_directory_it_is_not_signed(tmp_path: Path) -> None:
    """Whatever else of the signature is left."""
    signed = sign(write(tmp_path / "Strings.bundle", PLAIN))
    (signed / "Contents/_CodeSignature/CodeDirectory").unlink()
    with pytest.raises(VerificationError, match="not signed"):
        verify_path(signed, anchors=DEVELOPER.anchors)


@pytest.mark.parametrize(
    ("at", "reason"), [(-1, "not that of the CodeDirectory"), (39, "hashes"), (3, "CodeDirectory")]
)
def test_the_code_directory_is_of_the_info_plist(tmp_path: Path, at: int, reason: str) -> None:
    """Its one hash, its page size, its kind; ad hoc, where no CMS would notice a change."""
    signed = sign(write(tmp_path / "Strings.bundle", PLAIN), ad_hoc=True)
    path = signed / "Contents/_CodeSignature/CodeDirectory"
    data = bytearray(path.read_bytes())
    data[at] ^= 12
    path.write_bytes(data)
    with pytest.raises(VerificationError, match=reason):
        verify_path(signed, anchors=DEVELOPER.anchors)


def test_a_link_to_what_is_signed_in_place_of_an_executable(tmp_path: Path) -> None:
    """The seal's rules leave the Info.plist out, and its hash is what the signature is of: a link may lead there."""
    files = {**PLAIN, "Contents/Resources/about": "../Info.plist"}
    assert verify_path(sign(write(tmp_path / "Strings.bundle", files)), anchors=DEVELOPER.anchors)


def test_bundles_are_inside_each_other_to_a_depth(tmp_path: Path) -> None:
    """32 deep, far more than real ones are; what is deeper is refused before it costs a stack."""
    files = PLAIN
    for _ in range(33):
        files = {**PLAIN, **under("Contents/PlugIns/Strings.bundle", files)}
    signed = sign(write(tmp_path / "Strings.bundle", files), ad_hoc=True)
    with pytest.raises(VerificationError, match="bundles too deep inside each other"):
        verify_path(signed, anchors=DEVELOPER.anchors)
    assert verify_path(signed / "Contents/PlugIns/Strings.bundle", anchors=DEVELOPER.anchors)


@pytest.mark.parametrize("ad_hoc", [True, False])
def test_a_bundle_that_names_itself_nowhere(tmp_path: Path, ad_hoc: bool) -> None:
    """The bundle's name is its identifier; ad hoc, where no team makes it unique, with the hash of what is signed."""
    plist = info(None, "", "BNDL")
    bundle = write(tmp_path / "Strings.bundle", {"Contents/Info.plist": plist, "Contents/Resources/data": b"data"})
    (found,) = verify_path(sign(bundle, ad_hoc=ad_hoc), anchors=DEVELOPER.anchors)
    assert found.identifier == (f"Strings-{hashlib.sha1(plist).hexdigest()}" if ad_hoc else "Strings")


def test_an_installer_package_of_old_has_rules_of_its_own(tmp_path: Path) -> None:
    """Known by IFMajorVersion; packages in it are not sealed (Security: bundlediskrep.cpp)."""
    files = {
        "Contents/Info.plist": info(None, "com.example.package", "BNDL", IFMajorVersion=0),
        "Contents/Resources/data": b"data",
        "Contents/Packages/inner.pkg/Contents/data": b"data",
    }
    values = seal(sign(write(tmp_path / "Old.pkg", files)))
    assert values["rules"].keys() == {"^.*", "^Resources/.*\\.lproj/", "^.*/.*\\.pkg/"}
    assert values["rules"].items() < values["rules2"].items()
    assert "Resources/data" in values["files"]
    assert "Resources/data" in values["files2"]
    assert not any("inner.pkg" in path for path in (*values["files"], *values["files2"]))


def test_two_code_directories_in_files(tmp_path: Path) -> None:
    """The second CodeDirectory of such a bundle is in the file that codesign gives it."""
    options = SigningOptions(anchors=DEVELOPER.anchors, hash_types=(HashType.SHA1, HashType.SHA256))
    signed = sign(write(tmp_path / "Strings.bundle", PLAIN), options=options)
    second = (signed / "Contents/_CodeSignature/CodeRequirements-1").read_bytes()
    (found,) = verify_path(signed, anchors=DEVELOPER.anchors)
    assert found.cdhash == hashlib.sha256(second).hexdigest()[:40]


def test_nested_without_an_executable(tmp_path: Path) -> None:
    """A nested bundle without an executable is sealed by its CDHash as others are."""
    files = under("Contents/PlugIns/Strings.bundle", PLAIN)
    signed = sign(bundles.app(tmp_path, files=files))
    directory = signed / "Contents/PlugIns/Strings.bundle/Contents/_CodeSignature/CodeDirectory"
    assert seal(signed)["files2"]["PlugIns/Strings.bundle"]["cdhash"] == sha256(directory)[:20]
    assert verify_path(signed, anchors=DEVELOPER.anchors)
