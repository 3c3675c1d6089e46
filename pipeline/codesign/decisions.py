"""What is decided before anything is signed, for all slices alike: identifier, team, flags, requirements, hash types.

`decide` follows codesign's rules from options, certificate and the slice that the signing machine would call its own
(Security `signer.cpp`, prepare and considerTeamID; `machorep.cpp`). How a slice is then signed is `signer`'s matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from pipeline.codesign.certificates import team_identifier
from pipeline.codesign.cms import Identity
from pipeline.codesign.code_directory import Flags, HashType, parse_flags
from pipeline.codesign.constraints import constraint_der
from pipeline.codesign.eras import Era
from pipeline.codesign.identifiers import default_identifier, parse_info_plist
from pipeline.codesign.options import SigningOptions
from pipeline.codesign.requirements import build_requirement_set, default_requirements, parse_requirement_set
from pipeline.codesign.signature import read_signature
from pipeline.codesign.superblob import CONSTRAINT_SLOTS, Slot
from pipeline.errors import SigningError
from pipeline.macho import MachSlice, Window, read_all

PAGE_SIZES = (4096, 8192, 16384, 32768, 65536)


class Machine(Enum):
    """What codesign runs on, with the architectures that are native there, the best first (NXFindBestFatArch)."""

    APPLE_SILICON = ("arm64e", "arm64")
    INTEL = ("x86_64h", "x86_64")


SlotHash = Callable[[HashType], bytes]
"""The hash of a special slot's content, for a CodeDirectory of some hash type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureInputs:
    """Everything that enters the CodeDirectories of all slices beside the code itself."""

    era: Era
    identifier: str
    team: str | None
    flags: Flags
    hash_types: tuple[HashType, ...]
    requirements: bytes
    """The set of every slice, before what its own linker recorded of libraries."""
    entitlements: bytes | None
    info_plist: SlotHash | None
    code_resources: SlotHash | None
    constraints: Mapping[Slot, bytes] = field(default_factory=dict)
    """Slot → DER."""
    runtime_version: int | None = None
    page_size: int | None = None
    datasize: int | None = None
    """Bytes to set aside for the signature; None: as codesign estimates them."""
    platform: int = 0


def decide(
    slices: Sequence[MachSlice], options: SigningOptions, *, file_name: str, identity: Identity | None
) -> SignatureInputs:
    """What all slices share, from options, certificate and the native slice."""
    era = options.era
    native = native_slice(slices)
    info_data = options.info_plist if options.info_plist is not None else embedded_info_plist(native)
    info = parse_info_plist(info_data) if info_data is not None else None
    identifier = options.identifier or default_identifier(
        file_name=file_name, info=info, native=native.image, ad_hoc=identity is None, prefix=options.prefix, era=era
    )
    hash_types = options.hash_types or default_hash_types(slices, era)
    if options.preserve_entitlements and options.entitlements is None:
        options = replace(options, entitlements=_recorded_entitlements(slices))
    return decided(options, identity, identifier=identifier, info_plist=info_data, hash_types=hash_types)


def decided(
    options: SigningOptions,
    identity: Identity | None,
    *,
    identifier: str,
    info_plist: bytes | None,
    hash_types: tuple[HashType, ...],
) -> SignatureInputs:
    """What follows from options and certificate once identifier and hash types are known, of whatever is signed."""
    info = parse_info_plist(info_plist) if info_plist is not None else None
    if not identifier or "\0" in identifier:
        raise SigningError(f"the identifier {identifier!r} cannot be written")
    if options.page_size is not None and options.page_size not in PAGE_SIZES:
        raise SigningError(f"a page size of {options.page_size}", remedy="a power of two from 4096 to 65536")
    return SignatureInputs(
        era=options.era,
        identifier=identifier,
        team=_team(options, identity),
        flags=_flags(options, info, ad_hoc=identity is None),
        hash_types=hash_types,
        requirements=_requirements(options, identifier, identity),
        entitlements=options.entitlements,
        info_plist=content_hash(info_plist),
        code_resources=content_hash(options.code_resources),
        constraints=_constraints(options),
        runtime_version=options.runtime_version,
        page_size=options.page_size,
    )


