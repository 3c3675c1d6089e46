"""A signed bundle with one thing changed: refused, and the thing is named; or rightly accepted."""

from __future__ import annotations

import os
import plistlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import bundles, chain

from pipeline.codesign.code_directory import Flags
from pipeline.codesign.options import SigningOptions
from pipeline.codesign.requirements import compile_requirement
from pipeline.disk import sign_bundle, sign_file, verify_path
from pipeline.errors import VerificationError
from pipeline.host import Files

DEVELOPER = chain.developer_id()
OPTIONS = SigningOptions(anchors=DEVELOPER.anchors, flags=Flags.RUNTIME)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    output = folder / "signed" / "Tool.app"
    sign_bundle(Files(), bundles.rich_app(folder), output, OPTIONS, DEVELOPER.identity, signing_time=chain.SIGNED_AT)
    return output


@pytest.fixture
def signed(original: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "Tool.app"
    shutil.copytree(original, copy, symlinks=True)
    return copy


def verify(bundle: Path) -> None:
    verify_path(bundle, anchors=DEVELOPER.anchors)


def add(name: str, content: bytes = b"new") -> Callable[[Path], None]:
    def change(contents: Path) -> None:
        path = contents / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return change


def alter(name: str, at: int = 0) -> Callable[[Path], None]:
    def change(contents: Path) -> None:
        data = bytearray((contents / name).read_bytes())
        data[at] ^= 1
        (contents / name).write_bytes(data)

    return change


def remove(name: str) -> Callable[[Path], None]:
    def change(contents: Path) -> None:
        path = contents / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

    return change


def rename(name: str, new: str) -> Callable[[Path], None]:
    def change(contents: Path) -> None:
        (contents / name).rename(contents / new)

    return change


def link(name: str, target: str) -> Callable[[Path], None]:
    def change(contents: Path) -> None:
        if (contents / name).is_symlink() or (contents / name).exists():
            remove(name)(contents)
        (contents / name).symlink_to(target)

    return change


def fifo(name: str) -> Callable[[Path], None]:
    return lambda contents: os.mkfifo(contents / name)


def replace_framework(contents: Path) -> None:
    """The same framework in another version, signed by the same developer: its requirement holds."""
    framework = contents / "Frameworks/Engine.framework"
    (framework / "Versions/A/Resources/data.txt").write_bytes(b"other data")
    copy = contents.parent.parent / "work" / framework.name
    # On its own the link of its helper would lead nowhere.
    (framework / "Versions/A/Helpers/Helper.app/Contents/Frameworks").unlink()
    sign_bundle(Files(), framework, copy, OPTIONS, DEVELOPER.identity)
    shutil.rmtree(framework)
    shutil.copytree(copy, framework, symlinks=True)


def entitle_service(contents: Path) -> None:
    """The service signed again by the same developer, with entitlements."""
    service = contents / "XPCServices/Service.xpc"
    options = SigningOptions(
        anchors=DEVELOPER.anchors, entitlements=plistlib.dumps({"com.apple.security.get-task-allow": True})
    )
    copy = contents.parent.parent / "work" / service.name
    sign_bundle(Files(), service, copy, options, DEVELOPER.identity)
    shutil.rmtree(service)
    shutil.copytree(copy, service)


def of_another_team(contents: Path) -> None:
    path = contents / "MacOS/second"
    other = chain.developer_id(team="ZZZZZ99999")
    options = SigningOptions(anchors=other.anchors, flags=Flags.RUNTIME)
    sign_file(Files(), path, path, options, other.identity)


def ad_hoc(contents: Path) -> None:
    path = contents / "MacOS/second"
    sign_file(Files(), path, path, SigningOptions(), None)


def forge_seal(contents: Path) -> None:
    """A file changed together with its hash in the seal."""
    seal = contents / "_CodeSignature/CodeResources"
    values = plistlib.loads(seal.read_bytes())
    del values["files2"]["Resources/icon.icns"]
    seal.write_bytes(plistlib.dumps(values))
    (contents / "Resources/icon.icns").unlink()


FRAMEWORK = "Frameworks/Engine.framework/Versions/A"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param(add("Resources/new.txt"), "Contents/Resources/new.txt", id="added resource"),
        pytest.param(add("Resources/._icon.icns"), "Contents/Resources/._icon.icns", id="added AppleDouble"),
        pytest.param(
            add("Library/LaunchDaemons/x.plist"), "Contents/Library/LaunchDaemons/x.plist", id="added elsewhere"
        ),
        pytest.param(add("MacOS/new"), "Contents/MacOS/new", id="added code"),
        pytest.param(add("stray"), "Contents/stray", id="added beside Info.plist"),
        pytest.param(add("../stray"), "stray", id="added to the root"),
        pytest.param(add("_CodeSignature/x"), "Contents/_CodeSignature/x", id="added beside the seal"),
        pytest.param(add("XPCServices/New.xpc/Contents/x"), "Contents/XPCServices/New.xpc", id="added bundle"),
        pytest.param(
            add(f"{FRAMEWORK}/Resources/new"), f"Contents/{FRAMEWORK}/Resources/new", id="added to a framework"
        ),
        pytest.param(add("Frameworks/Engine.framework/x"), "Engine.framework/x", id="added to a framework's root"),
        pytest.param(link("Resources/newlink", "icon.icns"), "Contents/Resources/newlink", id="added link"),
        pytest.param(fifo("Resources/fifo"), "Contents/Resources/fifo", id="added fifo"),
        pytest.param(remove("Resources/icon.icns"), "Contents/Resources/icon.icns", id="removed resource"),
        pytest.param(remove("Resources/latest"), "Contents/Resources/latest", id="removed link"),
        pytest.param(remove("Resources/Base.lproj"), "Contents/Resources/Base.lproj/Main.nib", id="removed Base.lproj"),
        pytest.param(remove("MacOS/second"), "Contents/MacOS/second", id="removed code"),
        pytest.param(remove("PlugIns/Share.appex"), "Contents/PlugIns/Share.appex", id="removed bundle"),
        pytest.param(remove("version.plist"), "Contents/version.plist", id="removed version.plist"),
        pytest.param(remove("_CodeSignature"), "Contents/_CodeSignature/CodeResources", id="removed seal"),
        pytest.param(remove("Info.plist"), "Info.plist", id="removed Info.plist"),
        pytest.param(remove(f"{FRAMEWORK}/Headers/Engine.h"), "Headers/Engine.h", id="removed from a framework"),
        pytest.param(alter("Resources/icon.icns"), "Contents/Resources/icon.icns", id="changed resource"),
        pytest.param(
            alter("Resources/de.lproj/Localizable.strings"), "de.lproj/Localizable.strings", id="changed optional"
        ),
        pytest.param(alter("embedded.provisionprofile"), "Contents/embedded.provisionprofile", id="changed profile"),
        pytest.param(alter("Info.plist", 200), "Info.plist", id="changed Info.plist"),
        pytest.param(alter("_CodeSignature/CodeResources", 900), "CodeResources", id="changed seal"),
        pytest.param(forge_seal, "CodeResources", id="forged seal"),
        pytest.param(alter("MacOS/tool", 0x4800), "Contents/MacOS/tool", id="changed executable"),
        pytest.param(alter("MacOS/second", 0x4800), "Contents/MacOS/second", id="changed nested code"),
        pytest.param(alter("Frameworks/deep/libdeep.dylib", 0x4800), "deep/libdeep.dylib", id="changed library"),
        pytest.param(alter("MacOS/tool.dSYM/Contents/Resources/DWARF/tool"), "DWARF/tool", id="changed dSYM"),
        pytest.param(
            alter(f"{FRAMEWORK}/Resources/data.txt"), f"{FRAMEWORK}/Resources/data.txt", id="changed in a framework"
        ),
        pytest.param(
            alter(f"{FRAMEWORK}/Resources/Info.plist", 200), "Engine.framework", id="changed framework's Info.plist"
        ),
        pytest.param(
            alter(f"{FRAMEWORK}/Helpers/Helper.app/Contents/Resources/note.txt"),
            "Helper.app/Contents/Resources/note.txt",
            id="changed two bundles deep",
        ),
        pytest.param(
            rename("Resources/icon.icns", "Resources/renamed.icns"), "Resources/icon.icns", id="renamed resource"
        ),
        pytest.param(rename("MacOS/second", "MacOS/third"), "Contents/MacOS/third", id="renamed code"),
        pytest.param(link("Resources/latest", "empty"), "Contents/Resources/latest", id="replaced link"),
        pytest.param(link("MacOS/alias", "second"), "Contents/MacOS/alias", id="replaced link to code"),
        pytest.param(link("Resources/icon.icns", "empty"), "Contents/Resources/icon.icns", id="link for a file"),
        pytest.param(link("MacOS/second", "tool"), "Contents/MacOS/second", id="link for code"),
        pytest.param(link("PlugIns/Share.appex", "Old.bundle"), "Contents/PlugIns/Share.appex", id="link for a bundle"),
        pytest.param(link("Resources", "MacOS"), "Contents/Resources", id="link for a folder"),
        pytest.param(
            link("Frameworks/Engine.framework/Versions/Current", "B"), "Engine.framework", id="current version gone"
        ),
        pytest.param(replace_framework, "Contents/Frameworks/Engine.framework", id="swapped framework"),
        pytest.param(entitle_service, "Contents/XPCServices/Service.xpc", id="changed nested entitlements"),
        pytest.param(of_another_team, "Contents/MacOS/second", id="code of another team"),
        pytest.param(ad_hoc, "Contents/MacOS/second", id="code signed ad hoc"),
    ],
)
def test_a_change_is_refused_by_name(signed: Path, change: Callable[[Path], None], named: str) -> None:
    """Whatever is added, removed, changed, renamed or swapped after signing, verification names it."""
    verify(signed)
    change(signed / "Contents")
    with pytest.raises(VerificationError) as caught:
        verify(signed)
    assert named in str(caught.value)
    assert caught.value.exit_code == 9


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(remove("Resources/de.lproj"), id="removed localization"),
        pytest.param(add("CodeResources", b"s8ch"), id="stapled ticket"),
        pytest.param(add(".DS_Store"), id="the Finder's file"),
        pytest.param(add("Resources/.DS_Store"), id="the Finder's file deeper"),
        pytest.param(add("Resources/en.lproj/locversion.plist"), id="version of a localization"),
        pytest.param(add("PkgInfo"), id="changed PkgInfo"),
        pytest.param(add("_MASReceipt/receipt"), id="receipt of the App Store"),
        pytest.param(lambda contents: (contents / "Resources/void").mkdir(), id="empty folder"),
        pytest.param(lambda contents: (contents / "Resources/icon.icns").chmod(0o755), id="mode"),
    ],
)
def test_what_macos_accepts_is_accepted(signed: Path, change: Callable[[Path], None]) -> None:
    """What the rules leave out, or call optional, may change."""
    change(signed / "Contents")
    verify(signed)


