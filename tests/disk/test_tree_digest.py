"""One digest for a tree: everything that matters changes it, nothing else does."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.disk import tree_digest
from pipeline.errors import ConfigurationError, MalformedFile


def _tree(folder: Path) -> Path:
    root = folder / "Tool.app"
    (root / "Contents" / "MacOS").mkdir(parents=True)
    (root / "Contents" / "MacOS" / "tool").write_bytes(b"code")
    (root / "Contents" / "MacOS" / "tool").chmod(0o755)
    (root / "Contents" / "Info.plist").write_bytes(b"<plist/>")
    (root / "Contents" / "CodeResources").write_bytes(b"ticket")
    (root / "Contents" / "Current").symlink_to("MacOS")
    (root / "Contents" / "Empty").mkdir()
    return root


def test_a_files_digest_is_its_contents(tmp_path: Path) -> None:
    """As any other tool computes it."""
    (tmp_path / "file").write_bytes(b"text")
    assert tree_digest(tmp_path / "file") == hashlib.sha256(b"text").hexdigest()


def _replace_link(root: Path) -> None:
    (root / "Contents" / "Current").unlink()
    (root / "Contents" / "Current").symlink_to("Empty")


def _file_for_folder(root: Path) -> None:
    (root / "Contents" / "Empty").rmdir()
    (root / "Contents" / "Empty").write_bytes(b"")


def _file_for_link(root: Path) -> None:
    (root / "Contents" / "Current").unlink()
    (root / "Contents" / "Current").write_bytes(b"MacOS")


CHANGES: dict[str, Callable[[Path], object]] = {
    "a byte": lambda root: (root / "Contents" / "Info.plist").write_bytes(b"<plist />"),
    "a name": lambda root: (root / "Contents" / "Info.plist").rename(root / "Contents" / "info.plist"),
    "a mode": lambda root: (root / "Contents" / "MacOS" / "tool").chmod(0o644),
    "a new file": lambda root: (root / "new").write_bytes(b""),
    "a lost folder": lambda root: (root / "Contents" / "Empty").rmdir(),
    "a link's target": _replace_link,
    "a file for a folder": _file_for_folder,
    "a file for a link": _file_for_link,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_everything_that_matters_changes_it(tmp_path: Path, change: Callable[[Path], object]) -> None:
    """Contents, names, executable bits, link targets, kinds, what is there at all."""
    root = _tree(tmp_path)
    before = tree_digest(root)
    change(root)
    assert tree_digest(root) != before


def test_what_does_not_matter_does_not(tmp_path: Path) -> None:
    """Times, the group's bits, where the tree lies, the order of its entries."""
    (tmp_path / "other").mkdir()
    one, other = _tree(tmp_path), _tree(tmp_path / "other")
    os.utime(other / "Contents" / "Info.plist", (1, 1))
    (other / "Contents" / "Info.plist").chmod(0o600)
    assert tree_digest(one) == tree_digest(other)


def test_what_is_left_out_does_not_count(tmp_path: Path) -> None:
    """A stapled ticket, or a folder with all it holds."""
    root = _tree(tmp_path)
    excluded = frozenset({"Contents/CodeResources", "Contents/MacOS"})
    before = tree_digest(root, excluded)
    (root / "Contents" / "CodeResources").unlink()
    (root / "Contents" / "MacOS" / "tool").write_bytes(b"other")
    assert tree_digest(root, excluded) == before
    assert tree_digest(root, frozenset({"Contents/CodeResources"})) != before


def test_other_kinds_are_refused(tmp_path: Path) -> None:
    """A fifo has no content to be digested, and what is not there has none either."""
    root = _tree(tmp_path)
    os.mkfifo(root / "fifo")
    with pytest.raises(MalformedFile, match="neither file, folder nor link"):
        tree_digest(root)
    with pytest.raises(ConfigurationError, match="no such file"):
        tree_digest(tmp_path / "absent")
