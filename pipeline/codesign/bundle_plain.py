"""Signatures of bundles whose executable is no Mach-O file: the parts are files beside the seal, since none holds them.

The executable (a script, a static library) is hashed whole; where there is none the Info.plist stands for it. Names and
contents of the files as in Security's `bundlediskrep.cpp` and `codedirectory.cpp` (canonicalSlotName, which calls
alternate CodeDirectories requirements). A script's host requirement, which codesign takes from the interpreter that the
signing Mac has, is not made up here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from pipeline.codesign.bundle import SIGNATURE_FOLDER, Bundle
from pipeline.codesign.cms import Identity, build_cms
from pipeline.codesign.code_directory import (
    CodeDirectory,
    HashType,
    Version,
    build_code_directory,
    least_version,
)
from pipeline.codesign.decisions import SignatureInputs, decided, default_hash_types
from pipeline.codesign.identifiers import canonical_identifier
from pipeline.codesign.options import SigningOptions
from pipeline.codesign.signature import Signature, parse_signature
from pipeline.codesign.superblob import ALTERNATE_SLOTS, Blob, Magic, Slot, build_blob, build_slot_list, build_superblob
from pipeline.codesign.tree import EntryKind, Tree, join
from pipeline.codesign.verified import VerifiedSlice
from pipeline.codesign.verifier import Expectations, check_directories, judge
from pipeline.errors import MalformedFile, SigningError, VerificationError
from pipeline.macho import Source, read_all

ARCHITECTURE = "none"
"""Stands where a slice's architecture does."""

_NAMES: Mapping[int, str] = {
    Slot.CODE_DIRECTORY: "CodeDirectory",
    Slot.REQUIREMENTS: "CodeRequirements",
    Slot.SLOT_LIST: "CodeTopDirectory",
    **{slot: f"CodeRequirements-{number}" for number, slot in enumerate(ALTERNATE_SLOTS, 1)},
    Slot.CMS: "CodeSignature",
}
# These are in their file without the blob that is around them in a SuperBlob.
_BARE = (Slot.SLOT_LIST, Slot.CMS)
PLAIN_FILES = frozenset(_NAMES.values())
"""What the folder of the signature may hold beside the seal."""


def plain_hash_types(options: SigningOptions) -> tuple[HashType, ...]:
    """Those of the CodeDirectories that such a bundle gets: as code of an unknown platform."""
    return options.hash_types or default_hash_types((), options.era)


def sign_plain(
    main: Source,
    bundle: Bundle,
    options: SigningOptions,
    *,
    name: str,
    identity: Identity | None,
    timestamper: Callable[[bytes], bytes] | None,
    signing_time: datetime | None,
) -> dict[str, bytes]:
    """The files of a signature, by their names in the signature's folder. `main` is what stands for the executable;
    `options` hold Info.plist and seal; `name` is the bundle's, and its identifier where the Info.plist gives none.

    Raises SigningError where codesign would refuse.
    """
    if options.entitlements is not None or options.constraints:
        raise SigningError(
            "entitlements and constraints are a Mach-O file's, and the bundle's executable is none",
            where=bundle.main_file,
            remedy="give them to the program in it that is to have them (--nested-entitlements)",
        )
    inputs = decided(
        options,
        identity,
        identifier=_identifier(main, bundle, options, name, ad_hoc=identity is None),
        info_plist=options.info_plist,
        hash_types=plain_hash_types(options),
    )
    directories = plain_directories(main, inputs)
    cms = b""
    if identity is not None:
        blobs = [one.blob for one in directories]
        cms = build_cms(identity, blobs, options.era, signing_time=signing_time, timestamper=timestamper)
    slots = [Slot.CODE_DIRECTORY, *ALTERNATE_SLOTS]
    files = {_NAMES[slot]: one.blob for slot, one in zip(slots, directories, strict=False)}
    if (listed := _slot_list(inputs)) is not None:
        files[_NAMES[Slot.SLOT_LIST]] = listed
    return {**files, _NAMES[Slot.REQUIREMENTS]: inputs.requirements, _NAMES[Slot.CMS]: cms}


