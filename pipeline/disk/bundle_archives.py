"""Code inside archives (jar, wheel, zip): found, and signed in a new archive that holds everything else as it was.

The notary opens such archives and judges the code in them; codesign and the seal take them for data. Members keep their
order, names, dates, modes and way of compression. A wheel's RECORD is brought up to date.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO

from pipeline.codesign.signature import read_signature
from pipeline.codesign.tree import EntryKind, Tree, join
from pipeline.disk.archive import unpacking
from pipeline.disk.tree import FolderTree
from pipeline.errors import MalformedFile, NotSupported
from pipeline.host import Files
from pipeline.macho import BytesSource, is_macho, read_slices

SignMember = Callable[[Path, str], None]
"""Sign a file in place; the text is its name in the archive, where the archive's is not clear `a.jar!/native/tool`."""

Tell = Callable[[str, str], None]
"""A path in the bundle, and what there is to say of it."""

# The local header of a first member, or the end record of an archive without any; a jmod has four bytes before it.
_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
_JMOD = b"JM\x01\x00"
_MAGIC_SIZE = 8
_BLOCK = 1024 * 1024
# The jar of a large program has some 50,000 members.
_MOST_MEMBERS = 200_000
# Code of a gigabyte does not come in an archive; a member that claims it is there to fill the disk.
_LARGEST_CODE = 1024 * 1024 * 1024
# Nor four of all archives of a bundle together: members can lie over each other, so that few bytes claim to be many.
_MOST_CODE = 4 * _LARGEST_CODE
_MOST_TOLD = 5


def is_archive(start: bytes) -> bool:
    """Do these first eight bytes of a file begin an archive that is looked into?"""
    return start.startswith(_MAGICS) or (start.startswith(_JMOD) and start[4:].startswith(_MAGICS))


def archives_in(tree: Tree, folder: str = "") -> Iterator[str]:
    """The paths of the archives in a folder and all below it."""
    for entry in sorted(tree.entries(folder), key=lambda one: one.name):
        path = join(folder, entry.name)
        if entry.kind is EntryKind.FOLDER:
            yield from archives_in(tree, path)
        elif entry.kind is EntryKind.FILE:
            with tree.open(path) as source:
                start = source.read(0, min(_MAGIC_SIZE, source.size))
            if is_archive(start):
                yield path


def code_in_archive(path: Path) -> tuple[str, ...]:
    """The names of the Mach-O files in an archive, and of archives in it. Raises MalformedFile where it is none."""
    with _opened(path) as archive:
        return tuple(
            member.filename
            for member in archive.infolist()
            if _is_code(start := _start(archive, member)) or is_archive(start)
        )


def sign_archives(files: Files, folder: Path, sign: SignMember | None, told: Tell) -> None:
    """Sign the code in all archives of a folder, in place; without `sign`, tell of it. Raises as `sign_archive`."""
    for path in archives_in(FolderTree(folder)):
        place = folder / path
        try:
            members = code_in_archive(place)
        except MalformedFile as error:
            told(path, f"looks like an archive, and cannot be looked into: {error.message}")
            continue
        if members and sign is None:
            names = ", ".join(members[:_MOST_TOLD]) + (" …" if len(members) > _MOST_TOLD else "")
            told(path, f"holds code, which the notary wants signed: {names}")
        elif members and sign is not None:
            sign_archive(files, place, place, partial(_of_archive, sign, path))


def _of_archive(sign: SignMember, archive: str, file: Path, name: str) -> None:
    sign(file, f"{archive}!/{name}")


def archived_code_hashes(bundle: Path) -> dict[str, dict[str, str]]:
    """CDHashes of the code in a bundle's archives: `archive!/member` → architecture → 40 hex digits.

    Slices without a signature, and archives that cannot be looked into, are left out; nothing is verified.
    """
    hashes: dict[str, dict[str, str]] = {}
    left = _MOST_CODE
    for path in archives_in(FolderTree(bundle)):
        with suppress(MalformedFile), _opened(bundle / path) as archive:
            for member in archive.infolist():
                if _is_code(_start(archive, member)) and member.file_size <= min(left, _LARGEST_CODE):
                    left -= member.file_size
                    slices = read_slices(BytesSource(archive.read(member)))
                    signatures = {one.arch: read_signature(one) for one in slices}
                    hashes[f"{path}!/{member.filename}"] = {
                        arch: one.best.cdhash.hex() for arch, one in signatures.items() if one is not None
                    }
    return hashes


