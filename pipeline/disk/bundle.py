"""Bundles on disk: signed from the inside out in a copy that takes its name whole, and verified."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pipeline.codesign.bundle import SIGNATURE_FOLDER, Bundle, find_bundle, versions
from pipeline.codesign.bundle_refusals import refuse_bundle
from pipeline.codesign.bundle_verifier import verify_bundle
from pipeline.codesign.certificates import Anchors
from pipeline.codesign.cms import Identity
from pipeline.codesign.code_directory import HashType
from pipeline.codesign.decisions import default_hash_types
from pipeline.codesign.options import SigningOptions
from pipeline.codesign.seal import NestedSeal, build_seal, nested_code
from pipeline.codesign.seal_nested import nested_seal
from pipeline.codesign.signer import sign_slices
from pipeline.codesign.tree import EntryKind, join
from pipeline.codesign.verified import VerifiedSlice, verified_slice
from pipeline.codesign.verifier import Expectations
from pipeline.disk.machofile import verify_file
from pipeline.disk.parts import write_parts
from pipeline.disk.tree import FolderTree
from pipeline.errors import ConfigurationError, MalformedFile, NotSupported, ReleaseError
from pipeline.host import Files
from pipeline.macho import read_slices

Timestamper = Callable[[bytes], bytes]
ChooseOptions = Callable[[str, SigningOptions], SigningOptions | None]
"""For nested code at a path in the bundle, given the options that it would be signed with: those to sign it with, or
None to keep the signature that it has."""

# Signing waits for the time-stamp authority most of the time.
_SIDE_BY_SIDE = 4


def sign_bundle(
    files: Files,
    bundle_in: Path,
    bundle_out: Path,
    options: SigningOptions,
    identity: Identity | None = None,
    timestamper: Timestamper | None = None,
    signing_time: datetime | None = None,
    *,
    nested: ChooseOptions | None = None,
) -> tuple[VerifiedSlice, ...]:
    """Sign a bundle and all nested code in it, into a new bundle that appears whole; `identity` None signs ad hoc.

    Nested code is signed first, what does not depend on each other side by side, with the same flags, era and identity,
    an identifier of its own and no entitlements, unless `nested` chooses otherwise. A stapled ticket is left out: it
    belongs to the signatures that are replaced. Returns what the signatures of the bundle's executable say. Raises
    SigningError that names everything codesign would refuse; ConfigurationError where there is no bundle.
    """
    if not bundle_in.is_dir():
        raise ConfigurationError("no such bundle", where=str(bundle_in))
    work = bundle_out.with_name(f".{bundle_out.name}.{os.getpid()}.signing")
    files.remove(work)
    try:
        refuse_bundle(FolderTree(bundle_in), bundle_in.name)
        files.copy_folder(bundle_in, work)
        signing = _Signing(
            files=files,
            folder=work,
            name=bundle_in.name,
            identity=identity,
            timestamper=timestamper,
            signing_time=signing_time,
            choose=nested or (lambda _path, given: given),
        )
        slices = signing.bundle("", options)
        files.remove(work / "Contents" / "CodeResources")
        files.move_folder(work, bundle_out)
    except ReleaseError as error:
        raise error.at(str(bundle_in)) from error.__cause__
    finally:
        files.remove(work)
    return slices


def verify_path(
    path: Path, *, anchors: Anchors, requirement: bytes | None = None, strict_padding: bool = False
) -> tuple[VerifiedSlice, ...]:
    """Verify a Mach-O file, or a bundle with all it holds; returns what the signatures of its slices say.

    Every slice must satisfy `requirement`, a compiled one. Raises VerificationError with file, slice and page, slot or
    region; of a bundle it names every path that is not as it was sealed.
    """
    expectations = Expectations(anchors=anchors, requirement=requirement, strict_padding=strict_padding)
    if not path.is_dir():
        return verify_file(path, expectations)
    try:
        return verify_bundle(FolderTree(path), path.name, expectations)
    except ReleaseError as error:
        raise error.at(str(path)) from error.__cause__


def executable_of(bundle: Path) -> Path:
    """A bundle's main executable. Raises MalformedFile where the folder is no bundle, or has none."""
    found = find_bundle(FolderTree(bundle), name=bundle.name)
    if not found.has_executable:
        raise MalformedFile("a bundle without an executable", where=str(bundle))
    return bundle / found.main_file


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signing:
    """One signing of a whole bundle, in place, in a folder of its own."""

    files: Files
    folder: Path
    name: str
    identity: Identity | None
    timestamper: Timestamper | None
    signing_time: datetime | None
    choose: ChooseOptions

    def bundle(self, root: str, options: SigningOptions, version: str | None = None) -> tuple[VerifiedSlice, ...]:
        """Sign what is inside the bundle, seal it, sign its executable."""
        tree = FolderTree(self.folder)
        bundle = find_bundle(tree, root, name=self.name if not root else "", version=version)
        if not bundle.has_executable:
            raise NotSupported("a bundle without an executable cannot be signed yet", where=root or self.name)
        paths = nested_code(tree, bundle)
        with ThreadPoolExecutor(max_workers=_SIDE_BY_SIDE) as pool:
            seals = pool.map(lambda path: self._nested(tree, join(bundle.base, path), options), paths)
            nested = dict(zip(paths, seals, strict=True))
        seal = build_seal(tree, bundle, self._hash_types(tree, bundle, options), nested)
        for entry in tree.entries(join(bundle.base, SIGNATURE_FOLDER)):
            self.files.remove(self.folder / bundle.base / SIGNATURE_FOLDER / entry.name)
        self.files.write(self.folder / bundle.seal_path, seal)
        inside = replace(_identified(options, bundle), info_plist=bundle.info_plist, code_resources=seal)
        return self._file(tree, bundle.main_file, inside, bundle.name or self.name)

    def _nested(self, tree: FolderTree, path: str, options: SigningOptions) -> NestedSeal:
        chosen = self.choose(path, _nested_options(options))
        entry = tree.entry(path)
        is_file = entry is not None and entry.kind is EntryKind.FILE
        if chosen is not None and is_file:
            self._file(tree, path, chosen, path)
        elif chosen is not None:
            for version in versions(tree, path) or (None,):
                self.bundle(path, chosen, version)
        main = path if is_file else find_bundle(tree, path).main_file
        with tree.open(main) as source:
            try:
                return nested_seal(source)
            except ReleaseError as error:
                raise error.at(main) from error.__cause__

    def _file(self, tree: FolderTree, path: str, options: SigningOptions, file_name: str) -> tuple[VerifiedSlice, ...]:
        with tree.open(path) as source:
            try:
                plan = sign_slices(
                    read_slices(source),
                    options,
                    file_name=file_name,
                    identity=self.identity,
                    timestamper=self.timestamper,
                    signing_time=self.signing_time,
                )
            except ReleaseError as error:
                raise error.at(path) from error.__cause__
            write_parts(self.files, plan.parts, self.folder / path, source.mode)
        return tuple(verified_slice(one, self.identity, self.signing_time) for one in plan.slices)

    def _hash_types(self, tree: FolderTree, bundle: Bundle, options: SigningOptions) -> Sequence[HashType]:
        """Those that the executable's CodeDirectories will have."""
        if options.hash_types:
            return options.hash_types
        with tree.open(bundle.main_file) as source:
            return default_hash_types(read_slices(source), options.era)


def _nested_options(options: SigningOptions) -> SigningOptions:
    """What nested code shares with the bundle around it: everything but what names or entitles it."""
    return replace(
        options,
        identifier=None,
        entitlements=None,
        requirements=None,
        info_plist=None,
        code_resources=None,
        constraints={},
    )


def _identified(options: SigningOptions, bundle: Bundle) -> SigningOptions:
    """CFBundleName is a bundle's identifier where nothing else is; the bundle's file name comes after it."""
    name = bundle.info.get("CFBundleName")
    if options.identifier or bundle.info.get("CFBundleIdentifier") or not isinstance(name, str) or not name:
        return options
    return replace(options, identifier=name if "." in name else options.prefix + name)