def plain_directories(main: Source, inputs: SignatureInputs) -> list[CodeDirectory]:
    """The CodeDirectories of what has no pages, that of slot 0 first."""
    return [_directory(main, inputs, kind) for kind in inputs.hash_types]


def read_plain(tree: Tree, bundle: Bundle) -> Signature | None:
    """The signature in the files beside a bundle's seal; None where there is no CodeDirectory."""
    blobs = []
    for slot, name in _NAMES.items():
        path = join(join(bundle.base, SIGNATURE_FOLDER), name)
        entry = tree.entry(path)
        if entry is None:
            continue
        if entry.kind is not EntryKind.FILE:
            raise MalformedFile("a part of the signature that is no file", where=path)
        with tree.open(path) as source:
            content = read_all(source)
        blobs.append(Blob(slot=slot, data=build_blob(Magic.WRAPPER, content) if slot in _BARE else content))
    if not any(blob.slot == Slot.CODE_DIRECTORY for blob in blobs):
        return None
    try:
        return parse_signature(build_superblob(blobs))
    except MalformedFile as error:
        raise error.at(join(bundle.base, SIGNATURE_FOLDER)) from None


def verify_plain(main: Source, signature: Signature, expectations: Expectations) -> VerifiedSlice:
    """What such a signature says; VerificationError unless it holds for `main` and for the expected parts."""
    check_directories(signature, main.size)
    for directory in signature.directories:
        if directory.page_size:
            raise VerificationError("its CodeDirectory hashes pages, of what is no executable")
        (found,) = main.digests([directory.hash_type.algorithm], 0, main.size)[directory.hash_type.algorithm]
        if found[: directory.hash_type.size] != directory.code:
            raise VerificationError("its hash is not that of the CodeDirectory")
    return judge(ARCHITECTURE, signature, expectations, ())


def _directory(main: Source, inputs: SignatureInputs, hash_type: HashType) -> CodeDirectory:
    hashes: dict[int, bytes] = {Slot.REQUIREMENTS: hash_type.digest(inputs.requirements)}
    for slot, content in ((Slot.INFO_PLIST, inputs.info_plist), (Slot.CODE_RESOURCES, inputs.code_resources)):
        if content is not None:
            hashes[slot] = content(hash_type)
    if (listed := _slot_list(inputs)) is not None:
        hashes[Slot.SLOT_LIST] = hash_type.digest(listed)
    (code,) = main.digests([hash_type.algorithm], 0, main.size)[hash_type.algorithm]
    directory = CodeDirectory(
        version=inputs.era.newest_directory,
        flags=inputs.flags,
        identifier=inputs.identifier,
        team=inputs.team if inputs.era.newest_directory >= Version.TEAM else None,
        hash_type=hash_type,
        page_size=0,
        code_limit=main.size,
        special=tuple(hashes.get(slot, bytes(hash_type.size)) for slot in range(1, max(hashes) + 1)),
        code=code[: hash_type.size],
        platform=inputs.platform,
        runtime=inputs.runtime_version or 0,
    )
    version = least_version(
        inputs.era.newest_directory,
        runtime=directory.runtime,
        exec_segment_limit=0,
        code_limit=directory.code_limit,
        team=directory.team,
    )
    return build_code_directory(replace(directory, version=version))


def _slot_list(inputs: SignatureInputs) -> bytes | None:
    outside = {Slot.INFO_PLIST: inputs.info_plist, Slot.CODE_RESOURCES: inputs.code_resources}
    special = [Slot.REQUIREMENTS, *(slot for slot, content in outside.items() if content is not None)]
    return build_slot_list(special, len(inputs.hash_types)) if inputs.era.lists_slots else None


def _identifier(main: Source, bundle: Bundle, options: SigningOptions, name: str, *, ad_hoc: bool) -> str:
    given = options.identifier or bundle.info.get("CFBundleIdentifier")
    if isinstance(given, str) and given:
        return given
    chosen = canonical_identifier(name)
    if "." not in chosen:
        chosen = options.prefix + chosen
    if "." in chosen or not ad_hoc:
        return chosen
    # What makes it unique is the file's own hash (SingleDiskRep::identification).
    return f"{chosen}-{hashlib.sha1(read_all(main), usedforsecurity=False).hexdigest()}"
