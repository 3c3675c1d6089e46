"""Signing, as a plan: images and options in, the parts of the signed file out. Nothing is read twice or written here.

Order of work as in Security `signer.cpp` (signMachO): decide what all slices share (`decisions`), reserve room in each,
hash what the slice will then be, sign the CodeDirectories.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pipeline.codesign.allocation import allocate, check_signable, estimate, signing_extent
from pipeline.codesign.cms import Identity, build_cms
from pipeline.codesign.code_directory import (
    CodeDirectory,
    Flags,
    HashType,
    Version,
    build_code_directory,
    directory_size,
    least_version,
)
from pipeline.codesign.decisions import SignatureInputs, decide
from pipeline.codesign.entitlements import entitlements_der, exec_seg_flags, parse_entitlements
from pipeline.codesign.eras import ALWAYS, Era
from pipeline.codesign.library_requirements import library_requirement
from pipeline.codesign.options import SigningOptions
from pipeline.codesign.requirements import RequirementType, build_requirement_set, parse_requirement_set
from pipeline.codesign.superblob import (
    Blob,
    Magic,
    Slot,
    build_blob,
    build_slot_list,
    build_superblob,
)
from pipeline.errors import ConfigurationError, SigningError
from pipeline.macho import FileType, MachSlice, Part, Platform, Source, size_of
from pipeline.macho import constants as c
from pipeline.macho.universal import page_alignment, place_slices, universal_parts

MakeCms = Callable[[Sequence[CodeDirectory]], bytes]
"""CodeDirectories (that of slot 0 first) to the bytes of a CMS signature; none at all for ad hoc."""

_PAGE_4K = 4096
_EXEC_MAIN_BINARY = 0x1


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedSlice:
    """One slice's new signature; its first CodeDirectory is that of slot 0."""

    arch: str
    directories: tuple[CodeDirectory, ...]
    superblob: bytes = field(repr=False)
    parts: tuple[Part, ...] = field(repr=False)
    """The whole slice, to be written in order."""

    @property
    def size(self) -> int:
        return sum(map(size_of, self.parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningPlan:
    slices: tuple[SignedSlice, ...]
    parts: tuple[Part, ...] = field(repr=False)
    """The whole file, to be written in order."""


def sign_slices(
    slices: Sequence[MachSlice],
    options: SigningOptions,
    *,
    file_name: str,
    identity: Identity | None = None,
    timestamper: Callable[[bytes], bytes] | None = None,
    signing_time: datetime | None = None,
) -> SigningPlan:
    """Sign every slice of a file, over its old signatures where it has some.

    `file_name` gives the identifier where nothing else does; `identity` None signs ad hoc; `timestamper` turns the
    signature's bytes into an RFC 3161 token. Raises SigningError where codesign would refuse, NotSupported for a kind
    of file that has no signature, MalformedFile for one that contradicts itself; the slice is named.
    """
    inputs = decide(slices, options, file_name=file_name, identity=identity)

    def make_cms(directories: Sequence[CodeDirectory]) -> bytes:
        if identity is None:
            return b""
        blobs = [directory.blob for directory in directories]
        return build_cms(identity, blobs, options.era, signing_time=signing_time, timestamper=timestamper)

    return plan_signatures(slices, inputs, make_cms)


def plan_signatures(slices: Sequence[MachSlice], inputs: SignatureInputs, make_cms: MakeCms) -> SigningPlan:
    """Sign every slice with inputs that are decided, and lay out the file as the era's codesign does."""
    if len({one.image.filetype for one in slices}) > 1:
        raise SigningError("the slices are of different file types")
    signed = []
    for one in slices:
        try:
            signed.append(sign_slice(one, inputs, make_cms))
        except (SigningError, ConfigurationError) as error:
            raise error.at(f"slice {one.arch}") from None
    parts = lay_out(slices, [(one.parts, one.size) for one in signed], inputs.era)
    return SigningPlan(slices=tuple(signed), parts=parts)


def lay_out(
    slices: Sequence[MachSlice], contents: Sequence[tuple[tuple[Part, ...], int]], era: Era
) -> tuple[Part, ...]:
    """A file around the new contents (parts and size) of its slices: universal where it was, the same rows in order."""
    rows = [one.fat for one in slices if one.fat is not None]
    if not rows:
        return contents[0][0]
    alignments = [14 if era.uniform_alignment else page_alignment(row.cputype) for row in rows]
    kinds = [(row.cputype, row.cpusubtype) for row in rows]
    entries = place_slices(kinds, [size for _parts, size in contents], alignments)
    return universal_parts(entries, [parts for parts, _size in contents])


def sign_slice(one: MachSlice, inputs: SignatureInputs, make_cms: MakeCms) -> SignedSlice:
    """Sign one slice with inputs that are decided; raises as `sign_slices` does, without naming the slice."""
    era = inputs.era
    if one.image.cputype == c.CPU_TYPE_X86 and inputs.flags & Flags.LIBRARY_VALIDATION:
        raise SigningError("library validation is not possible for i386")
    check_signable(one.image)
    blobs = _blobs(one, inputs)
    page_size = inputs.page_size or default_page_size(one, era)
    pages = -(-signing_extent(one.image) // page_size)
    drafts = [_directory(one, inputs, hash_type, page_size, blobs) for hash_type in inputs.hash_types]
    sizes = [
        directory_size(era.newest_directory, replace(draft, code=bytes(pages * draft.hash_type.size)))
        for draft in drafts
    ]
    room = allocate(one, inputs.datasize or estimate(era, [blob.data for blob in blobs], sizes), era)
    code = _page_hashes(room.code, inputs.hash_types, page_size)
    directories = tuple(
        _finish(replace(draft, code=code[draft.hash_type], code_limit=room.code.size), era) for draft in drafts
    )
    superblob = _superblob(blobs, directories, make_cms(directories))
    if len(superblob) > room.datasize:
        raise SigningError(
            f"the signature has {len(superblob)} bytes, codesign reserves {room.datasize}",
            remedy="the CMS signature is too large: a long certificate chain, or a large time-stamp token",
        )
    padding = bytes(room.datasize - len(superblob))
    return SignedSlice(
        arch=one.arch,
        directories=directories,
        superblob=superblob,
        parts=(*room.code.parts, superblob + padding),
    )


def _page_hashes(code: Source, hash_types: Sequence[HashType], page_size: int) -> dict[HashType, bytes]:
    """For each hash type the hashes of all pages, one after the other; one pass over the code."""
    found = code.digests(sorted({kind.algorithm for kind in hash_types}), page_size, code.size)
    return {kind: b"".join(digest[: kind.size] for digest in found[kind.algorithm]) for kind in hash_types}


def default_page_size(one: MachSlice, era: Era) -> int:
    """Bytes under one hash: the era's on 64-bit ARM but for tvOS, whose oldest devices have small pages; else 4096."""
    build = one.image.build
    if one.image.cputype in c.ARM64_CPUS and not (build and build.platform == Platform.TVOS):
        return era.arm64_page_size
    return _PAGE_4K


def _blobs(one: MachSlice, inputs: SignatureInputs) -> list[Blob]:
    """The parts of the SuperBlob that are known before the CodeDirectories are."""
    executable = one.image.filetype == FileType.EXECUTE
    blobs = [Blob(slot=Slot.REQUIREMENTS, data=_requirements(one, inputs))]
    if inputs.entitlements is not None and (executable or inputs.era.entitlements_on_libraries):
        blobs.append(Blob(slot=Slot.ENTITLEMENTS, data=build_blob(Magic.ENTITLEMENTS, inputs.entitlements)))
        form = inputs.era.entitlements_der
        if executable and form is not None:
            encoded = entitlements_der(parse_entitlements(inputs.entitlements), form)
            blobs.append(Blob(slot=Slot.ENTITLEMENTS_DER, data=build_blob(Magic.ENTITLEMENTS_DER, encoded)))
    for slot, encoded in inputs.constraints.items():
        blobs.append(Blob(slot=slot, data=build_blob(Magic.LAUNCH_CONSTRAINT, encoded)))
    if inputs.era.lists_slots:
        outside = {Slot.INFO_PLIST: inputs.info_plist, Slot.CODE_RESOURCES: inputs.code_resources}
        special = {*(blob.slot for blob in blobs), *(slot for slot, content in outside.items() if content is not None)}
        listed = build_slot_list(special, len(inputs.hash_types))
        blobs.append(Blob(slot=Slot.SLOT_LIST, data=build_blob(Magic.WRAPPER, listed)))
    return blobs


def _requirements(one: MachSlice, inputs: SignatureInputs) -> bytes:
    """The set of all slices, and what this slice's linker recorded of its libraries unless the set speaks of them."""
    recorded = library_requirement(one)
    if recorded is None:
        return inputs.requirements
    given = parse_requirement_set(inputs.requirements)
    return build_requirement_set({RequirementType.LIBRARY: recorded, **given})


def _directory(
    one: MachSlice, inputs: SignatureInputs, hash_type: HashType, page_size: int, blobs: Sequence[Blob]
) -> CodeDirectory:
    """A CodeDirectory without its page hashes; the version is not chosen yet."""
    hashes = {blob.slot: hash_type.digest(blob.hashed) for blob in blobs}
    if inputs.info_plist is not None:
        hashes[Slot.INFO_PLIST] = inputs.info_plist(hash_type)
    if inputs.code_resources is not None:
        hashes[Slot.CODE_RESOURCES] = inputs.code_resources(hash_type)
    empty = bytes(hash_type.size)
    base, limit, segment_flags = _exec_segment(one, inputs)
    return CodeDirectory(
        version=inputs.era.newest_directory,
        flags=inputs.flags,
        identifier=inputs.identifier,
        team=inputs.team if inputs.era.newest_directory >= Version.TEAM else None,
        hash_type=hash_type,
        page_size=page_size,
        code_limit=0,
        platform=inputs.platform,
        special=tuple(hashes.get(slot, empty) for slot in range(1, max(hashes) + 1)),
        code=b"",
        exec_segment_base=base,
        exec_segment_limit=limit,
        exec_segment_flags=segment_flags,
        runtime=runtime_version(one, inputs.flags, inputs.era, inputs.runtime_version),
    )


def _exec_segment(one: MachSlice, inputs: SignatureInputs) -> tuple[int, int, int]:
    executable = one.image.filetype == FileType.EXECUTE
    flags = _EXEC_MAIN_BINARY if executable else 0
    if executable and inputs.entitlements is not None:
        flags |= exec_seg_flags(parse_entitlements(inputs.entitlements))
    text = one.image.segment("__TEXT")
    if not _names_exec_segment(one, inputs.era) or text is None or inputs.era.newest_directory < Version.EXEC_SEGMENT:
        return 0, 0, flags
    return text.fileoff, text.filesize, flags


def _names_exec_segment(one: MachSlice, era: Era) -> bool:
    build = one.image.build
    if build is None or build.platform == 0:
        return False
    if era.exec_segment_since is not None:
        return build.minimum >= era.exec_segment_since.get(build.platform, ALWAYS)
    return build.platform != Platform.MACOS or era.exec_segment_on_macos


def runtime_version(one: MachSlice, flags: Flags, era: Era, given: int | None = None) -> int:
    """The version of the hardened runtime where the flag asks for one: that which is given, or the SDK's."""
    if not flags & Flags.RUNTIME or era.newest_directory < Version.RUNTIME:
        return 0
    if given:
        return given
    return one.image.build.sdk if one.image.build else 0


def _finish(directory: CodeDirectory, era: Era) -> CodeDirectory:
    version = least_version(
        era.newest_directory,
        runtime=directory.runtime,
        exec_segment_limit=directory.exec_segment_limit,
        code_limit=directory.code_limit,
        team=directory.team,
    )
    return build_code_directory(replace(directory, version=version))


def _superblob(blobs: Sequence[Blob], directories: Sequence[CodeDirectory], cms: bytes) -> bytes:
    slots = [Slot.CODE_DIRECTORY, *range(Slot.ALTERNATE_DIRECTORIES, Slot.ALTERNATE_DIRECTORIES + len(directories) - 1)]
    placed = [Blob(slot=slot, data=one.blob) for slot, one in zip(slots, directories, strict=True)]
    signature = Blob(slot=Slot.CMS, data=build_blob(Magic.WRAPPER, cms))
    return build_superblob([*placed, *blobs, signature])
