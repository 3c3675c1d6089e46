"""Apple's own codesign and lipo on a real Mac, and our engine on the same files: byte for byte.

Ad hoc signatures hold no time and no key: whatever differs in them is a difference between the two programs.
"""

from __future__ import annotations

import platform
import plistlib
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from oracle.apple import ARCHITECTURES, KINDS, Apple, keep

from pipeline import disk
from pipeline.codesign.code_directory import Flags
from pipeline.codesign.options import SigningOptions
from pipeline.codesign.requirements import compile_requirements
from pipeline.errors import ReleaseError, SigningError
from pipeline.host import system_host
from pipeline.identity import APPLE_ANCHORS
from pipeline.toolchain.apple.codesign import display, verify
from pipeline.toolchain.apple.lipo import archs

pytestmark = [
    pytest.mark.mac,
    pytest.mark.skipif(
        platform.system() != "Darwin" and Apple.tools_folder is None,
        reason="needs a real Mac, which this machine is not",
    ),
]

_JIT = "com.apple.security.cs.allow-jit"
# Of every kind of value that entitlements have, and of the order of their keys.
ENTITLEMENTS: dict[str, dict[str, Any]] = {
    "booleans": {_JIT: True, "com.apple.security.get-task-allow": False},
    "debugged": {"com.apple.security.get-task-allow": True},
    "texts": {"com.apple.application-identifier": "ABCDE12345.com.example", "com.example.empty": ""},
    "lists": {
        "com.apple.security.application-groups": ["a", "b"],
        "com.example.none": [],
        "com.example.both": [1, "a"],
    },
    "numbers": {"com.example.zero": 0, "com.example.less": -1, "com.example.more": 300, "com.example.most": 2**40},
    "dictionaries": {"com.example.outer": {"b": {"c": True}, "a": 1}, "com.example.none": {}},
    "order": {"b": True, "B": True, "a": True, "aa": True, "a-b": True, "a.b": True, "Z": True, "_": True},
    "long": {"com.example.long": "x" * 300, "com.example." + "y" * 200: True},
    "nothing": {},
}
# Of these the engine believes that codesign refuses them.
REFUSED: dict[str, dict[str, Any]] = {
    "real": {"com.example.real": 1.5},
    "data": {"com.example.data": b"abc"},
    "date": {"com.example.date": datetime(2026, 11, 21)},
}
REQUIREMENTS = (
    'designated => identifier "com.example.tool"',
    'designated => identifier "com.example.tool" and anchor apple generic',
    'designated => identifier "com.example.tool" and certificate leaf[subject.OU] = "ABCDE12345"',
    "designated => anchor apple or (certificate 1[field.1.2.840.113635.100.6.2.6] exists and !(anchor trusted))",
    'designated => info[CFBundleShortVersionString] >= "1.0" and entitlement["com.example"] exists',
    'designated => cdhash H"0123456789abcdef0123456789abcdef01234567"',
    'host => anchor apple designated => identifier "com.example.tool"',
)


@pytest.fixture(scope="module")
def apple(tmp_path_factory: pytest.TempPathFactory) -> Apple:
    return Apple(work=tmp_path_factory.mktemp("apple"))


def options_of(apple: Apple) -> SigningOptions:
    return SigningOptions(identifier="com.example.tool", flags=Flags(0), era=apple.era, anchors=APPLE_ANCHORS)


def compare(
    apple: Apple, folder: Path, name: str, source: Path, words: list[str | Path], options: SigningOptions
) -> tuple[Path, Path]:
    """The same file signed by codesign with these words, and by us with these options; both have to be the same."""
    theirs, ours = folder / "theirs" / source.name, folder / "ours" / source.name
    for place in (theirs, ours):
        place.parent.mkdir(parents=True)
    shutil.copy(source, theirs)
    apple.sign(theirs, *words)
    disk.sign_file(system_host().files, source, ours, options)
    keep(name, theirs=theirs, ours=ours, source=source)
    assert ours.read_bytes() == theirs.read_bytes()
    return theirs, ours


def plist_of(folder: Path, values: dict[str, Any]) -> Path:
    path = folder / "e.plist"
    path.write_bytes(plistlib.dumps(values))
    return path


NAMED: list[str | Path] = ["--identifier", "com.example.tool"]


def test_this_is_a_mac_with_apples_tools(apple: Apple) -> None:
    """The tools lie where macOS has them, and this macOS has an era of codesign."""
    assert apple.tools.path("codesign") == Path("/usr/bin/codesign")
    assert apple.run("codesign", "--verify", "--strict", apple.tools.path("codesign")).returncode == 0
    assert apple.era.name.startswith("macos-")


