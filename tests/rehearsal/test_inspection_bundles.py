"""Apps: the seal, what surrounds it, and what the log lists of a good one."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import edits
from builders.mach import image
from builders.notary_user import NotaryUser
from builders.workbench import Workbench
from builders.zips import Symlink, tree_members, zip_of

INVALID = "The signature of the binary is invalid."
Contents = dict[str, bytes | Symlink]
MAIN = "Agent.app/Contents/MacOS/agent"
LIBRARY = "Agent.app/Contents/Frameworks/libexample.dylib"
SEAL = "Agent.app/Contents/_CodeSignature/CodeResources"


@pytest.fixture
def members(app: Path) -> Contents:
    return tree_members(app, "Agent.app")


def problems(user: NotaryUser, members: Contents) -> list[tuple[str, str, str | None]]:
    """(path, message, architecture) of every issue."""
    log = user.judge(zip_of(members), "a.zip")
    return [
        (issue["path"].removeprefix("a.zip/"), issue["message"], issue["architecture"]) for issue in log["issues"] or []
    ]


def test_a_good_app_is_listed_twice(user: NotaryUser, members: Contents) -> None:
    """The app and its main executable with the same CDHash for each architecture, and the nested library once."""
    log = user.judge(zip_of(members), "a.zip")
    assert log["status"] == "Accepted"
    listed = {(entry["path"], entry["arch"]): entry["cdhash"] for entry in log["ticketContents"]}
    assert set(listed) == {
        ("a.zip/Agent.app", "x86_64"),
        ("a.zip/Agent.app", "arm64"),
        (f"a.zip/{MAIN}", "x86_64"),
        (f"a.zip/{MAIN}", "arm64"),
        (f"a.zip/{LIBRARY}", "arm64"),
    }
    for arch in ("x86_64", "arm64"):
        assert listed["a.zip/Agent.app", arch] == listed[f"a.zip/{MAIN}", arch]


def test_bare_tools_beside_an_app(user: NotaryUser, members: Contents, universal: bytes) -> None:
    """One submission holds both; the app's executable has another CDHash than the bare tool of the same code."""
    log = user.judge(zip_of({"agent": universal, **members}), "a.zip")
    listed = {(entry["path"], entry["arch"]): entry["cdhash"] for entry in log["ticketContents"]}
    assert log["issues"] is None
    assert listed["a.zip/agent", "arm64"] != listed[f"a.zip/{MAIN}", "arm64"]


def added(members: Contents, name: str, content: bytes | Symlink) -> None:
    assert name not in members
    members[f"Agent.app/{name}"] = content


def change_link(members: Contents) -> None:
    members["Agent.app/Contents/Resources/current.txt"] = Symlink("en.lproj/Words.strings")


def copy_link(members: Contents) -> None:
    members["Agent.app/Contents/Resources/current.txt"] = b"a logo\n"


def change_seal(members: Contents) -> None:
    seal = members[SEAL]
    assert isinstance(seal, bytes)
    members[SEAL] = seal.replace(b"logo.txt", b"LOGO.txt", 1)


def change_info(members: Contents) -> None:
    info = members["Agent.app/Contents/Info.plist"]
    assert isinstance(info, bytes)
    members["Agent.app/Contents/Info.plist"] = info.replace(b"com.example.agent", b"com.example.agenT")


def rename(members: Contents) -> None:
    members["Agent.app/Contents/Resources/Logo.txt"] = members.pop("Agent.app/Contents/Resources/logo.txt")


