"""Verification of a Mach-O file: every byte is under a hash, is a signature that holds, or is a zero between slices.

Here: the file's layout, the digests of pages and parts, what the parts say of each other. Not here: CMS and chains
(`cms`), requirements (`requirements`), the files of a bundle beside its executable (`seal`). Rules as in Security
`StaticCode.cpp` and `macho++.cpp`, made stricter where those leave bytes that nothing covers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.codesign.allocation import check_signable
from pipeline.codesign.certificates import Anchors
from pipeline.codesign.cms import VerifiedCms, verify_cms
from pipeline.codesign.code_directory import CodeDirectory, Flags
from pipeline.codesign.decisions import embedded_info_plist
from pipeline.codesign.entitlements import DerForm, entitlements_der, parse_entitlements, parse_entitlements_der
from pipeline.codesign.identifiers import parse_info_plist
from pipeline.codesign.requirements import SignatureFacts, designated, requirement_text, satisfies
from pipeline.codesign.signature import Signature, read_signature
from pipeline.codesign.superblob import ALTERNATE_SLOTS, Slot, build_slot_list, slot_name
from pipeline.codesign.verified import VerifiedSlice
from pipeline.errors import MalformedFile, ReleaseError, VerificationError
from pipeline.macho import FatArch, MachSlice, Source, build_fat_header, first_nonzero, holds_macho, read_slices
from pipeline.macho.fields import shown
from pipeline.macho.universal import page_alignment, place_slices

# Parts that no special slot covers: the CMS vouches for the CodeDirectories, and itself.
_SIGNED_ITSELF = frozenset({Slot.CODE_DIRECTORY, Slot.CMS, *ALTERNATE_SLOTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """What a caller knows or asks beside the file itself."""

    anchors: Anchors
    requirement: bytes | None = None
    """A compiled requirement that every slice must satisfy."""
    info_plist: bytes | None = None
    """Of the bundle that the file is the executable of: the content of slot 1."""
    code_resources: bytes | None = None
    """Of that bundle: the content of slot 3."""
    strict_padding: bool = False
    """Refuse an earlier signature's bytes behind this one, and a universal header that neither lipo nor codesign
    writes. Apple's own files can have the first; nothing covers either."""
    at: datetime | None = None
    """When certificates must be valid where no time stamp says it."""


def verify_slices(source: Source, expectations: Expectations) -> tuple[VerifiedSlice, ...]:
    """Verify every slice of a Mach-O file.

    Raises VerificationError with slice and page, slot or region in `where`; MalformedFile only for a file that does not
    begin as a Mach-O file does.
    """
    if not holds_macho(source):
        raise MalformedFile("not a Mach-O file")
    try:
        slices = read_slices(source)
        _check_universal(source, slices, strict=expectations.strict_padding)
    except ReleaseError as error:
        raise VerificationError(error.message, where=error.where or "header", remedy=error.remedy) from error
    plists = [plist for plist in map(_embedded, slices) if plist is not None]
    verified = []
    for one in slices:
        try:
            verified.append(_verify_slice(one, expectations, plists))
        except VerificationError as error:
            raise error.at(f"slice {one.arch}") from None
        except ReleaseError as error:
            where = f"slice {one.arch}" + (f": {error.where}" if error.where else "")
            raise VerificationError(error.message, where=where, remedy=error.remedy) from error
    return tuple(verified)


def _embedded(one: MachSlice) -> bytes | None:
    try:
        return embedded_info_plist(one)
    except MalformedFile:
        return None


def _check_universal(source: Source, slices: Sequence[MachSlice], *, strict: bool) -> None:
    entries = [one.fat for one in slices if one.fat is not None]
    if not entries:
        return
    end = len(build_fat_header(entries))
    for entry in sorted(entries, key=lambda entry: entry.offset):
        _check_zeros(source, end, entry.offset, f"gap before slice {entry.arch}")
        end = entry.offset + entry.size
    if end != source.size:
        raise VerificationError(f"{source.size - end} bytes lie behind the last slice", where="end of the file")
    if strict and tuple(entries) not in _known_layouts(slices):
        raise VerificationError("not as lipo or codesign lay slices out", where="universal header")


def _known_layouts(slices: Sequence[MachSlice]) -> Iterator[tuple[FatArch, ...]]:
    kinds, sizes = [(one.image.cputype, one.image.cpusubtype) for one in slices], [one.size for one in slices]
    yield place_slices(kinds, sizes, [14] * len(slices))
    yield place_slices(kinds, sizes, [page_alignment(one.image.cputype) for one in slices])


def _check_zeros(source: Source, start: int, end: int, region: str) -> None:
    wrong = first_nonzero(source, start, end)
    if wrong is not None:
        raise VerificationError(f"the byte at {wrong:#x} is not zero", where=region)