@pytest.mark.parametrize("hardened", [False, True], ids=["plain", "hardened"])
@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_signed_alike(
    apple: Apple, tmp_path: Path, request: pytest.FixtureRequest, kind: str, arch: str, hardened: bool
) -> None:
    """Executables, libraries, bundles, an embedded Info.plist; thin and universal; with the hardened runtime or not."""
    words = [*NAMED, *(["--options", "runtime"] if hardened else [])]
    options = replace(options_of(apple), flags=Flags.RUNTIME if hardened else Flags(0))
    compare(apple, tmp_path, request.node.name, apple.built(arch, kind), words, options)


@pytest.mark.parametrize("name", ENTITLEMENTS)
def test_entitlements_are_written_alike(apple: Apple, tmp_path: Path, name: str) -> None:
    """The XML as it is, the DER, and the flags of the executable segment that follow."""
    plist = plist_of(tmp_path, ENTITLEMENTS[name])
    words = [*NAMED, "--options", "runtime", "--entitlements", plist]
    options = replace(options_of(apple), flags=Flags.RUNTIME, entitlements=plist.read_bytes())
    compare(apple, tmp_path, f"entitlements-{name}", apple.built("both", "executable"), words, options)


@pytest.mark.parametrize("name", REFUSED)
def test_entitlements_are_refused_alike(apple: Apple, tmp_path: Path, name: str) -> None:
    """What the engine refuses codesign refuses too: if not, what it writes is kept, and the engine has to learn it."""
    plist = plist_of(tmp_path, REFUSED[name])
    source = apple.built("arm64", "executable")
    theirs = Path(shutil.copy(source, tmp_path / "theirs"))
    done = apple.run("codesign", "--sign", "-", "--force", *NAMED, "--entitlements", plist, theirs)
    keep(f"refused-{name}", theirs=theirs, entitlements=plist)
    options = replace(options_of(apple), entitlements=plist.read_bytes())
    with pytest.raises(SigningError):
        disk.sign_file(system_host().files, source, tmp_path / "ours", options)
    assert done.returncode != 0, f"codesign signs entitlements with a {name}: {done.stderr}"


@pytest.mark.parametrize("text", REQUIREMENTS)
def test_requirements_are_compiled_alike(apple: Apple, tmp_path: Path, text: str) -> None:
    """The requirement language, as codesign's own compiler writes it into a signature."""
    words = [*NAMED, f"-r={text}"]
    name = f"requirement-{REQUIREMENTS.index(text)}"
    options = replace(options_of(apple), requirements=compile_requirements(text))
    compare(apple, tmp_path, name, apple.built("x86_64", "executable"), words, options)


@pytest.mark.parametrize("kind", ["executable", "informed"])
@pytest.mark.parametrize("name", ["tool", "com.example.tool", "tool-1.0.2", "lib.dylib"])
def test_identifiers_are_chosen_alike(apple: Apple, tmp_path: Path, name: str, kind: str) -> None:
    """Without --identifier: from the file's name, with a suffix where it has no dot; or of the embedded Info.plist."""
    source = Path(shutil.copy(apple.built("arm64", kind), tmp_path / name))
    compare(apple, tmp_path, f"named-{kind}-{name}", source, [], replace(options_of(apple), identifier=None))


def test_a_signature_is_replaced_alike(apple: Apple, tmp_path: Path) -> None:
    """Over a signature of codesign's own, larger or smaller than the new one."""
    plist = plist_of(tmp_path, ENTITLEMENTS["long"])
    first = Path(shutil.copy(apple.built("both", "executable"), tmp_path / "first"))
    apple.sign(first, *NAMED, "--entitlements", plist)
    options = replace(options_of(apple), flags=Flags.RUNTIME)
    compare(apple, tmp_path, "replaced", first, [*NAMED, "--options", "runtime"], options)


