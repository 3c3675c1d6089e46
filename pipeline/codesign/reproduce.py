"""Does our engine give an existing signature's own bytes? Signs again from the inputs that the signature records.

The inputs are identifier, team, flags, platform, requirements, entitlements, constraints, the hashes of what lies
outside the file (Info.plist, CodeResources) and the CMS; everything else is derived by the rules of an era. Each era is
tried both ways in which a file comes to be signed: over an existing LC_CODE_SIGNATURE, and after it was removed.

What codesign can also be told is taken from the signature only where no era's own rules give it: digest algorithms,
page size and runtime version first, then the room for the CMS. A slice that was signed in another file, and joined or
cut out since, needs the first as well: the slices beside it decided about its digest algorithms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from pipeline.codesign.allocation import deallocate
from pipeline.codesign.code_directory import Flags, HashType
from pipeline.codesign.decisions import Machine, SignatureInputs, SlotHash, default_hash_types
from pipeline.codesign.describe import Form, form_of
from pipeline.codesign.eras import ERAS, Era
from pipeline.codesign.signature import Signature, read_signature
from pipeline.codesign.signer import SignedSlice, default_page_size, lay_out, runtime_version, sign_slice
from pipeline.codesign.superblob import CONSTRAINT_SLOTS, Slot
from pipeline.errors import ReleaseError, VerificationError
from pipeline.macho import BytesSource, MachSlice, Source, parse_image, size_of

_BLOCK = 1024 * 1024


class Mode(StrEnum):
    RESIGN = "resign"
    """Over the existing LC_CODE_SIGNATURE."""
    FRESH = "fresh"
    """After the signature was removed."""


class _Told(IntEnum):
    """What is taken from the signature although the rules say it too; each goes beyond the one before."""

    NOTHING = 0
    OPTIONS = 1
    SIZE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """One slice: the (era, mode) pairs that give all its CodeDirectories, newest era first; of these, those that give
    the whole SuperBlob."""

    arch: str
    form: Form
    matches: tuple[tuple[str, Mode], ...]
    superblob_matches: tuple[tuple[str, Mode], ...]
    told: tuple[str, ...] = ()
    """Options of codesign that must have been given, since no era's own rules give the signature: digest-algorithm,
    pagesize, runtime-version, signature-size."""

    @property
    def is_identical(self) -> bool:
        return bool(self.matches)

    @property
    def eras(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(era for era, _mode in self.matches))

    @property
    def modes(self) -> tuple[Mode, ...]:
        return tuple(mode for mode in Mode if any(mode is found for _era, found in self.matches))


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReproduction:
    slices: tuple[Reproduction, ...]
    whole_file: tuple[tuple[str, Mode], ...]
    """The (era, mode) pairs that give the whole file, bytes between and behind slices included."""

    @property
    def is_identical(self) -> bool:
        return all(one.is_identical for one in self.slices)


def reproduce(source: Source, slices: Sequence[MachSlice]) -> FileReproduction:
    """Try every era on every slice of a signed file. Raises VerificationError where a slice is not signed."""
    remembered = [replace(one, source=_Remembering(one.source)) for one in slices]
    signatures = [_signature(one) for one in remembered]
    found: list[list[_Match]] = [[] for _ in slices]
    whole_file: list[tuple[str, Mode]] = []
    for told in _Told:
        open_slices = [number for number, matches in enumerate(found) if not matches]
        for era in ERAS if open_slices else ():
            for mode in Mode:
                signed = [
                    _sign_again(one, signature, remembered, era, mode, told=told)
                    for one, signature in zip(remembered, signatures, strict=True)
                ]
                for number in open_slices:
                    if (match := _match(signed[number], signatures[number], era, mode, told)) is not None:
                        found[number].append(match)
                superblobs = [again.superblob if again else None for again in signed]
                if superblobs == [each.superblob for each in signatures] and _is_whole_file(
                    source, remembered, signed, era
                ):
                    whole_file.append((era.name, mode))
    results = tuple(_result(*each, slices) for each in zip(slices, signatures, found, strict=True))
    likely = tuple(pair for pair in whole_file if all(pair in one.matches for one in results))
    return FileReproduction(slices=results, whole_file=likely)


@dataclass(frozen=True, slots=True)
class _Match:
    era: Era
    mode: Mode
    told: _Told
    whole: bool
    """The whole SuperBlob too?"""


def _match(again: SignedSlice | None, signature: Signature, era: Era, mode: Mode, told: _Told) -> _Match | None:
    if again is None or _blobs(again) != [each.blob for each in signature.directories]:
        return None
    return _Match(era, mode, told, again.superblob == signature.superblob)


def _result(
    one: MachSlice, signature: Signature, matches: Sequence[_Match], slices: Sequence[MachSlice]
) -> Reproduction:
    told = [(match, _told(one, signature, match, slices)) for match in matches]
    # An era that has to be told more than another is not the one.
    fewest = min((len(options) for _match, options in told), default=0)
    likely = [(match, options) for match, options in told if len(options) == fewest]
    return Reproduction(
        arch=one.arch,
        form=form_of(signature, one.image.signature.datasize if one.image.signature else None),
        matches=tuple((match.era.name, match.mode) for match, _options in likely),
        superblob_matches=tuple((match.era.name, match.mode) for match, _options in likely if match.whole),
        told=likely[0][1] if likely else (),
    )


def _told(one: MachSlice, signature: Signature, match: _Match, slices: Sequence[MachSlice]) -> tuple[str, ...]:
    """What the signature has otherwise than the era's rules give it."""
    first, era = signature.directories[0], match.era
    differs = {
        "digest-algorithm": _hash_types(signature) not in _default_hash_types(slices, era),
        "pagesize": first.page_size != default_page_size(one, era),
        "runtime-version": first.runtime != runtime_version(one, Flags(first.flags), era),
        "signature-size": match.told is _Told.SIZE,
    }
    return tuple(name for name, yes in differs.items() if yes)