def _verify_slice(one: MachSlice, expectations: Expectations, plists: Sequence[bytes]) -> VerifiedSlice:
    check_signable(one.image)
    signature = read_signature(one)
    command = one.image.signature
    if signature is None or command is None:
        raise VerificationError("not signed", remedy="sign it: invoke file.sign")
    residue = _check_padding(one, command.dataoff + len(signature.superblob), strict=expectations.strict_padding)
    check_directories(signature, command.dataoff)
    _check_pages(one, signature)
    return judge(one.arch, signature, expectations, plists, residue=residue)


def judge(
    arch: str, signature: Signature, expectations: Expectations, plists: Sequence[bytes], *, residue: bool = False
) -> VerifiedSlice:
    """What a signature says, once its CodeDirectories are known to fit the code: its parts, CMS and requirements hold.

    `plists` are embedded in the code, each of which slot 1 may be of. Raises VerificationError.
    """
    not_judged = _check_parts(signature, expectations, plists)
    entitlements = _check_entitlements(signature)
    cms = _check_cms(signature, expectations)
    requirement = _check_requirements(signature, cms, entitlements, expectations, plists)
    best = signature.best
    return VerifiedSlice(
        arch=arch,
        cdhash=best.cdhash.hex(),
        cdhashes=tuple(directory.cdhash.hex() for directory in signature.directories),
        identifier=best.identifier,
        team=best.team,
        flags=best.flag_names,
        authorities=cms.authorities if cms else (),
        timestamp=cms.timestamp if cms else None,
        signing_time=cms.signing_time if cms else None,
        entitlements=entitlements,
        requirement=requirement,
        residue=residue,
        not_judged=(*not_judged, *_unproved(best.team, cms)),
    )


def _unproved(team: str | None, cms: VerifiedCms | None) -> Iterator[str]:
    """What a signature says without anybody's word for it."""
    yield from cms.not_judged if cms else ("who signed it: it is ad hoc",)
    if team is not None and (cms is None or cms.team is None):
        yield f"the team {team}: no certificate of a developer says it"


def _check_padding(one: MachSlice, start: int, *, strict: bool) -> bool:
    """Is there something behind the signature? Refused where padding must be zeros."""
    if strict:
        _check_zeros(one.source, start, one.size, "padding after the signature")
    return first_nonzero(one.source, start, one.size) is not None


