"""What Apple's tools do to files behind one's back, shown by the files: and what a release makes of it."""

from __future__ import annotations

import os
import plistlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from builders.apple_host import REQUEST, Mac

from pipeline import disk
from pipeline.errors import SigningError, VerificationError

_FINDER = "user.com.apple.FinderInfo"
_JIT = {"com.apple.security.cs.allow-jit": True}
_SYSTEM = "/usr/lib/libSystem.B.dylib"


@pytest.fixture
def app(mac: Mac, thins: Path) -> Path:
    """An unsigned app with a helper."""
    app = mac.folder / "unsigned" / "X.app"
    for place in (app / "Contents" / "MacOS" / "X", app / "Contents" / "Helpers" / "helper"):
        place.parent.mkdir(parents=True)
        shutil.copy(thins / "arm64", place)
    information = {"CFBundleExecutable": "X", "CFBundleIdentifier": "com.example.tool", "CFBundlePackageType": "APPL"}
    (app / "Contents" / "Info.plist").write_bytes(plistlib.dumps(information))
    return app


def contents(folder: Path) -> dict[str, tuple[bytes, list[str]]]:
    """Every file with its bytes and the names of its attributes."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), os.listxattr(path))
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_codesign_writes_over_code_where_a_header_has_no_room(mac: Mac, thins: Path, tmp_path: Path) -> None:
    """codesign says nothing of it and verifies the result; a release refuses the file as it is, and touches nothing."""
    data = bytearray((thins / "x86_64").read_bytes())
    end = 32 + int.from_bytes(data[20:24], "little")
    data[end : end + 16] = b"\x90" * 16
    tight, broken = tmp_path / "tight", tmp_path / "broken"
    tight.write_bytes(data)
    broken.write_bytes(data)
    done = mac.tools.run("codesign", "--sign", "REHEARSAL", "--timestamp", broken)
    assert (done.returncode, done.stderr) == (0, b"")
    assert mac.tools.run("codesign", "--verify", "--strict", broken).returncode == 0
    assert broken.read_bytes()[end : end + 16] != b"\x90" * 16
    with pytest.raises(SigningError, match="no room for LC_CODE_SIGNATURE"):
        mac.toolchain().sign(tight, tmp_path / "out", REQUEST)
    assert tight.read_bytes() == data
    assert not (tmp_path / "out").exists()


def test_attributes_are_taken_from_copies_alone(mac: Mac, tool: Path, app: Path, tmp_path: Path) -> None:
    """codesign refuses Finder's information; what is signed has none, and the file and the app given still have it."""
    for path in (tool, app / "Contents" / "Helpers" / "helper", app / "Contents" / "Info.plist"):
        os.setxattr(path, _FINDER, b"x")
    refused = mac.tools.run("codesign", "--force", "--sign", "REHEARSAL", tool)
    assert b"detritus not allowed" in refused.stderr
    before = contents(app), tool.read_bytes(), os.listxattr(tool)
    mac.toolchain().sign(tool, tmp_path / "out" / "tool", REQUEST)
    mac.toolchain().sign_bundle(app, tmp_path / "out" / "X.app", REQUEST)
    assert (contents(app), tool.read_bytes(), os.listxattr(tool)) == before
    assert {name for _data, names in contents(tmp_path / "out").values() for name in names} == set()


def test_xattr_takes_from_a_copy_what_codesign_refuses(mac: Mac, app: Path) -> None:
    """Finder's information and a resource fork go, com.apple.provenance stays, and codesign signs what is left."""
    helper = app / "Contents" / "Helpers" / "helper"
    for name in (_FINDER, "user.com.apple.ResourceFork", "user.com.apple.provenance"):
        os.setxattr(helper, name, b"x")
    assert mac.tools.run("codesign", "--force", "--sign", "REHEARSAL", helper).returncode == 1
    assert mac.tools.run("xattr", "-cr", app).returncode == 0
    assert os.listxattr(helper) == ["user.com.apple.provenance"]
    assert mac.tools.run("codesign", "--force", "--sign", "REHEARSAL", helper).returncode == 0


def test_code_inside_keeps_what_deep_would_take(mac: Mac, app: Path, tmp_path: Path) -> None:
    """A helper has its own entitlements, a time stamp and the hardened runtime; --deep would have replaced them."""
    request = replace(REQUEST, nested_entitlements={"Contents/Helpers/*": plistlib.dumps(_JIT)})
    mac.toolchain().sign_bundle(app, tmp_path / "X.app", request)
    anchors = mac.rehearsal.services.anchors
    helper = tmp_path / "X.app" / "Contents" / "Helpers" / "helper"
    (inner,), (outer,) = (
        disk.verify_path(helper, anchors=anchors),
        disk.verify_path(tmp_path / "X.app", anchors=anchors),
    )
    assert (dict(inner.entitlements or {}), outer.entitlements) == (_JIT, None)
    for one in (inner, outer):
        assert "runtime" in one.flags
        assert one.timestamp is not None
    deep = ("codesign", "--force", "--deep", "--sign", "REHEARSAL", "--timestamp", "--options", "runtime")
    assert mac.tools.run(*deep, tmp_path / "X.app").returncode == 0
    (taken,) = disk.verify_path(helper, anchors=anchors)
    assert taken.entitlements is None


def test_a_change_after_signing_is_caught(mac: Mac, signed: Path, tmp_path: Path) -> None:
    """install_name_tool warns and exits 0; codesign and our verifier refuse the file."""
    changed = Path(shutil.copy(signed, tmp_path / "tool"))
    done = mac.tools.host.runner.run(
        [mac.bench.folder / "install_name_tool", "-change", _SYSTEM, "/usr/lib/libSystem.C.dylib", changed]
    )
    assert done.returncode == 0
    assert b"will invalidate the code signature" in done.stderr
    assert disk.linked_libraries(changed) == {"arm64": ("/usr/lib/libSystem.C.dylib",)}
    said = mac.tools.run("codesign", "--verify", "--strict", changed)
    assert b"invalid signature (code or signature have been modified)" in said.stderr
    with pytest.raises(VerificationError):
        mac.toolchain().verify(changed)


def test_a_change_before_signing_is_signed(mac: Mac, tool: Path, tmp_path: Path) -> None:
    """A linker's signature is made anew without a word, and what is signed then links what it was changed to."""
    program = mac.bench.folder / "install_name_tool"
    done = mac.tools.host.runner.run([program, "-change", _SYSTEM, "@rpath/libSystem.dylib", tool])
    assert (done.returncode, done.stderr) == (0, b"")
    mac.toolchain().sign(tool, tmp_path / "out", REQUEST)
    assert disk.linked_libraries(tmp_path / "out") == {"arm64": ("@rpath/libSystem.dylib",)}
    longer = mac.tools.host.runner.run([program, "-change", "@rpath/libSystem.dylib", "x" * 300, tool])
    assert longer.returncode == 1
    assert b"-headerpad_max_install_names" in longer.stderr