def _hash_types(signature: Signature) -> tuple[HashType, ...]:
    return tuple(directory.hash_type for directory in signature.directories)


def _default_hash_types(slices: Sequence[MachSlice], era: Era) -> set[tuple[HashType, ...]]:
    return {default_hash_types(slices, era, machine) for machine in Machine}


def _signature(one: MachSlice) -> Signature:
    signature = read_signature(one)
    if signature is None:
        raise VerificationError("not signed", where=f"slice {one.arch}")
    return signature


def _blobs(signed: SignedSlice) -> list[bytes]:
    return [directory.blob for directory in signed.directories]


def _sign_again(
    one: MachSlice, signature: Signature, slices: Sequence[MachSlice], era: Era, mode: Mode, *, told: _Told
) -> SignedSlice | None:
    """The slice signed by the era's rules; None where these would not have given such a signature at all."""
    if told is _Told.SIZE and not _is_codesigns_own(signature):
        return None
    if told is _Told.NOTHING and _hash_types(signature) not in _default_hash_types(slices, era):
        return None
    try:
        target = one if mode is Mode.RESIGN else _stripped(one, era)
        return sign_slice(target, _inputs(one, signature, era, told), lambda _directories: signature.cms)
    except ReleaseError:
        return None


def _is_codesigns_own(signature: Signature) -> bool:
    """Does the CMS bear the mark of Apple's encoder? Other signers differ in nothing but the room that they leave."""
    return bool(signature.cms) and form_of(signature) is Form.CODESIGN


def _stripped(one: MachSlice, era: Era) -> MachSlice:
    without = deallocate(one, era)
    image = parse_image(without)
    return replace(one, image=image, size=without.size, source=without)


def _inputs(one: MachSlice, signature: Signature, era: Era, told: _Told) -> SignatureInputs:
    recorded, first = recorded_inputs(signature, era), signature.directories[0]
    if not told:
        return recorded
    size = one.image.signature.datasize if told is _Told.SIZE and one.image.signature else None
    return replace(recorded, runtime_version=first.runtime, page_size=first.page_size, datasize=size)


def recorded_inputs(signature: Signature, era: Era) -> SignatureInputs:
    """What a signature says went into it, to be signed again by the rules of an era."""
    first = signature.directories[0]
    return SignatureInputs(
        era=era,
        identifier=first.identifier,
        team=first.team,
        flags=Flags(first.flags),
        hash_types=_hash_types(signature),
        requirements=signature.blob(Slot.REQUIREMENTS) or b"",
        entitlements=signature.payload(Slot.ENTITLEMENTS),
        info_plist=_recorded_hash(signature, Slot.INFO_PLIST),
        code_resources=_recorded_hash(signature, Slot.CODE_RESOURCES),
        constraints={
            Slot(slot): payload for slot in CONSTRAINT_SLOTS if (payload := signature.payload(slot)) is not None
        },
        platform=first.platform,
    )


def _recorded_hash(signature: Signature, slot: Slot) -> SlotHash | None:
    hashes = {one.hash_type: one.special_hash(slot) for one in signature.directories}
    recorded: Mapping[HashType, bytes] = {kind: value for kind, value in hashes.items() if value is not None}
    return recorded.__getitem__ if len(recorded) == len(hashes) else None


def _is_whole_file(source: Source, slices: Sequence[MachSlice], signed: Sequence[SignedSlice | None], era: Era) -> bool:
    contents = [(one.parts, one.size) for one in signed if one is not None]
    if len(contents) != len(slices):
        return False
    try:
        parts = lay_out(slices, contents, era)
    except ReleaseError:
        return False
    if sum(map(size_of, parts)) != source.size:
        return False
    offset = 0
    for part in parts:
        if not _is_at(source, offset, BytesSource(part) if isinstance(part, bytes) else part):
            return False
        offset += size_of(part)
    return True


def _is_at(source: Source, offset: int, part: Source) -> bool:
    for at in range(0, part.size, _BLOCK):
        length = min(_BLOCK, part.size - at)
        if source.read(offset + at, length) != part.read(at, length):
            return False
    return True


class _Remembering:
    """A Source that hashes the same pages once, however many eras ask."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._known: dict[tuple[str, int, int, int], list[bytes]] = {}

    @property
    def size(self) -> int:
        return self._source.size

    def read(self, offset: int, length: int) -> bytes:
        return self._source.read(offset, length)

    def digests(self, algorithms: Sequence[str], page_size: int, limit: int, start: int = 0) -> dict[str, list[bytes]]:
        missing = [name for name in algorithms if (name, page_size, limit, start) not in self._known]
        if missing:
            for name, hashes in self._source.digests(missing, page_size, limit, start).items():
                self._known[name, page_size, limit, start] = hashes
        return {name: list(self._known[name, page_size, limit, start]) for name in algorithms}