def native_slice(slices: Sequence[MachSlice], machine: Machine = Machine.APPLE_SILICON) -> MachSlice:
    """The slice that is the signing machine's own; where it has none, the first (Security `macho++.cpp`).

    codesign reads an embedded Info.plist and the UUID of a generated identifier from it, and what a seal says of nested
    code.
    """
    found = (one for arch in machine.value for one in slices if one.arch == arch)
    return next(found, slices[0])


def embedded_info_plist(one: MachSlice) -> bytes | None:
    """The section __TEXT,__info_plist, whole."""
    text = one.image.segment("__TEXT")
    section = next((s for s in text.sections if s.name == "__info_plist"), None) if text else None
    if section is None:
        return None
    return read_all(Window(one.source, section.offset, section.size))


def default_hash_types(
    slices: Sequence[MachSlice], era: Era, machine: Machine = Machine.APPLE_SILICON
) -> tuple[HashType, ...]:
    """SHA-256, with SHA-1 before it where a deployment target asks for it, or where there is no slice to say one."""
    if era.sha1_only:
        return (HashType.SHA1,)
    asked = [native_slice(slices, machine)] if slices and era.sha1_by_native_slice else slices
    if any(_needs_sha1(one, era) for one in asked) or (not slices and era.sha1_without_platform):
        return (HashType.SHA1, HashType.SHA256)
    return (HashType.SHA256,)


def _recorded_entitlements(slices: Sequence[MachSlice]) -> bytes | None:
    """Those of the signatures that the slices have. SigningError where they differ from slice to slice."""
    signatures = [read_signature(one) for one in slices]
    found = {one.payload(Slot.ENTITLEMENTS) if one is not None else None for one in signatures}
    if len(found) > 1:
        raise SigningError("its slices have different entitlements: one cannot preserve both")
    return found.pop()


def content_hash(content: bytes | None) -> SlotHash | None:
    return (lambda hash_type: hash_type.digest(content)) if content is not None else None


def _needs_sha1(one: MachSlice, era: Era) -> bool:
    build = one.image.build
    if build is None or build.platform == 0:
        return era.sha1_without_platform
    return build.minimum < era.sha1_below.get(build.platform, 0)


def _team(options: SigningOptions, identity: Identity | None) -> str | None:
    certified = team_identifier(identity.chain, options.anchors) if identity else None
    if certified and options.team and options.team != certified:
        raise SigningError(f"the team {options.team} is asked for, the certificate is of team {certified}")
    return certified or options.team


def _flags(options: SigningOptions, info: Mapping[str, Any] | None, *, ad_hoc: bool) -> Flags:
    flags = options.flags if options.flags is not None else _plist_flags((info or {}).get("CSFlags"))
    if flags & Flags.LINKER_SIGNED:
        raise SigningError("the flag linker-signed is the linker's own")
    return (flags | Flags.ADHOC) if ad_hoc else (flags & ~Flags.ADHOC)


def _plist_flags(value: object) -> Flags:
    """CSFlags of an Info.plist: a number, or names with commas between them."""
    if value is None:
        return Flags(0)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise SigningError("CSFlags in the Info.plist is neither a number nor a text")
    if isinstance(value, int):
        return Flags(value & 0xFFFFFFFF)
    return parse_flags(name.strip() for name in value.split(",") if name.strip())


def _requirements(options: SigningOptions, identifier: str, identity: Identity | None) -> bytes:
    """The set that is given; the identity's default designated requirement is added to one that has none."""
    default = default_requirements(identifier, identity.chain if identity else (), options.anchors)
    if options.requirements is None:
        return default
    return build_requirement_set({**parse_requirement_set(default), **parse_requirement_set(options.requirements)})


def _constraints(options: SigningOptions) -> dict[Slot, bytes]:
    wrong = [slot for slot in options.constraints if slot not in CONSTRAINT_SLOTS]
    if wrong:
        raise SigningError(f"slot {wrong[0]} holds no constraint")
    return {slot: constraint_der(plist) for slot, plist in options.constraints.items()}
