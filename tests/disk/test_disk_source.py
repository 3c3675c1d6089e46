"""A file as a Source: read and hashed in blocks or by workers, watched for changes, never through a link."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from pipeline.disk import open_source, write_parts
from pipeline.disk.source import WORTH_WORKERS
from pipeline.errors import ConfigurationError, HostRefused, MalformedFile
from pipeline.host import Files
from pipeline.macho import BytesSource, Part, Window


def _pages(data: bytes, page: int, algorithm: str = "sha256") -> list[bytes]:
    return [hashlib.new(algorithm, data[at : at + page]).digest() for at in range(0, len(data), page)]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 3 * 1024 * 1024 + 17])
@pytest.mark.parametrize("page", [4096, 16384])
def test_a_file_hashes_as_its_bytes_do(tmp_path: Path, size: int, page: int) -> None:
    """Every page under every algorithm, the last one short; and any part of the file alike."""
    data = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(data)
    with open_source(path) as source:
        assert source.size == size
        found = source.digests(["sha1", "sha256"], page, size)
        assert found == {"sha1": _pages(data, page, "sha1"), "sha256": _pages(data, page)}
        part = Window(source, size // 3, size // 2)
        assert part.digests(["sha256"], page, part.size)["sha256"] == _pages(data[size // 3 :][: size // 2], page)
        assert source.digests(["sha384"], 0, size) == {"sha384": [hashlib.sha384(data).digest()]}


def test_workers_hash_as_one_process_does(tmp_path: Path) -> None:
    """A file large enough for worker processes has the hashes of its pages, from any start."""
    path = tmp_path / "large"
    block = os.urandom(1024 * 1024)
    with path.open("wb") as stream:
        for number in range(WORTH_WORKERS // len(block) + 1):
            stream.write(number.to_bytes(8, "big") + block[8:])
        stream.write(b"and a short page")
    data = path.read_bytes()
    with open_source(path) as source:
        found = source.digests(["sha256", "sha1"], 16384, len(data))
        assert found == {"sha256": _pages(data, 16384), "sha1": _pages(data, 16384, "sha1")}
        assert source.digests(["sha256"], 4096, len(data) - 5, 5)["sha256"] == _pages(data[5:-5], 4096)


def test_reads_are_exact(tmp_path: Path) -> None:
    """Never fewer bytes than were asked for, never bytes from outside."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with open_source(path) as source:
        assert source.read(3, 4) == b"3456"
        for offset, length in ((8, 3), (-1, 2), (11, 0), (0, 1 << 62)):
            with pytest.raises(MalformedFile):
                source.read(offset, length)
        with pytest.raises(MalformedFile, match="page size"):
            source.digests(["sha256"], 1 << 31, 10)


def _grow(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"more")


def _rewrite(path: Path) -> None:
    path.write_bytes(b"another text of the same size"[: path.stat().st_size].ljust(path.stat().st_size))
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("change", [_grow, _rewrite, lambda path: os.truncate(path, 10)], ids=["more", "other", "less"])
def test_a_file_that_changes_is_refused(tmp_path: Path, change: object) -> None:
    """While it is hashed or copied; what was to be written from it does not appear."""
    path, output = tmp_path / "file", tmp_path / "output"
    path.write_bytes(b"x" * 100_000)
    with open_source(path) as source:
        change(path)  # type: ignore[operator]
        with pytest.raises(MalformedFile, match="it changed while it was read"):
            source.digests(["sha256"], 4096, source.size)
        with pytest.raises(MalformedFile, match="it changed while it was read"):
            write_parts(Files(), [source], output, 0o644)
    assert not output.exists()
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_a_large_file_that_changes_is_refused(tmp_path: Path) -> None:
    """Its workers open the path themselves, and notice that it is another file."""
    path = tmp_path / "large"
    with path.open("wb") as stream:
        stream.truncate(WORTH_WORKERS)
    with open_source(path) as source:
        path.unlink()
        with path.open("wb") as stream:
            stream.truncate(WORTH_WORKERS)
        with pytest.raises(MalformedFile, match="it changed while it was read"):
            source.digests(["sha256"], 4096, source.size)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """A folder, a link, a fifo, a device: told apart, none followed and none waited for."""
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    for path, kind in (
        (tmp_path, "a folder"),
        (tmp_path / "link", "a symbolic link"),
        (tmp_path / "fifo", "a fifo"),
        (Path("/dev/null"), "a device or socket"),
    ):
        with pytest.raises(MalformedFile, match=f"{kind}, not a file"), open_source(path):
            pytest.fail("it was opened")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """As an argument that we refuse, and with its path."""
    for path in (tmp_path / "absent", tmp_path / "absent" / "file"):
        with pytest.raises(ConfigurationError, match="no such file") as refused, open_source(path):
            pytest.fail("it was opened")
        assert refused.value.where == str(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user whom the host can refuse, which root is not")
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    """By the host's refusal."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(HostRefused, match="no permission"), open_source(path):
        pytest.fail("it was opened")


def test_parts_are_written_in_order(tmp_path: Path) -> None:
    """New bytes, windows of a file, other sources; the mode is the one that is asked for."""
    path, output = tmp_path / "file", tmp_path / "new" / "output"
    path.write_bytes(b"0123456789" * 300_000)
    with open_source(path) as source:
        parts: list[Part] = [
            b"head",
            Window(source, 5, 10),
            bytes(3),
            Window(BytesSource(b"abcdef"), 2, 2),
            source,
            b"",
        ]
        write_parts(Files(), parts, output, 0o755)
    assert output.read_bytes() == b"head" + b"5678901234" + bytes(3) + b"cd" + path.read_bytes()
    assert output.stat().st_mode & 0o777 == 0o755


def test_a_file_can_be_written_over_itself(tmp_path: Path) -> None:
    """Its new bytes take its name when they are whole."""
    path = tmp_path / "file"
    path.write_bytes(b"old bytes")
    with open_source(path) as source:
        write_parts(Files(), [b"new and ", source], path, 0o644)
    assert path.read_bytes() == b"new and old bytes"


def test_many_threads_hash_one_file(tmp_path: Path) -> None:
    """A source has no position of its own that two threads could disturb."""
    path = tmp_path / "file"
    data = os.urandom(2_000_000)
    path.write_bytes(data)
    expected = _pages(data, 4096)
    found: list[list[bytes]] = []
    with open_source(path) as source:
        threads = [
            threading.Thread(target=lambda: found.append(source.digests(["sha256"], 4096, len(data))["sha256"]))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [expected] * 8