def sign_archive(files: Files, path: Path, output: Path, sign: SignMember) -> tuple[str, ...]:
    """A copy of an archive in which `sign` has signed every Mach-O file; their names are returned.

    Raises NotSupported for a jmod, a signed jar and code in an archive inside this one, MalformedFile for what is no
    archive, and what `sign` raises.
    """
    work = output.with_name(f".{output.name}.{os.getpid()}.members")
    files.remove(work)
    files.make_folder(work)
    signed: dict[str, Path] = {}
    try:
        with _opened(path) as archive:
            for number, member in enumerate(archive.infolist()):
                start = _start(archive, member)
                if is_archive(start):
                    raise NotSupported(
                        "an archive in an archive is not looked into", where=f"{path}!/{member.filename}"
                    )
                if _is_code(start):
                    if member.file_size > _LARGEST_CODE:
                        raise MalformedFile(f"a member of {member.file_size} bytes", where=f"{path}!/{member.filename}")
                    place = work / str(number)
                    with archive.open(member) as content, files.create(place, 0o700) as stream:
                        _copy(content, stream)
                    sign(place, member.filename)
                    signed[member.filename] = place
            if signed:
                _check_rewritable(path, archive, signed)
            with files.create(output, stat.S_IMODE(path.stat().st_mode)) as target:
                _rewrite(archive, signed, target)
    finally:
        files.remove(work)
    return tuple(signed)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    with unpacking(path), zipfile.ZipFile(path) as archive:
        if len(archive.infolist()) > _MOST_MEMBERS:
            raise MalformedFile(f"an archive of {len(archive.infolist())} members", where=str(path))
        yield archive


def _start(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.is_dir():
        return b""
    with archive.open(member) as content:
        return content.read(_MAGIC_SIZE)


def _is_code(start: bytes) -> bool:
    return len(start) == _MAGIC_SIZE and is_macho(start)


def _check_rewritable(path: Path, archive: zipfile.ZipFile, signed: Collection[str]) -> None:
    with path.open("rb") as stream:
        if stream.read(len(_JMOD)) == _JMOD:
            raise NotSupported(
                "code in a jmod cannot be signed in place: sign it before jmod packs it", where=str(path)
            )
    names = Counter(archive.namelist())
    for name in signed:
        if names[name] > 1:
            raise MalformedFile("two members of this name, of which one is code", where=f"{path}!/{name}")
    for name in names:
        folder, _, last = name.upper().rpartition("/")
        if folder == "META-INF" and last.endswith((".SF", ".RSA", ".DSA", ".EC")):
            raise NotSupported(
                "a signed jar: with other code in it, it would no longer hold",
                where=str(path),
                remedy="sign the code before jarsigner signs the jar",
            )


def _rewrite(archive: zipfile.ZipFile, signed: dict[str, Path], target: IO[bytes]) -> None:
    with zipfile.ZipFile(target, "w") as output:
        output.comment = archive.comment
        for member in archive.infolist():
            copied = zipfile.ZipInfo(member.filename, member.date_time)
            for attribute in ("compress_type", "comment", "create_system", "external_attr", "internal_attr"):
                setattr(copied, attribute, getattr(member, attribute))
            if member.is_dir():
                output.writestr(copied, b"")
            elif _is_record(member.filename) and signed:
                output.writestr(copied, _record(archive.read(member), signed))
            else:
                source = signed[member.filename].open("rb") if member.filename in signed else archive.open(member)
                with source, output.open(copied, "w", force_zip64=member.file_size > 1 << 30) as stream:
                    _copy(source, stream)


def _is_record(name: str) -> bool:
    folder, _, last = name.rpartition("/")
    return last == "RECORD" and folder.endswith(".dist-info") and "/" not in folder


def _record(content: bytes, signed: dict[str, Path]) -> bytes:
    """The lines of a wheel's RECORD (name, hash, size), those of the signed files made anew."""
    lines = []
    for line in content.decode("utf-8", "surrogateescape").splitlines(keepends=True):
        name = line.rsplit(",", 2)[0].strip('"').replace('""', '"')
        if name in signed:
            data = signed[name].read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            end = line[len(line.rstrip("\r\n")) :]
            line = f"{line.rsplit(',', 2)[0]},sha256={digest},{len(data)}{end}"
        lines.append(line)
    return "".join(lines).encode("utf-8", "surrogateescape")


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    while block := source.read(_BLOCK):
        target.write(block)
