"""Bundles on disk: verified, asked for the CDHashes of their code, and stripped of their signatures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pipeline.codesign.bundle import SIGNATURE_FOLDER, find_bundle, versions
from pipeline.codesign.bundle_code import Code, find_code
from pipeline.codesign.bundle_verifier import verify_bundle
from pipeline.codesign.certificates import Anchors
from pipeline.codesign.eras import DEFAULT_ERA, Era
from pipeline.codesign.signature import read_signature
from pipeline.codesign.stripper import strip_slices
from pipeline.codesign.verified import VerifiedSlice
from pipeline.codesign.verifier import Expectations
from pipeline.disk.contents import Contents
from pipeline.disk.machofile import strip_file, verify_file
from pipeline.disk.parts import write_parts
from pipeline.disk.source import open_source
from pipeline.disk.tree import FolderTree
from pipeline.errors import MalformedFile, ReleaseError
from pipeline.host import Files
from pipeline.macho import Source, read_slices


def verify_path(
    path: Path,
    *,
    anchors: Anchors,
    requirement: bytes | None = None,
    strict_padding: bool = False,
    contents: Contents | None = None,
) -> tuple[VerifiedSlice, ...]:
    """Verify a Mach-O file, or a bundle with all it holds; returns what the signatures of its slices say.

    Every slice must satisfy `requirement`, a compiled one. What is read goes into `contents`, for `tree_digest`. Raises
    VerificationError with file, slice and page, slot or region; of a bundle it names every path that is not as it was
    sealed.
    """
    expectations = Expectations(anchors=anchors, requirement=requirement, strict_padding=strict_padding)
    if not path.is_dir():
        return verify_file(path, expectations, contents)
    try:
        return verify_bundle(FolderTree(path, contents), path.name, expectations)
    except ReleaseError as error:
        raise error.at(str(path)) from error.__cause__


def linked_libraries(path: Path) -> Mapping[str, tuple[str, ...]]:
    """Architecture → install names of what a Mach-O file, or a bundle's executable, links; none without executable."""
    with open_executable(path) as source:
        return {one.arch: one.image.libraries for one in read_slices(source)} if source is not None else {}


@contextmanager
def open_executable(path: Path) -> Iterator[Source | None]:
    """A Mach-O file, or a bundle's executable; None for a bundle without one."""
    if not path.is_dir():
        with open_source(path) as source:
            yield source
        return
    tree = FolderTree(path)
    bundle = find_bundle(tree, name=path.name)
    if not bundle.has_executable:
        yield None
        return
    with tree.open(bundle.main_file) as source:
        yield source


def executable_of(bundle: Path) -> Path:
    """A bundle's main executable. Raises MalformedFile where the folder is no bundle, or has none."""
    found = find_bundle(FolderTree(bundle), name=bundle.name)
    if not found.has_executable:
        raise MalformedFile("a bundle without an executable", where=str(bundle))
    return bundle / found.main_file


def code_inside(bundle: Path) -> tuple[tuple[str, str], ...]:
    """Code in a bundle but for its own executable, from the inside out: what a signer is given (a file, a bundle's root
    or a framework's version) and the Mach-O file that it signs, as paths in the bundle."""
    found = find_code(FolderTree(bundle), name=bundle.name)
    inside = [one for one in found if one.bundle is None or one.bundle.root]
    return tuple((_signed_at(one), one.path) for one in inside)


def _signed_at(code: Code) -> str:
    if code.bundle is None:
        return code.path
    return code.bundle.base if "Versions" in code.bundle.base.split("/") else code.bundle.root


def code_hashes(bundle: Path) -> dict[str, dict[str, str]]:
    """CDHashes of all code in a bundle, its own executable's last: path in it → architecture → 40 hex digits.

    Slices without a signature are left out; nothing is verified.
    """
    tree = FolderTree(bundle)
    hashes: dict[str, dict[str, str]] = {}
    for code in find_code(tree, name=bundle.name):
        with tree.open(code.path) as source:
            signatures = {one.arch: read_signature(one) for one in read_slices(source)}
        hashes[code.path] = {arch: one.best.cdhash.hex() for arch, one in signatures.items() if one is not None}
    return hashes


def strip(files: Files, path: Path, output: Path, era: Era = DEFAULT_ERA) -> None:
    """A Mach-O file, or a bundle, without its signatures, as `codesign --remove-signature` of the era leaves it.

    Of a bundle the executable's goes and the folder with the seal; code inside keeps its own. Raises as `sign_bundle`.
    """
    if not path.is_dir():
        strip_file(files, path, output, era)
        return
    work = output.with_name(f".{output.name}.{os.getpid()}.stripping")
    files.remove(work)
    try:
        files.copy_folder(path, work)
        tree = FolderTree(work)
        for version in versions(tree, "") or (None,):
            bundle = find_bundle(tree, name=path.name, version=version)
            if bundle.has_executable:
                with tree.open(bundle.main_file) as source:
                    write_parts(files, strip_slices(read_slices(source), era), work / bundle.main_file, source.mode)
            files.remove(work / bundle.base / SIGNATURE_FOLDER)
        files.move_folder(work, output)
    except ReleaseError as error:
        raise error.at(str(path)) from error.__cause__
    finally:
        files.remove(work)
