"""What a seal says of nested code: taken from the signature that the code carries."""

from __future__ import annotations

from pipeline.codesign.code_directory import Flags
from pipeline.codesign.decisions import native_slice
from pipeline.codesign.requirements import designated, requirement_text
from pipeline.codesign.seal import NestedSeal
from pipeline.codesign.signature import Signature, read_signature
from pipeline.codesign.superblob import Slot
from pipeline.errors import NotSupported, SigningError
from pipeline.macho import Source, read_slices


def nested_seal(source: Source) -> NestedSeal:
    """CDHash and requirement of signed code, a Mach-O file or the executable of a bundle.

    The native slice speaks for all (see `native_slice`); ad-hoc code is recognised by the CDHashes of every slice.
    Raises SigningError where a slice is not signed.
    """
    slices = read_slices(source)
    native = native_slice(slices)
    signatures: list[Signature] = []
    for one in (native, *(other for other in slices if other is not native)):
        signature = read_signature(one)
        if signature is None:
            raise SigningError(
                f"slice {one.arch} is not signed, so what is around it cannot be", remedy="sign nested code first"
            )
        signatures.append(signature)
    return NestedSeal(cdhash=signatures[0].best.cdhash, requirement=_requirement(signatures))


def _requirement(signatures: list[Signature]) -> str:
    """The designated requirement of the native slice; for ad-hoc code without one, the CDHashes of all slices."""
    explicit = designated(signatures[0].blob(Slot.REQUIREMENTS) or b"")
    if explicit is not None:
        return requirement_text(explicit)
    if not signatures[0].best.flags & Flags.ADHOC:
        raise NotSupported("nested code that is signed without a designated requirement")
    by_type = [sorted(one.directories, key=lambda directory: directory.hash_type) for one in signatures]
    hashes = [directory.cdhash.hex() for directories in by_type for directory in directories]
    return " or ".join(f'cdhash H"{cdhash}"' for cdhash in hashes)
