"""Builds that call Apple's tools themselves: plutil, which says OK to too much, and install_name_tool."""

from __future__ import annotations

import plistlib
from pathlib import Path

import pytest
from builders.apple import bench_of, new_apple_workshop
from builders.workshop import Ran, Workshop

from pipeline import disk
from pipeline.host import system_host

_OLD, _NEW = "/usr/lib/libSystem.B.dylib", "@rpath/libSystem.dylib"
_MAKEFILE = f"""\
macos:
\tplutil -lint ../product.entitlements
\tcp prebuilt/$(ARCH)/tool "$(OUTPUT)"
\tcp prebuilt/$(ARCH)/DEBUG_tool "$(DEBUG_OUTPUT)"
\tinstall_name_tool -change {_OLD} {_NEW} "$(OUTPUT)"
"""
_ENTITLEMENTS = plistlib.dumps({"com.apple.security.cs.allow-jit": True})


@pytest.fixture
def workshop(prebuilt: Path, tmp_path: Path) -> Workshop:
    """A product whose build lints its entitlements and changes what its binary links."""
    made = new_apple_workshop(tmp_path, prebuilt)
    (made.folder / "source" / "Makefile").write_text(_MAKEFILE)
    (made.folder / "product.entitlements").write_bytes(_ENTITLEMENTS)
    text = made.configuration.read_text()
    made.configuration.write_text(text.replace("[app]", '[sign]\nentitlements = "product.entitlements"\n[app]'))
    made.commit()
    return made


def invoke(workshop: Workshop, *words: str) -> Ran:
    """With the doubles on PATH, as Apple's tools are on a Mac's."""
    return workshop.invoke(*words, environment={"PATH": f"{bench_of(workshop).folder}:/usr/bin:/bin"})


@pytest.mark.parametrize(
    ("entitlements", "words"),
    [
        (b"\xef\xbb\xbf" + _ENTITLEMENTS, "byte order mark"),
        (_ENTITLEMENTS.replace(b"<dict>", b"<!-- for --options runtime -->\n<dict>"), "line 4: no well-formed XML"),
        (plistlib.dumps({"com.apple.security.cs.allow-jit": "true"}), "not a boolean"),
    ],
)
def test_what_plutil_accepts_and_the_notary_does_not_is_refused(
    workshop: Workshop, entitlements: bytes, words: str
) -> None:
    """The build's own lint says OK; the release names file and fault before it signs anything."""
    (workshop.folder / "product.entitlements").write_bytes(entitlements)
    workshop.commit()
    ran = invoke(workshop, "release")
    assert ran.code == 2, ran.err
    assert words in ran.err
    assert "product.entitlements" in ran.err
    assert not (workshop.outputs / "arm64").exists()


def test_a_binary_changed_after_it_was_signed_goes_no_further(workshop: Workshop) -> None:
    """What the build changed is signed with the change; what is changed afterwards is never joined, only made again."""
    for stage in ("build", "sign"):
        ran = invoke(workshop, stage)
        assert ran.code == 0, ran.err
    signed = workshop.outputs / "arm64" / "meshagent"
    assert disk.linked_libraries(signed) == {"arm64": (_NEW,)}
    good = signed.read_bytes()
    change = bench_of(workshop).folder / "install_name_tool"
    assert system_host().runner.run([change, "-change", _NEW, _OLD, signed]).returncode == 0
    stopped = invoke(workshop, "universal")
    assert stopped.code != 0
    assert not (workshop.outputs / "universal").exists()
    again = invoke(workshop, "sign")
    assert again.code == 0, again.err
    assert disk.linked_libraries(signed) == {"arm64": (_NEW,)}
    assert len(signed.read_bytes()) == len(good)
    assert invoke(workshop, "universal").code == 0