def check_directories(signature: Signature, dataoff: int) -> None:
    """The CodeDirectories agree with each other and cover the image up to the signature."""
    first = signature.directories[0]
    for directory in signature.directories:
        where = f"CodeDirectory {directory.hash_type.label}"
        if _facts(directory) != _facts(first):
            raise VerificationError("it says other things than the CodeDirectory of slot 0", where=where)
        if directory.code_limit != dataoff:
            raise VerificationError(
                f"it covers {directory.code_limit:#x} bytes, there are {dataoff:#x} to cover", where=where
            )
        pages = -(-dataoff // directory.page_size) if directory.page_size else 1
        if directory.code_slots != pages:
            raise VerificationError(f"it has hashes of {directory.code_slots} pages, there are {pages}", where=where)


def _facts(directory: CodeDirectory) -> tuple[object, ...]:
    filled = tuple(slot for slot in range(1, len(directory.special) + 1) if directory.special_hash(slot))
    return (
        directory.version,
        directory.flags,
        directory.identifier,
        directory.team,
        directory.page_size,
        directory.platform,
        directory.exec_segment_base,
        directory.exec_segment_limit,
        directory.exec_segment_flags,
        directory.runtime,
        filled,
    )


def _check_pages(one: MachSlice, signature: Signature) -> None:
    first = signature.directories[0]
    algorithms = sorted({directory.hash_type.algorithm for directory in signature.directories})
    found = one.source.digests(algorithms, first.page_size, first.code_limit)
    for directory in signature.directories:
        size = directory.hash_type.size
        pages = found[directory.hash_type.algorithm]
        if b"".join(page[:size] for page in pages) == directory.code:
            continue
        number = next(index for index, page in enumerate(pages) if page[:size] != directory.code_hash(index))
        raise _wrong_page(one, number, first)


def _wrong_page(one: MachSlice, number: int, directory: CodeDirectory) -> VerificationError:
    start = number * directory.page_size
    end = min(start + directory.page_size, directory.code_limit) if directory.page_size else directory.code_limit
    inside = [shown(segment.name) for segment in one.image.segments if segment.fileoff < end and segment.end > start]
    region = "header and load commands, " if start < len(one.image.head) else ""
    where = f"page {number} ({region}{', '.join(inside) or 'no segment'}: bytes {start:#x} to {end:#x} of the slice)"
    return VerificationError("its hash is not that of the CodeDirectory", where=where)


def _check_parts(signature: Signature, expectations: Expectations, plists: Sequence[bytes]) -> tuple[str, ...]:
    """The special slots against their content; what cannot be judged is returned."""
    given = {Slot.INFO_PLIST: expectations.info_plist, Slot.CODE_RESOURCES: expectations.code_resources}
    contents = {blob.slot: [blob.hashed] for blob in signature.blobs if blob.slot not in _SIGNED_ITSELF}
    contents |= {int(slot): [content] for slot, content in given.items() if content is not None}
    not_judged: dict[str, None] = {}
    for directory in signature.directories:
        hashed = {slot for slot in range(1, len(directory.special) + 1) if directory.special_hash(slot)}
        for slot in sorted(hashed | contents.keys()):
            # codesign takes an embedded Info.plist from one slice and binds it to all.
            possible = contents.get(slot) or (plists if slot == Slot.INFO_PLIST else ())
            if slot not in hashed:
                raise VerificationError("the CodeDirectory has no hash of it", where=slot_name(slot))
            if possible:
                if directory.special_hash(slot) not in [directory.hash_type.digest(content) for content in possible]:
                    raise VerificationError("its hash is not that of the CodeDirectory", where=slot_name(slot))
            elif slot in given:
                not_judged[f"{slot_name(slot)}: it belongs to a bundle"] = None
            else:
                raise VerificationError("the CodeDirectory has a hash of it, it is not there", where=slot_name(slot))
    _check_slot_list(signature)
    return tuple(not_judged)


def _check_slot_list(signature: Signature) -> None:
    """What slot 4 says there is, there is, and nothing besides (Security: validateTopDirectory)."""
    listed, first = signature.payload(Slot.SLOT_LIST), signature.directories[0]
    special = [slot for slot in range(1, len(first.special) + 1) if first.special_hash(slot)]
    if listed is not None and listed != build_slot_list(special, len(signature.directories)):
        raise VerificationError("it does not list the slots that there are", where=slot_name(Slot.SLOT_LIST))


def _check_entitlements(signature: Signature) -> dict[str, Any] | None:
    """The entitlements; their DER, which the kernel reads, must say what their XML says."""
    xml, encoded = signature.payload(Slot.ENTITLEMENTS), signature.payload(Slot.ENTITLEMENTS_DER)
    if xml is None:
        return parse_entitlements_der(encoded) if encoded is not None else None
    values = parse_entitlements(xml)
    if encoded is not None and encoded not in [entitlements_der(values, form) for form in DerForm]:
        raise VerificationError("it does not say what the XML entitlements say", where=slot_name(Slot.ENTITLEMENTS_DER))
    return values


def _check_cms(signature: Signature, expectations: Expectations) -> VerifiedCms | None:
    ad_hoc = bool(signature.best.flags & Flags.ADHOC)
    where = slot_name(Slot.CMS)
    if not signature.cms:
        if not ad_hoc:
            raise VerificationError("there is none, and the signature does not say that it is ad hoc", where=where)
        return None
    if ad_hoc:
        raise VerificationError("there is one, and the signature says that it is ad hoc", where=where)
    try:
        directories = [directory.blob for directory in signature.directories]
        return verify_cms(signature.cms, directories, expectations.anchors, at=expectations.at)
    except VerificationError as error:
        raise error.at(where) from None
    except ReleaseError as error:
        raise VerificationError(error.message, where=where) from error


def _check_requirements(
    signature: Signature,
    cms: VerifiedCms | None,
    entitlements: Mapping[str, Any] | None,
    expectations: Expectations,
    plists: Sequence[bytes],
) -> str | None:
    """The designated requirement as text. The code must satisfy it, and what the caller asks."""
    best = signature.best
    info = expectations.info_plist or next(iter(plists), None)
    facts = SignatureFacts(
        identifier=best.identifier,
        chain=cms.chain if cms else (),
        anchors=expectations.anchors,
        cdhash=best.cdhash,
        info=parse_info_plist(info) if info is not None and best.special_hash(Slot.INFO_PLIST) else None,
        entitlements=entitlements,
        platform=best.platform,
    )
    text = None
    requirements = signature.blob(Slot.REQUIREMENTS)
    own = designated(requirements) if requirements is not None else None
    if own is not None:
        text = requirement_text(own)
        if not satisfies(own, facts):
            raise VerificationError(f"it does not satisfy its designated requirement: {text}")
    if expectations.requirement is not None and not satisfies(expectations.requirement, facts):
        raise VerificationError(f"it does not satisfy: {requirement_text(expectations.requirement)}")
    return text
