"""Files in a folder where somebody else may have put something first."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pipeline.disk.archive import write_zip
from pipeline.errors import HostRefused
from pipeline.host import Files


def plant(folder: Path, name: str, how: str) -> Path:
    """Somebody's file, and a way to it under the name that a new file has before it is whole."""
    victim = folder.parent / "victim"
    victim.write_bytes(b"theirs")
    guessed = folder / f".{name}.{os.getpid()}.new"
    if how == "link":
        guessed.symlink_to(victim)
    elif how == "hard link":
        guessed.hardlink_to(victim)
    else:
        guessed.write_bytes(b"")
        guessed.chmod(0o666)
    return victim


@pytest.mark.parametrize("how", ["link", "hard link", "open to all"])
@pytest.mark.parametrize("way", ["write", "copy", "zip"])
def test_what_was_planted_under_a_guessed_name_is_not_written_to(tmp_path: Path, how: str, way: str) -> None:
    """The new file is one that nobody else has open, and what was linked to stays as it was."""
    folder = tmp_path / "folder"
    folder.mkdir()
    victim = plant(folder, "new", how)
    kept_open = (folder / f".new.{os.getpid()}.new").open("rb")
    source = tmp_path / "source"
    source.write_bytes(b"ours")
    if way == "write":
        Files().write(folder / "new", b"ours", mode=0o600)
    elif way == "copy":
        Files().copy(source, folder / "new", mode=0o600)
    else:
        write_zip(Files(), folder / "new", {"source": source}, 0)
    assert victim.read_bytes() == b"theirs"
    with kept_open:
        assert kept_open.read() in (b"theirs", b"")
    if way != "zip":
        assert (folder / "new").read_bytes() == b"ours"
        assert stat.S_IMODE((folder / "new").lstat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["new"]


def test_what_is_no_regular_file_is_neither_read_nor_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (Files().read, Files().sha256):
        with pytest.raises(HostRefused, match="no regular file"):
            read(tmp_path / "pipe")
        with pytest.raises(HostRefused, match="is a folder"):
            read(tmp_path)
        with pytest.raises(HostRefused, match="no regular file"):
            read(Path("/dev/null"))


def test_a_pipe_of_the_shell_is_read_where_a_caller_may_name_one() -> None:
    """`--identity <(command)`: what a user gives so lies on no disk."""
    ours, theirs = os.pipe()
    try:
        os.write(theirs, b"a key")
        os.close(theirs)
        assert Files().read(Path(f"/dev/fd/{ours}"), piped=True) == b"a key"
    finally:
        os.close(ours)
