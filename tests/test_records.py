"""Records of finished stages: what is written comes back, and what lies on disk is judged against it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import records
from pipeline.errors import HostRefused
from pipeline.host import Files


class CountingFiles(Files):
    """The real files, which also remember what was read whole."""

    def __init__(self) -> None:
        super().__init__()
        self.hashed: list[str] = []

    def sha256(self, path: Path, offset: int = 0, length: int | None = None) -> str:
        self.hashed.append(path.name)
        return super().sha256(path, offset, length)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A file, a link, and a bundle with a folder in it."""
    (tmp_path / "tool").write_bytes(b"tool")
    (tmp_path / "tool").chmod(0o755)
    (tmp_path / "link").symlink_to("tool")
    inner = tmp_path / "x.app" / "Contents" / "MacOS"
    inner.mkdir(parents=True)
    (inner / "x").write_bytes(b"main")
    (tmp_path / "x.app" / "Contents" / "Info.plist").write_bytes(b"info")
    return tmp_path


def record(root: Path) -> records.StageRecord:
    return records.StageRecord(
        stage="sign",
        key="k",
        inputs={"unsigned/tool": "00"},
        options={"era": "macos-26", "list": [1, None]},
        outputs=tuple(records.stat_of(Files(), root, path) for path in ("tool", "link", "x.app")),
        artifacts=({"artifact": {"path": "tool"}},),
        finished="2026-11-21T00:00:00Z",
        run="r",
    )


def test_a_record_comes_back_as_it_was_saved(root: Path) -> None:
    """Saving and loading a record gives an equal one, bundles and links included."""
    saved = record(root)
    records.save(Files(), root / "records", saved)
    assert records.load(Files(), root / "records", "sign") == (saved, None)


def test_a_stage_that_never_ran_has_no_record_and_no_problem(tmp_path: Path) -> None:
    """The absence of a record is not something to complain of."""
    assert records.load(Files(), tmp_path, "sign") == (None, None)


def damaged(change: Callable[[dict[str, object]], object]) -> Callable[[bytes], bytes]:
    def apply(data: bytes) -> bytes:
        document = json.loads(data)
        change(document)
        return json.dumps(document).encode()

    return apply


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: b"[]",
        lambda data: b"\xff" + data,
        lambda data: b"[" * 100_000,
        damaged(lambda document: document.update(schema=2)),
        damaged(lambda document: document.pop("schema")),
        damaged(lambda document: document.pop("outputs")),
        damaged(lambda document: document.update(outputs=[1])),
        damaged(lambda document: document.update(outputs=5)),
        damaged(lambda document: document.update(inputs=[])),
        damaged(lambda document: document.update(inputs={"a": 1})),
        damaged(lambda document: document.update(artifacts=["x"])),
        damaged(lambda document: document.update(artifacts=[{}, "x"])),
        damaged(lambda document: document.update(key=None)),
        damaged(lambda document: document.update(stage="build")),
    ],
)
def test_a_damaged_record_is_a_stage_not_done_with_the_reason(root: Path, damage: Callable[[bytes], bytes]) -> None:
    """What cannot be understood is not taken for done, and the reason is given."""
    records.save(Files(), root / "records", record(root))
    path = root / "records" / "sign.json"
    path.write_bytes(damage(path.read_bytes()))
    found, problem = records.load(Files(), root / "records", "sign")
    assert found is None
    assert problem


def test_digests_are_those_of_sha256sum(root: Path) -> None:
    """A file's digest is what the system's own tool prints."""
    said = subprocess.run(["sha256sum", root / "tool"], capture_output=True, check=True, text=True).stdout.split()[0]
    left = records.stat_of(Files(), root, "tool")
    assert left.sha256 == said == hashlib.sha256(b"tool").hexdigest()
    assert left.size == 4


def test_what_was_not_touched_is_not_read_again(root: Path) -> None:
    """With the same size, times and inode a file is known; the second look reads nothing."""
    files = CountingFiles()
    left = [records.stat_of(files, root, path) for path in ("tool", "link", "x.app")]
    assert sorted(files.hashed) == ["Info.plist", "tool", "x"]
    files.hashed.clear()
    assert [records.current(files, root, one) for one in left] == left
    assert files.hashed == []


def test_a_touched_file_is_read_and_still_the_same(root: Path) -> None:
    """New times alone make one read necessary, and the answer carries the new times."""
    files = CountingFiles()
    left = records.stat_of(files, root, "tool")
    files.hashed.clear()
    os.utime(root / "tool", (1, 1))
    now = records.current(files, root, left)
    assert files.hashed == ["tool"]
    assert now is not None
    assert (now.sha256, now.mtime_ns) == (left.sha256, 10**9)


def same_size_and_time(path: Path) -> None:
    times = path.stat()
    path.write_bytes(b"TOOL")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def replaced(path: Path) -> None:
    times = path.stat()
    other = path.with_name("other")
    other.write_bytes(b"TOOL")
    other.chmod(0o755)
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize(
    ("output", "change"),
    [
        ("tool", lambda root: (root / "tool").unlink()),
        ("tool", lambda root: (root / "tool").write_bytes(b"longer")),
        ("tool", lambda root: same_size_and_time(root / "tool")),
        ("tool", lambda root: replaced(root / "tool")),
        ("tool", lambda root: (root / "tool").chmod(0o644)),
        ("tool", lambda root: ((root / "tool").unlink(), (root / "tool").symlink_to("x"))),
        ("tool", lambda root: ((root / "tool").unlink(), (root / "tool").mkdir())),
        ("link", lambda root: ((root / "link").unlink(), (root / "link").symlink_to("else"))),
        ("x.app", lambda root: (root / "x.app/Contents/MacOS/added").write_bytes(b"")),
        ("x.app", lambda root: (root / "x.app/Contents/MacOS/x").unlink()),
        ("x.app", lambda root: (root / "x.app/Contents/MacOS/x").rename(root / "x.app/Contents/MacOS/y")),
        ("x.app", lambda root: (root / "x.app/Contents/Info.plist").write_bytes(b"INFO")),
        ("x.app", lambda root: (root / "x.app/Contents/MacOS").chmod(0o711)),
        ("x.app", lambda root: (root / "x.app/empty").mkdir()),
    ],
)
def test_whatever_differs_is_noticed(root: Path, output: str, change: Callable[[Path], object]) -> None:
    """Bytes, kind, mode, a link's target and every entry of a bundle count, whatever the times say."""
    left = records.stat_of(Files(), root, output)
    change(root)
    assert records.current(Files(), root, left) is None


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe is not read: it would never end."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(HostRefused, match="neither a file"):
        records.stat_of(Files(), tmp_path, "pipe")
