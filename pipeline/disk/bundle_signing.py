"""Bundles on disk signed: from the inside out, in a copy that takes its name whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from pipeline.codesign.bundle import SIGNATURE_FOLDER, Bundle, find_bundle, relative, versions
from pipeline.codesign.bundle_code import Part, parts
from pipeline.codesign.bundle_plain import ARCHITECTURE, plain_hash_types, read_plain, sign_plain
from pipeline.codesign.bundle_refusals import refuse_bundle
from pipeline.codesign.cms import Identity
from pipeline.codesign.code_directory import HashType
from pipeline.codesign.decisions import default_hash_types
from pipeline.codesign.entitlement_changes import entitlement_changes, recorded_entitlements
from pipeline.codesign.options import SigningOptions
from pipeline.codesign.seal import build_seal
from pipeline.codesign.seal_nested import nested_seal
from pipeline.codesign.signer import sign_slices
from pipeline.codesign.tree import join
from pipeline.codesign.verified import VerifiedSlice, said, verified_slice
from pipeline.disk.bundle_archives import Tell, sign_archives
from pipeline.disk.contents import Contents
from pipeline.disk.machofile import refuse_entitled_library
from pipeline.disk.parts import write_parts
from pipeline.disk.source import FileSource, open_source
from pipeline.disk.tree import FolderTree
from pipeline.errors import ConfigurationError, ReleaseError
from pipeline.host import Files
from pipeline.macho import read_slices

Timestamper = Callable[[bytes], bytes]
ChooseOptions = Callable[[str, SigningOptions], SigningOptions | None]
"""For code at a path in the bundle, given the options that it would be signed with: those to sign it with, or None to
keep it as it is. Of a bundle in the bundle the path is its root."""

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
    archives: bool = False,
    told: Tell | None = None,
    contents: Contents | None = None,
) -> tuple[VerifiedSlice, ...]:
    """Sign a bundle and all code in it, into a new bundle that appears whole; `identity` None signs ad hoc.

    Code inside is signed first, among the resources too, what does not depend on each other side by side; with the same
    flags, era and identity, an identifier of its own and no entitlements, unless `nested` chooses otherwise (libraries
    never get any); inside archives (jar, wheel, zip) too where `archives` is set. A stapled ticket is left out: it
    belongs to the signatures that are replaced. `told` hears of code in archives that is left as it is, and of every
    change of entitlements. The resources that the seal hashes are known to `contents` afterwards.

    Returns what the signatures of the bundle's executable say. Raises SigningError that names everything codesign would
    refuse; ConfigurationError where there is no bundle.
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
            main_file=find_bundle(FolderTree(work), name=bundle_in.name).main_file,
            identity=identity,
            timestamper=timestamper,
            signing_time=signing_time,
            choose=nested or (lambda _path, given: given),
            told=told or (lambda _path, _words: None),
            contents=contents,
        )
        sign_archives(files, work, partial(signing.member, options) if archives else None, signing.told)
        slices = signing.bundle("", options)
        files.remove(work / "Contents" / "CodeResources")
        files.move_folder(work, bundle_out)
    except ReleaseError as error:
        raise error.at(str(bundle_in)) from error.__cause__
    finally:
        files.remove(work)
    return slices


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signing:
    """One signing of a whole bundle, in place, in a folder of its own."""

    files: Files
    folder: Path
    name: str
    main_file: str
    """Of the outermost bundle: it alone may have entitlements whatever it is, as with codesign."""
    identity: Identity | None
    timestamper: Timestamper | None
    signing_time: datetime | None
    choose: ChooseOptions
    told: Tell
    contents: Contents | None

    def member(self, options: SigningOptions, file: Path, path: str) -> None:
        """Sign code in an archive, in a file of its own."""
        chosen = self.choose(path, _inner_options(options))
        if chosen is not None:
            with open_source(file) as source:
                self._sign(source, file, chosen, path, path.rpartition("/")[2])

    def bundle(self, root: str, options: SigningOptions, version: str | None = None) -> tuple[VerifiedSlice, ...]:
        """Sign what is inside the bundle, seal it, sign its executable."""
        tree = FolderTree(self.folder)
        bundle = find_bundle(tree, root, name=self.name if not root else "", version=version)
        inside = parts(tree, bundle)
        with ThreadPoolExecutor(max_workers=_SIDE_BY_SIDE) as pool:
            list(pool.map(lambda part: self._part(tree, part, options), inside))
        nested = {
            relative(part.path, bundle.base) or "": nested_seal(tree, part.path) for part in inside if part.nested
        }
        resources = FolderTree(self.folder, self.contents)
        seal = build_seal(resources, bundle, self._hash_types(tree, bundle, options), nested)
        for entry in tree.entries(join(bundle.base, SIGNATURE_FOLDER)):
            self.files.remove(self.folder / bundle.base / SIGNATURE_FOLDER / entry.name)
        self.files.write(self.folder / bundle.seal_path, seal)
        own = replace(_identified(options, bundle), info_plist=bundle.info_plist, code_resources=seal)
        if bundle.has_executable:
            return self._file(tree, bundle.main_file, own, bundle.name or self.name)
        return self._plain(tree, bundle, own)

    def _part(self, tree: FolderTree, part: Part, options: SigningOptions) -> None:
        chosen = self.choose(part.path, _inner_options(options))
        if chosen is None:
            return
        if not part.is_bundle:
            self._file(tree, part.path, chosen, part.path)
            return
        for version in versions(tree, part.path) or (None,):
            self.bundle(part.path, chosen, version)

    def _file(self, tree: FolderTree, path: str, options: SigningOptions, file_name: str) -> tuple[VerifiedSlice, ...]:
        with tree.open(path) as source:
            return self._sign(source, self.folder / path, options, path, file_name)

    def _sign(
        self, source: FileSource, place: Path, options: SigningOptions, path: str, file_name: str
    ) -> tuple[VerifiedSlice, ...]:
        """Sign a Mach-O file in place. `path` names it in messages; `file_name` where nothing else gives a name."""
        try:
            slices = read_slices(source)
            if path != self.main_file and (options.entitlements is not None or options.preserve_entitlements):
                refuse_entitled_library(slices)
            plan = sign_slices(
                slices,
                options,
                file_name=file_name,
                identity=self.identity,
                timestamper=self.timestamper,
                signing_time=self.signing_time,
            )
        except ReleaseError as error:
            raise error.at(path) from error.__cause__
        signed = tuple(verified_slice(one, self.identity, self.signing_time) for one in plan.slices)
        changes = entitlement_changes(recorded_entitlements(slices), signed[0].entitlements)
        write_parts(self.files, plan.parts, place, source.mode)
        if changes is not None:
            self.told(path, changes)
        return signed

    def _plain(self, tree: FolderTree, bundle: Bundle, options: SigningOptions) -> tuple[VerifiedSlice, ...]:
        """Sign a bundle without an executable; what its signature says is read back, since no plan made it."""
        with tree.open(bundle.main_file) as source:
            made = sign_plain(
                source,
                bundle,
                options,
                name=bundle.name or self.name,
                identity=self.identity,
                timestamper=self.timestamper,
                signing_time=self.signing_time,
            )
        for name, content in made.items():
            self.files.write(self.folder / bundle.base / SIGNATURE_FOLDER / name, content)
        signature = read_plain(tree, bundle)
        assert signature is not None, "it was written just now"
        return (said(ARCHITECTURE, signature, self.identity, self.signing_time),)

    def _hash_types(self, tree: FolderTree, bundle: Bundle, options: SigningOptions) -> Sequence[HashType]:
        """Those that the bundle's CodeDirectories will have."""
        if not bundle.has_executable:
            return plain_hash_types(options)
        if options.hash_types:
            return options.hash_types
        with tree.open(bundle.main_file) as source:
            return default_hash_types(read_slices(source), options.era)


def _inner_options(options: SigningOptions) -> SigningOptions:
    """What code in a bundle shares with the bundle around it: everything but what names or entitles it."""
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