def an_app(apple: Apple, folder: Path) -> Path:
    """With a helper, a library, a framework, a plug-in, links and resources: all that a seal treats its own way."""
    app = folder / "Tool.app"
    contents = app / "Contents"
    framework = contents / "Frameworks" / "Answer.framework"
    files = {
        contents / "MacOS" / "Tool": "executable",
        contents / "Helpers" / "helper": "executable",
        contents / "Frameworks" / "libanswer.dylib": "library",
        framework / "Versions" / "A" / "Answer": "library",
        contents / "PlugIns" / "Plug.bundle" / "Contents" / "MacOS" / "Plug": "bundle",
    }
    for place, kind in files.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(apple.built("both", kind), place)
    for place, name, kind in (
        (contents, "Tool", "APPL"),
        (framework / "Versions" / "A" / "Resources", "Answer", "FMWK"),
        (contents / "PlugIns" / "Plug.bundle" / "Contents", "Plug", "BNDL"),
    ):
        place.mkdir(exist_ok=True)
        information = {
            "CFBundleExecutable": name,
            "CFBundleIdentifier": f"com.example.{name}",
            "CFBundlePackageType": kind,
        }
        (place / "Info.plist").write_bytes(plistlib.dumps(information))
    for link, target in (("Versions/Current", "A"), ("Answer", "Versions/Current/Answer")):
        (framework / link).symlink_to(target)
    (framework / "Resources").symlink_to("Versions/Current/Resources")
    resources = contents / "Resources"
    for name in ("a file.txt", "en.lproj/a.strings", "Base.lproj/b.nib", ".hidden", "ünïcode.txt"):
        (resources / name).parent.mkdir(parents=True, exist_ok=True)
        (resources / name).write_text(f"{name}\n")
    (resources / "link").symlink_to("a file.txt")
    return app


def test_an_app_is_sealed_alike(apple: Apple, tmp_path: Path) -> None:
    """Every executable and every CodeResources of an app with nested code, signed from the inside out."""
    source = an_app(apple, tmp_path / "source")
    theirs = tmp_path / "theirs" / source.name
    shutil.copytree(source, theirs, symlinks=True)
    inside = ["Helpers/helper", "Frameworks/libanswer.dylib", "Frameworks/Answer.framework", "PlugIns/Plug.bundle"]
    for name in inside:
        apple.sign(theirs / "Contents" / name, "--options", "runtime")
    apple.sign(theirs, "--options", "runtime")
    ours = tmp_path / "ours" / source.name
    ours.parent.mkdir()
    options = SigningOptions(flags=Flags.RUNTIME, era=apple.era, anchors=APPLE_ANCHORS)
    disk.sign_bundle(system_host().files, source, ours, options)
    keep("app", theirs=theirs, ours=ours)
    assert contents(ours) == contents(theirs)
    verify(apple.tools, ours, ("x86_64", "arm64"), "ours")


def contents(folder: Path) -> dict[str, bytes | str]:
    """Every file's bytes, and where every link leads."""
    return {
        path.relative_to(folder).as_posix(): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def test_joined_files_are_lipos_byte_for_byte(apple: Apple, tmp_path: Path) -> None:
    """lipo -create and our own joining give the same file, and lipo reads ours."""
    thins = [apple.built(arch, "executable") for arch in ("x86_64", "arm64")]
    disk.join(system_host().files, thins, tmp_path / "ours")
    assert (tmp_path / "ours").read_bytes() == apple.built("both", "executable").read_bytes()
    assert sorted(archs(apple.tools, tmp_path / "ours", "ours")) == ["arm64", "x86_64"]


def test_codesign_finds_our_signatures_valid(apple: Apple, tmp_path: Path) -> None:
    """codesign verifies what we signed, slice by slice, shows our CDHashes, and the system runs it."""
    options = SigningOptions(identifier="com.example.tool", flags=Flags.RUNTIME, anchors=APPLE_ANCHORS)
    ours = disk.sign_file(system_host().files, apple.built("both", "executable"), tmp_path / "signed", options)
    verify(apple.tools, tmp_path / "signed", tuple(one.arch for one in ours), "signed")
    for one in ours:
        shown = display(apple.tools, tmp_path / "signed", one.arch, "signed")
        assert (shown.cdhash, shown.identifier, shown.flags) == (one.cdhash, one.identifier, one.flags)
    (tmp_path / "signed").chmod(0o755)
    if apple.tools_folder is None:
        subprocess.run([tmp_path / "signed"], check=True)


def test_one_changed_bit_is_refused_by_both(apple: Apple, tmp_path: Path) -> None:
    """The comparison can fail: a damaged file is valid for neither."""
    theirs, ours = compare(apple, tmp_path, "whole", apple.built("arm64", "executable"), NAMED, options_of(apple))
    data = bytearray(theirs.read_bytes())
    data[4096] ^= 1
    ours.write_bytes(data)
    assert apple.run("codesign", "--verify", "--strict", ours).returncode == 1
    with pytest.raises(ReleaseError):
        disk.verify_path(ours, anchors=APPLE_ANCHORS)


def test_apples_own_programs_are_read_as_codesign_reads_them(apple: Apple) -> None:
    """Every slice of a system program and of this Python: our verifier and codesign show the same."""
    for path in (Path("/bin/ls"), Path(sys.executable).resolve()):
        for one in disk.verify_path(path, anchors=APPLE_ANCHORS):
            shown = display(apple.tools, path, one.arch, str(path))
            assert (shown.cdhash, shown.identifier, shown.team) == (one.cdhash, one.identifier, one.team)
