"""The digest of a whole file from what was read of it for another reason: always the file's own, and read once."""

from __future__ import annotations

import hashlib
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from builders import bundles
from builders.mach import Shape, fat, image

from pipeline.codesign import SigningOptions
from pipeline.codesign.options import NO_ANCHORS
from pipeline.disk import Contents, open_source, sign_bundle, sign_file, tree_digest, verify_path
from pipeline.host import Files

_MEGABYTE = 1024 * 1024
_OPTIONS = SigningOptions(identifier="com.example.tool")
_COUNTERS = Path("/proc/self/io")


def _read_so_far() -> int:
    """Bytes that this process has asked the kernel for, as the kernel counts them."""
    return int(dict(line.split(": ") for line in _COUNTERS.read_text().splitlines())["rchar"])


@pytest.mark.parametrize("seed", range(8))
def test_whatever_passed_before_the_digest_is_the_files(tmp_path: Path, seed: int) -> None:
    """Ranges in any order, pages of any size, parts twice and parts never."""
    chance = random.Random(seed)
    data = chance.randbytes(chance.choice([0, 1, 5_000, 3 * _MEGABYTE + 17]))
    path = tmp_path / "file"
    path.write_bytes(data)
    contents = Contents()
    with open_source(path, contents) as source:
        for _ in range(chance.randrange(5)):
            start, limit = sorted(chance.randrange(len(data) + 1) for _ in range(2))
            page = chance.choice([0, 4096, 16384])
            found = source.digests(["sha1", "sha256"], page, limit, start)
            step = page or max(limit - start, 1)
            pages = [data[at : min(at + step, limit)] for at in range(start, limit, step)] or (
                [b""] if not page else []
            )
            assert found == {n: [hashlib.new(n, one).digest() for one in pages] for n in ("sha1", "sha256")}
    assert tree_digest(path, contents=contents) == hashlib.sha256(data).hexdigest()


def test_one_file_under_many_names_is_read_by_many(tmp_path: Path) -> None:
    """Hard links, hashed side by side: each has the file's digest, whoever of them takes it further."""
    data = random.Random(7).randbytes(3 * _MEGABYTE + 5)
    expected = {name: [hashlib.new(name, data).digest()] for name in ("sha1", "sha256")}
    first, *others = names = [tmp_path / str(number) for number in range(4)]
    first.write_bytes(data)
    for name in others:
        name.hardlink_to(first)

    def hashed(name: Path, contents: Contents, together: Barrier) -> dict[str, list[bytes]]:
        with open_source(name, contents) as source:
            together.wait()
            return source.digests(["sha1", "sha256"], 0, len(data))

    for _ in range(16):
        contents, together = Contents(), Barrier(len(names))
        with ThreadPoolExecutor(max_workers=len(names)) as pool:
            found = list(pool.map(lambda name: hashed(name, contents, together), names))  # noqa: B023 - all end here
        assert found == [expected] * len(names)


def test_a_file_that_changes_begins_anew(tmp_path: Path) -> None:
    """What was known of other bytes is not told of these."""
    path = tmp_path / "file"
    path.write_bytes(b"first")
    contents = Contents()
    assert tree_digest(path, contents=contents) == hashlib.sha256(b"first").hexdigest()
    path.write_bytes(b"other")
    os.utime(path, ns=(1, 1))
    assert tree_digest(path, contents=contents) == hashlib.sha256(b"other").hexdigest()


@pytest.mark.skipif(not _COUNTERS.exists(), reason="needs the kernel's counters, which this machine does not have")
def test_a_universal_file_is_verified_and_digested_in_one_reading(tmp_path: Path) -> None:
    """Two slices under two hash types; what lies between and behind them is in the digest too."""
    source, signed = tmp_path / "source", tmp_path / "signed"
    source.write_bytes(fat(*(image(Shape(arch=arch, size=8 * _MEGABYTE)) for arch in ("x86_64", "arm64"))))
    sign_file(Files(), source, signed, _OPTIONS)
    contents = Contents()
    before = _read_so_far()
    verify_path(signed, anchors=NO_ANCHORS, strict_padding=True, contents=contents)
    digest = tree_digest(signed, contents=contents)
    read = _read_so_far() - before
    size = signed.stat().st_size
    assert size <= read < size + _MEGABYTE
    assert digest == hashlib.sha256(signed.read_bytes()).hexdigest()


@pytest.mark.skipif(not _COUNTERS.exists(), reason="needs the kernel's counters, which this machine does not have")
def test_a_bundle_is_verified_and_digested_in_one_reading(tmp_path: Path) -> None:
    """Its resources are known from the seal's check, its code from the pages; nested code too."""
    app = bundles.rich_app(tmp_path)
    (app / "Contents/Resources/film").write_bytes(os.urandom(8 * _MEGABYTE))
    signed = tmp_path / "signed" / app.name
    sign_bundle(Files(), app, signed, _OPTIONS)
    contents = Contents()
    before = _read_so_far()
    verify_path(signed, anchors=NO_ANCHORS, contents=contents)
    digest = tree_digest(signed, contents=contents)
    read = _read_so_far() - before
    assert read < 12 * _MEGABYTE
    assert digest == tree_digest(signed)
