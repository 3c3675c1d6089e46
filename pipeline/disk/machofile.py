"""Mach-O files on disk: sign, strip, join, thin, verify. Each opens its inputs, makes a plan, writes one new file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.codesign import allocation
from pipeline.codesign.cms import Identity
from pipeline.codesign.entitlement_changes import entitlement_changes, recorded_entitlements
from pipeline.codesign.eras import DEFAULT_ERA, Era
from pipeline.codesign.options import SigningOptions
from pipeline.codesign.signer import sign_slices
from pipeline.codesign.stripper import strip_slices
from pipeline.codesign.verified import VerifiedSlice, verified_slice
from pipeline.codesign.verifier import Expectations, verify_slices
from pipeline.disk.contents import Contents
from pipeline.disk.parts import write_parts
from pipeline.disk.source import FileSource, open_source
from pipeline.errors import ConfigurationError, ReleaseError, SigningError
from pipeline.host import Files
from pipeline.macho import FileType, MachSlice, plan_universal, read_slices


def sign_file(
    files: Files,
    source: Path,
    output: Path,
    options: SigningOptions,
    identity: Identity | None = None,
    timestamper: Callable[[bytes], bytes] | None = None,
    signing_time: datetime | None = None,
    *,
    told: Callable[[str, str], None] | None = None,
) -> tuple[VerifiedSlice, ...]:
    """Sign a Mach-O file, thin or universal, into a new file with the same mode; `identity` None signs ad hoc.

    `told` hears of a change of entitlements: the file's name, and what changes.

    The source is read once for its hashes and copied once. Returns what the new signatures say. Raises SigningError,
    NotSupported or MalformedFile with the file and the slice, HostRefused where the host says no.
    """
    with open_source(source) as opened:
        try:
            slices = read_slices(opened)
            plan = sign_slices(
                slices,
                options,
                file_name=source.name,
                identity=identity,
                timestamper=timestamper,
                signing_time=signing_time,
            )
        except ReleaseError as error:
            raise error.at(str(source)) from error.__cause__
        signed = tuple(verified_slice(one, identity, signing_time) for one in plan.slices)
        changes = entitlement_changes(recorded_entitlements(slices), signed[0].entitlements)
        write_parts(files, plan.parts, output, opened.mode)
    if changes is not None and told is not None:
        told(source.name, changes)
    return signed


def check_signable(path: Path) -> tuple[str, ...]:
    """The architectures of a Mach-O file that can be signed: laid out as codesign wants it, with room in every header.

    codesign itself does not look: where the header has no room, it writes over code. Raises as `sign_file` does.
    """
    with open_source(path) as opened:
        slices = _slices(opened)
        for one in slices:
            try:
                allocation.check_signable(one.image)
                if one.image.signature is None:
                    allocation.check_room(one)
            except ReleaseError as error:
                raise error.at(f"{path}: slice {one.arch}") from None
    return tuple(one.arch for one in slices)


def entitlements_of(path: Path) -> Mapping[str, Any]:
    """The entitlements that a Mach-O file was signed with; none where it has no signature that can be read."""
    with open_source(path) as opened:
        return recorded_entitlements(_slices(opened))


def demand_entitleable(path: Path) -> None:
    """SigningError for a library or a plug-in."""
    with open_source(path) as opened:
        refuse_entitled_library(_slices(opened))


def refuse_entitled_library(slices: Sequence[MachSlice]) -> None:
    """SigningError unless all slices are programs."""
    if any(one.image.filetype != FileType.EXECUTE for one in slices):
        raise SigningError(
            "frameworks, libraries and plug-ins get no entitlements: those of the program that loads them are in force"
        )


def strip_file(files: Files, path: Path, output: Path, era: Era = DEFAULT_ERA) -> None:
    """The file without its signatures, as `codesign --remove-signature` of the era leaves it."""
    with open_source(path) as opened:
        try:
            parts = strip_slices(read_slices(opened), era)
        except ReleaseError as error:
            raise error.at(str(path)) from None
        write_parts(files, parts, output, opened.mode)


def join(files: Files, thins: Sequence[Path], output: Path) -> None:
    """One universal file of all slices of these files, byte for byte, laid out as `lipo -create` does."""
    with ExitStack() as stack:
        opened = [stack.enter_context(open_source(path)) for path in thins]
        slices: list[MachSlice] = []
        for one in opened:
            slices.extend(_slices(one))
        write_parts(files, plan_universal(slices), output, opened[0].mode if opened else 0o755)


def thin(files: Files, path: Path, arch: str, output: Path) -> None:
    """One slice of a file, byte for byte. ConfigurationError names the architectures there are if it has not this."""
    with open_source(path) as opened:
        slices = _slices(opened)
        chosen = next((one for one in slices if one.arch == arch), None)
        if chosen is None:
            present = ", ".join(one.arch for one in slices)
            raise ConfigurationError(f"no slice {arch}; there is {present}", where=str(path))
        write_parts(files, [chosen.source], output, opened.mode)


def verify_file(path: Path, expectations: Expectations, contents: Contents | None = None) -> tuple[VerifiedSlice, ...]:
    """Verify every slice; VerificationError names file, slice and page, slot or region."""
    with open_source(path, contents) as opened:
        try:
            return verify_slices(opened, expectations)
        except ReleaseError as error:
            raise error.at(str(path)) from error.__cause__


def _slices(opened: FileSource) -> tuple[MachSlice, ...]:
    try:
        return read_slices(opened)
    except ReleaseError as error:
        raise error.at(str(opened.path)) from None
