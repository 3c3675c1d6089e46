"""Does our engine give an existing signature's own bytes? Signs again from the inputs that the signature records.

The inputs are identifier, team, flags, platform, requirements, entitlements, constraints, the hashes of what lies
outside the file (Info.plist, CodeResources) and the CMS; everything else is derived by the rules of an era. Each era is
tried both ways in which a file comes to be signed: over an existing LC_CODE_SIGNATURE, and after it was removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pipeline.codesign.allocation import deallocate
from pipeline.codesign.code_directory import Flags, HashType
from pipeline.codesign.decisions import SignatureInputs, SlotHash, default_hash_types
from pipeline.codesign.eras import ERAS, Era
from pipeline.codesign.signature import Signature, read_signature
from pipeline.codesign.signer import SignedSlice, lay_out, sign_slice
from pipeline.codesign.superblob import CONSTRAINT_SLOTS, Slot
from pipeline.errors import ReleaseError, VerificationError
from pipeline.macho import BytesSource, MachSlice, Source, parse_image, size_of

_BLOCK = 1024 * 1024


class Mode(StrEnum):
    RESIGN = "resign"
    """Over the existing LC_CODE_SIGNATURE."""
    FRESH = "fresh"
    """After the signature was removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """One slice: the (era, mode) pairs that give all its CodeDirectories, newest era first; of these, those that give
    the whole SuperBlob."""

    arch: str
    matches: tuple[tuple[str, Mode], ...]
    superblob_matches: tuple[tuple[str, Mode], ...]

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
    found: list[list[tuple[Era, Mode, bool]]] = [[] for _ in slices]
    whole_file: list[tuple[str, Mode]] = []
    for era in ERAS:
        for mode in Mode:
            signed = [
                _sign_again(one, signature, remembered, era, mode)
                for one, signature in zip(remembered, signatures, strict=True)
            ]
            for number, (again, signature) in enumerate(zip(signed, signatures, strict=True)):
                if again is not None and _blobs(again) == [each.blob for each in signature.directories]:
                    found[number].append((era, mode, again.superblob == signature.superblob))
            superblobs = [again.superblob if again else None for again in signed]
            if superblobs == [each.superblob for each in signatures] and _is_whole_file(
                source, remembered, signed, era
            ):
                whole_file.append((era.name, mode))
    return FileReproduction(
        slices=tuple(
            Reproduction(
                arch=one.arch,
                matches=tuple((era.name, mode) for era, mode, _whole in matches),
                superblob_matches=tuple((era.name, mode) for era, mode, whole in matches if whole),
            )
            for one, matches in zip(slices, found, strict=True)
        ),
        whole_file=tuple(whole_file),
    )


def _signature(one: MachSlice) -> Signature:
    signature = read_signature(one)
    if signature is None:
        raise VerificationError("not signed", where=f"slice {one.arch}")
    return signature


def _blobs(signed: SignedSlice) -> list[bytes]:
    return [directory.blob for directory in signed.directories]


def _sign_again(
    one: MachSlice, signature: Signature, slices: Sequence[MachSlice], era: Era, mode: Mode
) -> SignedSlice | None:
    """The slice signed by the era's rules; None where these would not have given such a signature at all."""
    hash_types = default_hash_types(slices, era)
    if hash_types != tuple(directory.hash_type for directory in signature.directories):
        return None
    try:
        target = one if mode is Mode.RESIGN else _stripped(one, era)
        return sign_slice(target, _recorded(signature, era, hash_types), lambda _directories: signature.cms)
    except ReleaseError:
        return None


def _stripped(one: MachSlice, era: Era) -> MachSlice:
    without = deallocate(one, era)
    image = parse_image(without)
    return replace(one, image=image, size=without.size, source=without)


def _recorded(signature: Signature, era: Era, hash_types: tuple[HashType, ...]) -> SignatureInputs:
    first = signature.directories[0]
    return SignatureInputs(
        era=era,
        identifier=first.identifier,
        team=first.team,
        flags=Flags(first.flags),
        hash_types=hash_types,
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
