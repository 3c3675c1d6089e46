"""Bundles that Apple's codesign signed: verified, and their seals written again byte for byte."""

from __future__ import annotations

import plistlib
import shutil
from pathlib import Path

import pytest
from builders.real_binaries import package

from pipeline.codesign.bundle import find_bundle
from pipeline.codesign.bundle_code import parts
from pipeline.codesign.bundle_describe import describe_bundle
from pipeline.codesign.bundle_reproduce import reproduce_bundle
from pipeline.codesign.code_directory import HashType
from pipeline.codesign.describe import differences
from pipeline.codesign.eras import era_named
from pipeline.codesign.options import SigningOptions
from pipeline.codesign.reproduce import reproduce
from pipeline.codesign.seal import build_seal
from pipeline.disk import FolderTree, open_source, sign_bundle, verify_path
from pipeline.errors import VerificationError
from pipeline.host import Files
from pipeline.identity import APPLE_ANCHORS
from pipeline.macho import read_slices
from pipeline.tickets import stapled_ticket, verify_coverage, verify_ticket

pytestmark = pytest.mark.registry

EXTENSION = "Contents/Library/SystemExtensions/org.mitmproxy.macos-redirector.network-extension.systemextension"
QT = {
    "Assistant": ("d880847f0dc9b4a4aba4af4a9d1bd215113ea53e", "dc58df1288bf91095aab5598d6def552f345e7f9"),
    "Designer": ("c6d2bb57529d0a0838f4c080df7ad764c052a8f2", "de72465630088e64c54c7d7e43456c0459c2ebc3"),
    "Linguist": ("3096b3588d8bac16f2338510d206d7951babcd43", "c3795a6addb67cbe58b1baaf1fde90d3d6ce7f40"),
}


def redirector() -> Path:
    return next(package("pypi mitmproxy-macos 0.12.15").rglob("Mitmproxy Redirector.app"))


def qt(name: str) -> Path:
    return package("pypi PySide6-Essentials 6.11.3") / "PySide6" / f"{name}.app"


BUNDLES = ["redirector", "extension", *QT]


def real(name: str) -> Path:
    if name in QT:
        return qt(name)
    return redirector() / (EXTENSION if name == "extension" else "")


@pytest.mark.parametrize("name", BUNDLES)
def test_a_seal_comes_out_byte_for_byte(name: str) -> None:
    """The CodeResources built from the bundle's files is the one that codesign wrote."""
    folder = real(name)
    tree = FolderTree(folder)
    bundle = find_bundle(tree, name=folder.name)
    assert not [part for part in parts(tree, bundle) if part.nested]
    assert build_seal(tree, bundle, [HashType.SHA256], {}) == (folder / bundle.seal_path).read_bytes()


@pytest.mark.parametrize("name", ["redirector", *QT])
def test_a_bundle_is_reproduced(name: str) -> None:
    """Every CodeDirectory and every seal in codesign's bundles comes out of our engine as it is."""
    folder = real(name)
    found = reproduce_bundle(FolderTree(folder), folder.name)
    assert [(one.is_identical, one.seal) for one in found] == [(True, True)] * (2 if name == "redirector" else 1)
    assert all("macos-26" in one.file.slices[0].eras for one in found)


def test_an_app_that_an_intel_mac_sealed_is_reproduced() -> None:
    """37 nested frameworks, each named by the CDHash of its x86_64 slice; all hold."""
    app = next(package("pypi flet-desktop 0.25.0").rglob("Flet.app"))
    found = reproduce_bundle(FolderTree(app), app.name)
    assert (len(found), [one.path for one in found if not one.is_identical]) == (38, [])
    assert {era for one in found for each in one.file.slices for era in each.eras} >= {"macos-12", "macos-15"}
    assert [one.arch for one in verify_path(app, anchors=APPLE_ANCHORS)] == ["x86_64", "arm64"]


@pytest.mark.npm
def test_a_framework_of_the_simulator_is_reproduced() -> None:
    """Flat, and with both digests: one slice is for a system older than SHA-256."""
    folder = package("npm nativescript-ui-sidedrawer 15.2.6")
    framework = next(folder.rglob("ios-arm64_x86_64-simulator/TNSSideDrawer.framework"))
    (found,) = reproduce_bundle(FolderTree(framework), framework.name)
    assert (found.is_identical, [one.told for one in found.file.slices]) == (True, [(), ()])
    assert [len(one.cdhashes) for one in verify_path(framework, anchors=APPLE_ANCHORS)] == [2, 2]


