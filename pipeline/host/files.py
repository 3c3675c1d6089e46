"""Files: what appears, appears whole, by one rename; what a kill leaves is the old or the new.

Reading bulk data is `pipeline.disk`'s business; here is what changes a folder, and the small reads and writes.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import AlreadyRunning, HostRefused
from pipeline.host.observer import Observer, nobody

_BLOCK = 1024 * 1024
_AT_FDCWD = -100 if sys.platform == "linux" else -2
# linux/fs.h RENAME_EXCHANGE, Darwin's sys/stdio.h RENAME_SWAP: the same number by chance.
_EXCHANGE = 2
# An fsync takes milliseconds: ten thousand of them, half a minute.
_MANY_FILES = 200
_UNFINISHED = re.compile(r"\..+\.[0-9]+\.[a-z]+")
_REASONS = {
    errno.ENOSPC: "no space left",
    errno.EDQUOT: "quota used up",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EROFS: "read-only file system",
    errno.ENOENT: "no such file or folder",
    errno.ENOTDIR: "a part of the path is not a folder",
    errno.EISDIR: "is a folder",
    errno.ENOTEMPTY: "folder is not empty",
}


def refused(error: OSError, path: Path | str) -> HostRefused:
    """The operating system's error in our words, with the path."""
    reason = _REASONS.get(error.errno or 0, error.strerror or type(error).__name__)
    return HostRefused(reason, where=str(path))


@contextmanager
def open_regular(path: Path, *, piped: bool = False) -> Iterator[BinaryIO]:
    """A regular file, to be read. HostRefused for a folder, a device, and a fifo, which would be waited for.

    `piped`: a fifo is taken all the same, such as a shell puts in the place of `<(command)`.
    """
    with refusals(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if piped else os.O_NONBLOCK))
        with os.fdopen(descriptor, "rb") as stream:
            mode = os.fstat(descriptor).st_mode
            if not (stat.S_ISREG(mode) or (piped and stat.S_ISFIFO(mode))):
                raise HostRefused("is a folder" if stat.S_ISDIR(mode) else "is no regular file", where=str(path))
            yield stream


@contextmanager
def refusals(path: Path | str) -> Iterator[None]:
    """Turns an OSError of the block into HostRefused at `path`."""
    try:
        yield
    except OSError as error:
        raise refused(error, error.filename or path) from error