def test_everything_wrong_is_told_at_once(signed: Path) -> None:
    """One verification names all that is wrong, nested code included."""
    contents = signed / "Contents"
    for change in (
        add("Resources/one"),
        remove("Resources/icon.icns"),
        alter("Frameworks/deep/libdeep.dylib", 0x4800),
        alter("XPCServices/Service.xpc/Contents/Resources/note.txt"),
    ):
        change(contents)
    with pytest.raises(VerificationError) as caught:
        verify(signed)
    for name in ("Resources/one", "Resources/icon.icns", "libdeep.dylib", "Service.xpc/Contents/Resources/note.txt"):
        assert name in str(caught.value)


def test_a_flood_is_told_in_a_few_lines(signed: Path) -> None:
    """A thousand added files make a message of some lines, not of a thousand."""
    for number in range(1000):
        (signed / "Contents/Resources" / f"{number}.txt").write_bytes(b"")
    with pytest.raises(VerificationError, match="1000 things") as caught:
        verify(signed)
    assert len(str(caught.value).splitlines()) < 30


def test_a_requirement_is_asked_of_every_slice(signed: Path) -> None:
    """A caller's requirement must hold for the bundle; nested code answers to its own."""
    right = compile_requirement('identifier "com.example.tool"')
    verify_path(signed, anchors=DEVELOPER.anchors, requirement=right)
    with pytest.raises(VerificationError, match="does not satisfy"):
        verify_path(
            signed, anchors=DEVELOPER.anchors, requirement=compile_requirement('identifier "com.example.other"')
        )


def test_an_unsigned_bundle_is_refused(tmp_path: Path) -> None:
    """A bundle that was never sealed says so."""
    with pytest.raises(VerificationError, match="not sealed"):
        verify(bundles.app(tmp_path))


def test_what_an_archive_from_a_mac_brought_along_is_told(signed: Path) -> None:
    """Unpacked elsewhere, attributes are files: not somebody's addition, and easily removed."""
    (signed / "Contents/Resources/._icon.icns").write_bytes(b"attributes")
    with pytest.raises(VerificationError, match="AppleDouble file") as refused:
        verify(signed)
    assert "dot_clean" in refused.value.message