@pytest.mark.npm
def test_slices_that_were_signed_apart_are_reproduced() -> None:
    """Two ad hoc and with both digests, the third with a Developer ID and without SHA-1: no one run of codesign."""
    file = package("npm frida 17.18.0") / "package/test/data/unixvictim-macos"
    with open_source(file) as source:
        found = reproduce(source, read_slices(source))
    assert [one.arch for one in found.slices] == ["i386", "x86_64", "arm64"]
    assert found.is_identical
    assert found.whole_file == ()
    assert ["adhoc" in one.flags for one in verify_path(file, anchors=APPLE_ANCHORS)] == [True, True, False]


def test_another_seal_is_told(tmp_path: Path) -> None:
    """A seal that codesign would not have written for these files is not called identical."""
    copy = tmp_path / "Assistant.app"
    shutil.copytree(qt("Assistant"), copy)
    (copy / "Contents/Resources/added").write_bytes(b"")
    (found,) = reproduce_bundle(FolderTree(copy), copy.name)
    assert (found.file.is_identical, found.seal, found.is_identical) == (True, False, False)


def test_a_bundle_is_described() -> None:
    """Every slice and every seal is told with its path and what it says."""
    folder = redirector()
    facts = describe_bundle(FolderTree(folder), folder.name)
    assert [(one["path"].rpartition("/")[2], one.get("arch")) for one in facts] == [
        ("org.mitmproxy.macos-redirector.network-extension", "x86_64"),
        ("org.mitmproxy.macos-redirector.network-extension", "arm64"),
        ("CodeResources", None),
        ("Mitmproxy Redirector", "x86_64"),
        ("Mitmproxy Redirector", "arm64"),
        ("CodeResources", None),
    ]
    seal = facts[-1]["seal"]
    recorded = plistlib.loads((folder / "Contents/_CodeSignature/CodeResources").read_bytes())
    assert (seal["version"], seal["rules"], seal["files"]) == (2, "codesign's own", len(recorded["files2"]))
    assert differences(facts, facts) == ()
    assert "Mitmproxy Redirector: arm64" in differences(facts, facts[:-2])[0].field


@pytest.mark.parametrize("name", BUNDLES)
def test_a_real_bundle_verifies(name: str) -> None:
    """codesign's own bundles hold under our verification, the extension inside the app too."""
    assert len(verify_path(real(name), anchors=APPLE_ANCHORS)) == 2


@pytest.mark.parametrize("name", QT)
def test_signing_again_makes_the_same_code(name: str, tmp_path: Path) -> None:
    """Signed ad hoc over its signature in the era of macOS 15, a real app has the CDHashes that codesign gave it."""
    folder = qt(name)
    before = verify_path(folder, anchors=APPLE_ANCHORS)
    assert before[0].entitlements is None
    output = tmp_path / folder.name
    sign_bundle(Files(), folder, output, SigningOptions(era=era_named("macos-15")))
    after = verify_path(output, anchors=APPLE_ANCHORS)
    assert tuple(one.cdhash for one in after) == tuple(one.cdhash for one in before) == QT[name]
    executable = f"Contents/MacOS/{name}"
    assert (output / executable).read_bytes() == (folder / executable).read_bytes()


def test_a_real_ticket_proves_its_app_offline() -> None:
    """The ticket stapled to mitmproxy's redirector names the CDHashes of both its slices and its extension's two."""
    app = redirector()
    data = stapled_ticket(app)
    assert data is not None
    hashes = [one.cdhash for path in (app, app / EXTENSION) for one in verify_path(path, anchors=APPLE_ANCHORS)]
    assert len(set(hashes)) == 4
    verify_coverage(verify_ticket(data, APPLE_ANCHORS.ticket_roots), hashes)


def test_a_changed_extension_is_named(tmp_path: Path) -> None:
    """A system extension is sealed file by file, so that a change inside it is named as the app's."""
    copy = tmp_path / "Mitmproxy Redirector.app"
    shutil.copytree(redirector(), copy, symlinks=True)
    plist = copy / EXTENSION / "Contents/Info.plist"
    plist.write_bytes(plistlib.dumps({**plistlib.loads(plist.read_bytes()), "CFBundleVersion": "0"}))
    with pytest.raises(VerificationError, match=r"Contents/Info\.plist: is not what was sealed"):
        verify_path(copy, anchors=APPLE_ANCHORS)