class Files:
    """Every method raises HostRefused where the operating system says no."""

    def __init__(self, *, observe: Observer = nobody) -> None:
        self._observe = observe

    def read(self, path: Path, limit: int = 64 * 1024 * 1024, *, piped: bool = False) -> bytes:
        """A small regular file whole (`piped`: or what a fifo brings). One of more than `limit` bytes is refused."""
        with open_regular(path, piped=piped) as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise HostRefused(f"larger than the {limit} bytes expected of such a file", where=str(path))
        return data

    def sha256(self, path: Path, offset: int = 0, length: int | None = None) -> str:
        """Hex digest of a regular file, or of `length` bytes of it from `offset` on, read once in blocks."""
        digest = hashlib.sha256()
        with open_regular(path) as stream:
            stream.seek(offset)
            left = sys.maxsize if length is None else length
            while left and (block := stream.read(min(_BLOCK, left))):
                digest.update(block)
                left -= len(block)
        return digest.hexdigest()

    @contextmanager
    def create(self, path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
        """A file to be written piece by piece: durable before its name appears, gone if the block raises.

        It has `mode` from its first byte.
        """
        self._observe("write", str(path))
        with (
            refusals(path),
            _appearing(path) as temporary,
            os.fdopen(_new_file(temporary, mode & 0o700), "wb") as stream,
        ):
            os.fchmod(stream.fileno(), mode)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())

    def write(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        """Write a file whole, durable before its name appears. It has `mode` from its first byte."""
        with self.create(path, mode) as stream:
            stream.write(data)

    def append(self, path: Path, data: bytes) -> None:
        """Add to the end of a file in one write, durable on return."""
        self._observe("append", str(path))
        with refusals(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
            with os.fdopen(descriptor, "ab", buffering=0) as stream:
                written = 0
                while written < len(data):
                    written += stream.write(data[written:]) or 0
                os.fsync(stream.fileno())

    def make_folder(self, path: Path, mode: int = 0o755) -> None:
        self._observe("mkdir", str(path))
        with refusals(path):
            path.mkdir(parents=True, exist_ok=True)
            if mode != 0o755:
                path.chmod(mode)

    def copy(self, source: Path, target: Path, mode: int | None = None) -> None:
        """Copy one regular file (a clone where the file system can), whole or not at all; mode kept unless given."""
        self._observe("copy", str(target))
        with refusals(source):
            bits = stat.S_IMODE(source.stat().st_mode) if mode is None else mode
        with refusals(target), _appearing(target) as temporary:
            os.close(_new_file(temporary, 0o600))
            shutil.copyfile(source, temporary)
            temporary.chmod(bits)
            _sync(temporary)

    def copy_folder(self, source: Path, target: Path) -> None:
        """Copy a folder with all it holds: links as links, modes kept, everything writable by its owner, no attributes.

        `target` is new. It is not durable: it is meant to be worked on, and `move_folder` then makes it so.
        """
        self._observe("copy", str(target))
        with refusals(target):
            target.mkdir(parents=True)
        pending = [(source, target)]
        while pending:
            old, new = pending.pop()
            with refusals(old), os.scandir(old) as entries:
                for entry in entries:
                    place, mode = new / entry.name, stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
                    if entry.is_symlink():
                        place.symlink_to(os.readlink(entry.path))  # noqa: PTH115 - Path would rewrite the text
                    elif entry.is_dir():
                        place.mkdir()
                        place.chmod(mode | stat.S_IRWXU)
                        pending.append((Path(entry.path), place))
                    else:
                        shutil.copyfile(entry.path, place)
                        place.chmod(mode | stat.S_IWUSR)

    def move(self, source: Path, target: Path) -> None:
        """Give a finished file its name, in place of what stood there, durably."""
        self._observe("rename", str(target))
        with refusals(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _sync(source)
            source.replace(target)
            _sync(target.parent)

    def move_folder(self, source: Path, target: Path) -> None:
        """Give a finished folder its name; what stood there is exchanged for it, then removed.

        Where the file system cannot exchange, the old one is moved aside first; `finish_move` repairs what a kill left.
        """
        self._observe("exchange", str(target))
        with refusals(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            self.finish_move(target)
            _sync_tree(source)
            if not target.exists():
                source.rename(target)
            elif not _exchange(source, target):
                aside = _aside(target)
                target.rename(aside)
                source.rename(target)
                source = aside
            _sync(target.parent)
            if source.exists():
                shutil.rmtree(source)

    def finish_move(self, target: Path) -> None:
        """Bring `target` back to one whole folder after a kill in the middle of a `move_folder` without exchange."""
        aside = _aside(target)
        with refusals(target):
            if not aside.exists():
                return
            if target.exists():
                shutil.rmtree(aside)
            else:
                aside.rename(target)

    def remove_unfinished(self, folder: Path) -> None:
        """Remove what killed processes left half-written below `folder`, which the caller has locked.

        Everything that appears by a rename is made as `.NAME.PID.WORD` beside its place.
        """
        for inside, folders, names in os.walk(folder):
            for name in [name for name in (*folders, *names) if _UNFINISHED.fullmatch(name)]:
                self.remove(Path(inside, name))
            folders[:] = [name for name in folders if not _UNFINISHED.fullmatch(name)]

    def remove(self, path: Path) -> None:
        """Remove a file or a folder with all it holds; nothing there is fine."""
        self._observe("remove", str(path))
        with refusals(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    @contextmanager
    def lock(self, path: Path, *, wait: bool = False) -> Iterator[None]:
        """Hold the folder's lock for the block; a kill frees it.

        If another process has it: AlreadyRunning at once, or with `wait` as soon as it is free.
        """
        self._observe("lock", str(path))
        with refusals(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                raise AlreadyRunning(
                    "another release is running in this output folder",
                    where=str(path.parent),
                    remedy="wait for it to end",
                ) from error
            yield
        finally:
            os.close(descriptor)


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """A name beside `path` for the block to write at, durably; what stands there at its end takes the name `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Make a file's bytes, or a folder's names, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _new_file(path: Path, mode: int) -> int:
    """The descriptor of a file that nobody else made: what stands at this name, which can be guessed, is not used."""
    path.unlink(missing_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _sync_tree(folder: Path) -> None:
    """Make every file of a folder durable: one by one, or with the whole file system where there are many."""
    files = [Path(place, name) for place, _, names in os.walk(folder) for name in names]
    if len(files) > _MANY_FILES and _sync_file_system(folder):
        return
    for path in files:
        if not path.is_symlink():
            _sync(path)


def _sync_file_system(folder: Path) -> bool:
    """syncfs(2), which Linux alone has; False where it cannot be had."""
    call = getattr(ctypes.CDLL(None), "syncfs", None)
    if call is None:
        return False
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        return bool(call(descriptor) == 0)
    finally:
        os.close(descriptor)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step; False where the kernel or the file system cannot."""
    library = ctypes.CDLL(None, use_errno=True)
    call = getattr(library, "renameat2" if sys.platform == "linux" else "renameatx_np", None)
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(other))