SPOILT: dict[str, Callable[[Contents], object]] = {
    "a changed resource": lambda all_: all_.update({"Agent.app/Contents/Resources/logo.txt": b"a l0go\n"}),
    "a changed localisation": lambda all_: all_.update({"Agent.app/Contents/Resources/en.lproj/Words.strings": b""}),
    "an added resource": lambda all_: added(all_, "Contents/Resources/more.txt", b"more"),
    "an added folder of code": lambda all_: added(all_, "Contents/Frameworks/New.framework/x", b"new"),
    "an AppleDouble file": lambda all_: added(all_, "Contents/._CodeResources", b"\x00\x05\x16\x07"),
    "an AppleDouble file beside a resource": lambda all_: added(all_, "Contents/Resources/._logo.txt", b""),
    "a missing resource": lambda all_: all_.pop("Agent.app/Contents/Resources/logo.txt"),
    "a missing library": lambda all_: all_.pop(LIBRARY),
    "a renamed resource": rename,
    "a changed link": change_link,
    "a link that became a copy": copy_link,
    "a missing link": lambda all_: all_.pop("Agent.app/Contents/Resources/current.txt"),
    "a changed Info.plist": change_info,
    "a changed seal": change_seal,
    "no seal": lambda all_: all_.pop(SEAL),
    "something beside Contents": lambda all_: added(all_, "notes.txt", b"notes"),
    "a link beside Contents": lambda all_: added(all_, "Resources", Symlink("Contents/Resources")),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_a_broken_seal_is_the_main_executables(
    user: NotaryUser, members: Contents, spoil: Callable[[Contents], object]
) -> None:
    """Whatever is added, missing or changed in an app makes its main executable's signature invalid, each slice."""
    spoil(members)
    assert problems(user, members) == [(MAIN, INVALID, "x86_64"), (MAIN, INVALID, "arm64")]


def test_the_stapled_ticket_is_not_sealed(user: NotaryUser, members: Contents) -> None:
    """Contents/CodeResources may appear after signing: it is where a ticket is kept."""
    members["Agent.app/Contents/CodeResources"] = b"s8ch"
    members["Agent.app/Contents/Resources/.DS_Store"] = b"left by the Finder"
    assert problems(user, members) == []


def test_a_missing_localisation_is_allowed(user: NotaryUser, members: Contents) -> None:
    """Localisations are sealed as optional: one may be left out."""
    del members["Agent.app/Contents/Resources/en.lproj/Words.strings"]
    assert problems(user, members) == []


def test_swapped_nested_code_is_noticed(user: NotaryUser, members: Contents, workbench: Workbench) -> None:
    """A library that is signed well, but is not the one that was sealed."""
    other = image(arch="arm64", kind="dylib", size=0x1000)
    members[LIBRARY] = workbench.sign(other, identifier="com.example.library")
    assert problems(user, members) == [(MAIN, INVALID, "x86_64"), (MAIN, INVALID, "arm64")]


def test_broken_nested_code_is_told_at_its_place(user: NotaryUser, members: Contents) -> None:
    """A bit in the nested library: its own signature is invalid, and the CDHash that was sealed is still the same."""
    library = members[LIBRARY]
    assert isinstance(library, bytes)
    members[LIBRARY] = edits.flip(library, 0x400)
    assert problems(user, members) == [(LIBRARY, INVALID, "arm64")]


def test_code_in_resources_is_judged(user: NotaryUser, members: Contents) -> None:
    """A tool that was put among the resources unsigned is found there."""
    members["Agent.app/Contents/Resources/helper"] = image()
    found = problems(user, members)
    assert (MAIN, INVALID, "arm64") in found
    assert ("Agent.app/Contents/Resources/helper", "The binary is not signed.", "arm64") in found


def test_an_executable_without_its_bundle(user: NotaryUser, members: Contents) -> None:
    """The executable of an app alone: its slots for Info.plist and seal have nothing to hold on to."""
    main = members[MAIN]
    assert problems(user, {"agent": main}) == [("agent", INVALID, "x86_64"), ("agent", INVALID, "arm64")]


def test_a_bare_tool_in_a_bundle(user: NotaryUser, members: Contents, universal: bytes) -> None:
    """A tool signed by itself and then put into an app is not sealed as one."""
    members[MAIN] = universal
    assert problems(user, members) == [(MAIN, INVALID, "x86_64"), (MAIN, INVALID, "arm64")]


def test_a_script_as_main_executable(user: NotaryUser, members: Contents) -> None:
    """A script keeps its signature in extended attributes, which an archive does not carry: not signed."""
    members[MAIN] = b"#!/bin/sh\n"
    (problem,) = problems(user, members)
    assert problem[:2] == (MAIN, "The binary is not signed.")


def test_a_framework(user: NotaryUser, workbench: Workbench, tmp_path: Path) -> None:
    """A framework is a bundle by its version, with its links; the library behind them is listed once."""
    root = tmp_path / "unsigned" / "Example.framework"
    version = root / "Versions" / "A"
    (version / "Resources").mkdir(parents=True)
    (version / "Example").write_bytes(image(kind="dylib"))
    (version / "Resources" / "Info.plist").write_bytes(
        plistlib.dumps({"CFBundleExecutable": "Example", "CFBundleIdentifier": "com.example.framework"})
    )
    (root / "Versions" / "Current").symlink_to("A")
    (root / "Example").symlink_to("Versions/Current/Example")
    (root / "Resources").symlink_to("Versions/Current/Resources")
    members = tree_members(workbench.sign_bundle(root, tmp_path / "Example.framework"), "Example.framework")
    log = user.judge(zip_of(members), "a.zip")
    assert log["issues"] is None
    paths = [entry["path"] for entry in log["ticketContents"]]
    assert paths == ["a.zip/Example.framework", "a.zip/Example.framework/Versions/A/Example"]
    members["Example.framework/stray"] = b"stray"
    assert [message for _, message, _ in problems(user, members)] == [INVALID]
