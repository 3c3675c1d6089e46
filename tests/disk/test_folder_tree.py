"""A folder on disk as the engine sees it."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest
from builders.bundles import write

from pipeline.codesign.tree import Entry, EntryKind
from pipeline.disk import FolderTree
from pipeline.errors import ConfigurationError, MalformedFile


def test_entries_are_told_by_kind(tmp_path: Path) -> None:
    """Files, programs, folders, links and fifos are told apart, links by themselves and not by where they lead."""
    write(tmp_path, {"file": b"", "program": b"#!", "folder": None, "link": "folder"})
    os.mkfifo(tmp_path / "fifo")
    found = {entry.name: (entry.kind, entry.executable) for entry in FolderTree(tmp_path).entries("")}
    assert {name: kind for name, (kind, _) in found.items()} == {
        "file": EntryKind.FILE,
        "program": EntryKind.FILE,
        "folder": EntryKind.FOLDER,
        "link": EntryKind.LINK,
        "fifo": EntryKind.OTHER,
    }
    assert (found["file"][1], found["program"][1]) == (False, True)


def test_nothing_is_reached_through_a_link(tmp_path: Path) -> None:
    """What a linked folder holds is not the tree's; what is not there, or below a file, is nothing."""
    write(tmp_path, {"real/inside/a": b"a", "link": "real", "file": b""})
    tree = FolderTree(tmp_path)
    assert [entry.name for entry in tree.entries("real/inside")] == ["a"]
    assert tree.entry("real/inside/a") == Entry(name="a", kind=EntryKind.FILE)
    for path in ("link/inside", "absent", "file/x", "real/inside/a"):
        assert tree.entries(path) == ()
    for path in ("link/inside/a", "absent/a", "real/absent", "file/x"):
        assert tree.entry(path) is None


def test_no_path_leads_out_of_the_folder(tmp_path: Path) -> None:
    """Seals and Info.plists name paths: what `..` would reach is not the tree's."""
    write(tmp_path, {"outside/a": b"a", "tree/inside/a": b"a"})
    tree = FolderTree(tmp_path / "tree")
    assert tree.entry("inside/a")
    for path in ("..", "../outside", "inside/../../outside"):
        assert tree.entries(path) == ()
        assert tree.entry(path) is None
        assert tree.entry(f"{path}/a") is None


def test_only_files_are_opened(tmp_path: Path) -> None:
    """A link, a folder and nothing are not content."""
    write(tmp_path, {"folder": None, "file": b"content", "link": "file"})
    tree = FolderTree(tmp_path)
    with tree.open("file") as source:
        assert source.read(0, source.size) == b"content"
    for path in ("folder", "link"):
        with pytest.raises(MalformedFile), tree.open(path):
            pass
    with pytest.raises(ConfigurationError), tree.open("absent"):
        pass


def test_a_links_text_is_kept_as_it_is(tmp_path: Path) -> None:
    """The text is what the seal records: nothing of it is made simpler."""
    for number, text in enumerate(["./a//b/../c/", "/abs/", "a/.", "\u00fc"]):
        os.symlink(text, tmp_path / str(number))  # noqa: PTH211 - Path would make it simpler
        assert FolderTree(tmp_path).link(str(number)) == text


def test_many_digests_come_in_order(tmp_path: Path) -> None:
    """Files are hashed side by side, and their hashes come in the order in which they were asked for."""
    contents = {f"{number:03}": bytes([number % 256]) * number for number in range(300)}
    write(tmp_path, contents)
    names = sorted(contents, reverse=True)
    found = list(FolderTree(tmp_path).digests(names, ["sha1", "sha256"]))
    assert found == [
        {"sha1": hashlib.sha1(contents[name]).digest(), "sha256": hashlib.sha256(contents[name]).digest()}
        for name in names
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: Python sets attributes there alone")
def test_attributes_have_their_macos_names(tmp_path: Path) -> None:
    """Linux keeps foreign attributes in a space of its own, which is not part of the name."""
    write(tmp_path, {"file": b"", "link": "file"})
    try:
        os.setxattr(tmp_path / "file", "user.com.apple.FinderInfo", bytes(32))
    except OSError:
        pytest.skip("needs a file system with extended attributes")
    tree = FolderTree(tmp_path)
    assert tree.attributes("file") == ("com.apple.FinderInfo",)
    assert tree.attributes("link") == ()
