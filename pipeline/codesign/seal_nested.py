"""What a seal says of nested code: taken from the signature that the code carries."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.codesign.bundle import find_bundle
from pipeline.codesign.bundle_plain import read_plain
from pipeline.codesign.code_directory import Flags
from pipeline.codesign.decisions import Machine, native_slice
from pipeline.codesign.requirements import designated, requirement_text
from pipeline.codesign.seal import NestedSeal
from pipeline.codesign.signature import Signature, read_signature
from pipeline.codesign.superblob import Slot
from pipeline.codesign.tree import EntryKind, Tree
from pipeline.errors import NotSupported, ReleaseError, SigningError
from pipeline.macho import Source, read_slices


def nested_seal(tree: Tree, path: str, machine: Machine = Machine.APPLE_SILICON) -> NestedSeal:
    """CDHash and requirement of signed code at a path in a tree, a Mach-O file or a bundle.

    The machine's native slice speaks for all (see `native_slice`); ad-hoc code is recognised by the CDHashes of every
    slice. Raises SigningError, with the path, where a slice is not signed.
    """
    entry = tree.entry(path)
    main = path
    if entry is not None and entry.kind is EntryKind.FOLDER:
        bundle = find_bundle(tree, path)
        main = bundle.main_file
        if not bundle.has_executable:
            signature = read_plain(tree, bundle)
            if signature is None:
                raise _unsigned(path, "")
            return _seal([signature])
    with tree.open(main) as source:
        try:
            return _seal(_signatures(source, machine))
        except ReleaseError as error:
            raise error.at(main) from error.__cause__


def _signatures(source: Source, machine: Machine) -> list[Signature]:
    """Of every slice, the native one's first."""
    slices = read_slices(source)
    native = native_slice(slices, machine)
    found = []
    for one in (native, *(other for other in slices if other is not native)):
        signature = read_signature(one)
        if signature is None:
            raise _unsigned(None, f"slice {one.arch} is ")
        found.append(signature)
    return found


def _seal(signatures: Sequence[Signature]) -> NestedSeal:
    first = signatures[0]
    requirements = first.blob(Slot.REQUIREMENTS)
    explicit = designated(requirements) if requirements is not None else None
    if explicit is not None:
        return NestedSeal(cdhash=first.best.cdhash, requirement=requirement_text(explicit))
    if not first.best.flags & Flags.ADHOC:
        raise NotSupported("nested code that is signed without a designated requirement")
    by_type = [sorted(one.directories, key=lambda directory: directory.hash_type) for one in signatures]
    hashes = [directory.cdhash.hex() for directories in by_type for directory in directories]
    return NestedSeal(cdhash=first.best.cdhash, requirement=" or ".join(f'cdhash H"{cdhash}"' for cdhash in hashes))


def _unsigned(where: str | None, which: str) -> SigningError:
    return SigningError(
        f"{which}not signed, so what is around it cannot be", where=where, remedy="sign nested code first"
    )
