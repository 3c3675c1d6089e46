"""Mach-O files on disk: signed, stripped, joined and taken apart into new files; the inputs stay as they are."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from builders.chain import SIGNED_AT, developer_id
from builders.clients import need
from builders.mach import compiled, fat, image

from pipeline.codesign import Flags, SigningOptions
from pipeline.disk import join, sign_file, strip, thin, verify_path
from pipeline.errors import ConfigurationError, HostRefused, MalformedFile, SigningError, VerificationError
from pipeline.host import Files

CHAIN = developer_id(team="ABCDE12345")
OPTIONS = SigningOptions(identifier="com.example.tool", anchors=CHAIN.anchors, flags=Flags.RUNTIME)


def _write(path: Path, data: bytes, mode: int = 0o755) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
@pytest.mark.parametrize("mode", [0o755, 0o600])
def test_a_signed_file_is_a_new_file(tmp_path: Path, arch: str, mode: int) -> None:
    """It has the source's mode; the source keeps its bytes and its time; what signing says is what verifying says."""
    source = _write(tmp_path / "tool", compiled(arch), mode)
    before = source.stat()
    signed = sign_file(Files(), source, tmp_path / "out" / "tool", OPTIONS, CHAIN.identity, signing_time=SIGNED_AT)
    verified = verify_path(tmp_path / "out" / "tool", anchors=CHAIN.anchors, strict_padding=True)
    assert [replace(one, not_judged=()) for one in verified] == list(signed)
    assert (tmp_path / "out" / "tool").stat().st_mode & 0o777 == mode
    assert source.read_bytes() == compiled(arch)
    assert (source.stat().st_mtime_ns, source.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_file_can_be_signed_in_place(tmp_path: Path) -> None:
    """Output and source may be one: the new file takes the name when it is whole."""
    path = _write(tmp_path / "tool", compiled("arm64"))
    inode = path.stat().st_ino
    sign_file(Files(), path, path, OPTIONS, CHAIN.identity, signing_time=SIGNED_AT)
    assert verify_path(path, anchors=CHAIN.anchors, strict_padding=True)
    assert path.stat().st_ino != inode
    assert [found.name for found in tmp_path.iterdir()] == ["tool"]


def test_signing_alone_and_joined_gives_the_same_code(tmp_path: Path) -> None:
    """The CDHash of a thin file is that of its slice, whether signed before or after joining."""
    thins = [_write(tmp_path / arch, compiled(arch)) for arch in ("x86_64", "arm64")]
    alone = [sign_file(Files(), path, tmp_path / f"{path.name}.signed", OPTIONS)[0].cdhash for path in thins]
    join(Files(), thins, tmp_path / "unsigned")
    join(Files(), [tmp_path / f"{path.name}.signed" for path in thins], tmp_path / "joined")
    together = sign_file(Files(), tmp_path / "unsigned", tmp_path / "signed", OPTIONS)
    joined = verify_path(tmp_path / "joined", anchors=CHAIN.anchors, strict_padding=True)
    assert [one.cdhash for one in together] == [one.cdhash for one in joined] == alone


def test_the_name_of_the_file_is_the_last_resort(tmp_path: Path) -> None:
    """Without an identifier: the source's name, made canonical."""
    source = _write(tmp_path / "libexample.1.2.dylib", image(kind="dylib"))
    (found,) = sign_file(Files(), source, tmp_path / "out.dylib", SigningOptions(), CHAIN.identity)
    assert found.identifier == "libexample.1"


@pytest.mark.llvm
def test_joined_files_are_lipos(tmp_path: Path) -> None:
    """Byte for byte, in either order of what real compilers made."""
    lipo = need("llvm-lipo", "llvm-lipo-14")
    thins = [_write(tmp_path / arch, compiled(arch)) for arch in ("x86_64", "arm64")]
    for paths in (thins, thins[::-1]):
        join(Files(), paths, tmp_path / "ours")
        subprocess.run([lipo, "-create", *paths, "-output", tmp_path / "theirs"], check=True)
        assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
        assert (tmp_path / "ours").stat().st_mode & 0o777 == 0o755


@pytest.mark.llvm
def test_a_thin_file_is_lipos(tmp_path: Path) -> None:
    """A slice is taken out byte for byte."""
    lipo = need("llvm-lipo", "llvm-lipo-14")
    source = _write(tmp_path / "fat", fat(compiled("x86_64"), compiled("arm64")))
    for arch in ("x86_64", "arm64"):
        thin(Files(), source, arch, tmp_path / "ours")
        subprocess.run([lipo, source, "-thin", arch, "-output", tmp_path / "theirs"], check=True)
        assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes() == compiled(arch)


def test_what_the_kernel_copies_in_part_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """copy_file_range(2) may copy less than it is asked for, and stop; modes are those of the file that is read."""
    tool = image(arch="arm64", size=40_000)
    (tmp_path / "both").write_bytes(fat(image(arch="x86_64", size=9000), tool))
    (tmp_path / "both").chmod(0o750)
    calls = iter([5000, 1, 7000])

    def copy_a_little(source: int, target: int, length: int, offset: int) -> int:
        wanted = next(calls, None)
        if wanted is None:
            raise OSError("another file system")
        return os.write(target, os.pread(source, min(length, wanted), offset))

    monkeypatch.setattr(os, "copy_file_range", copy_a_little, raising=False)
    thin(Files(), tmp_path / "both", "arm64", tmp_path / "one")
    assert (tmp_path / "one").read_bytes() == tool
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o750


def test_a_slice_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With those that are."""
    source = _write(tmp_path / "fat", fat(image(arch="x86_64"), image(arch="arm64")))
    with pytest.raises(ConfigurationError, match="no slice i386; there is x86_64, arm64"):
        thin(Files(), source, "i386", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_files_of_one_architecture_are_not_joined(tmp_path: Path) -> None:
    """Nothing is written."""
    paths = [_write(tmp_path / name, image()) for name in "ab"]
    with pytest.raises(ConfigurationError, match="two slices of the architecture arm64"):
        join(Files(), paths, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_without_its_signature(tmp_path: Path) -> None:
    """Stripped, it is not signed any more, and can be signed again."""
    source = _write(tmp_path / "tool", compiled("arm64"))
    sign_file(Files(), source, tmp_path / "signed", OPTIONS)
    strip(Files(), tmp_path / "signed", tmp_path / "stripped")
    with pytest.raises(VerificationError, match="not signed"):
        verify_path(tmp_path / "stripped", anchors=CHAIN.anchors)
    sign_file(Files(), tmp_path / "stripped", tmp_path / "again", OPTIONS)
    assert verify_path(tmp_path / "again", anchors=CHAIN.anchors)


def test_errors_name_file_and_slice(tmp_path: Path) -> None:
    """Signing and verifying say where, in words that lead there."""
    source = _write(tmp_path / "tool", fat(image(arch="x86_64"), image(arch="arm64", pad=0)))
    with pytest.raises(SigningError) as refused:
        sign_file(Files(), source, tmp_path / "out", OPTIONS)
    assert refused.value.where == f"{source}: slice arm64"
    assert not (tmp_path / "out").exists()
    with pytest.raises(VerificationError) as unsigned:
        verify_path(source, anchors=CHAIN.anchors)
    assert unsigned.value.where == f"{source}: slice x86_64"


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", bytes.fromhex("cafebabe0000003d") + bytes(64)])
def test_another_kind_of_file_is_refused(tmp_path: Path, data: bytes) -> None:
    """A script or a Java class is an argument that we refuse, whatever was to be done with it."""
    source = _write(tmp_path / "script", data)
    with pytest.raises(MalformedFile):
        sign_file(Files(), source, tmp_path / "out", OPTIONS)
    with pytest.raises(MalformedFile, match="not a Mach-O file"):
        verify_path(source, anchors=CHAIN.anchors)
    with pytest.raises(MalformedFile):
        join(Files(), [source], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user whom the host can refuse, which root is not")
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """And nothing is left in it."""
    source = _write(tmp_path / "tool", image())
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(HostRefused, match="no permission"):
        sign_file(Files(), source, tmp_path / "closed" / "tool", OPTIONS)


def test_signing_is_deterministic(tmp_path: Path) -> None:
    """The same inputs give the same file, certificate or not."""
    source = _write(tmp_path / "tool", compiled("x86_64"))
    digests = set()
    for name in ("one", "two"):
        sign_file(Files(), source, tmp_path / name, OPTIONS, CHAIN.identity, signing_time=SIGNED_AT)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_large_files_are_signed_like_small_ones(tmp_path: Path) -> None:
    """Pages hashed by workers are those that a verifier finds."""
    source = _write(tmp_path / "large", image(arch="arm64", size=70 * 1024 * 1024))
    sign_file(Files(), source, tmp_path / "signed", OPTIONS, CHAIN.identity, signing_time=SIGNED_AT)
    assert verify_path(tmp_path / "signed", anchors=CHAIN.anchors, strict_padding=True)
