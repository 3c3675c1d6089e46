"""Is a signed slice the build's own code? The signature taken away, it has to be what the build made, byte for byte.

Signing leaves two traces that taking the signature away does not undo, in codesign as here: __LINKEDIT's sizes, which
grew to hold it, and up to 15 zeros that aligned it. A linker may have signed ad hoc what it made (Apple's and LLVM's do
for arm64): that signature, too, is taken away before the bytes are held against each other.
"""

from __future__ import annotations

from pipeline.codesign.allocation import deallocate
from pipeline.codesign.eras import DEFAULT_ERA
from pipeline.codesign.signature import read_signature
from pipeline.errors import ReleaseError, VerificationError
from pipeline.macho import Image, MachSlice, Overlay, parse_image

_ALIGNMENT = 16
_BLOCK = 1024 * 1024
# Where vmsize stands in a segment command; fileoff and filesize follow it, each as wide.
_VMSIZE = {False: 28, True: 32}
_WIDTH = {False: 4, True: 8}


def verify_origin(signed: MachSlice, built: MachSlice) -> tuple[str, ...]:
    """What differs between a signed slice without its signature and the build's slice, each with its reason.

    Nothing means: the very bytes. Raises VerificationError with the offset where signing does not explain a byte.
    """
    shipped, made = deallocate(signed, DEFAULT_ERA), deallocate(built, DEFAULT_ERA)
    words = _own_signature(built)
    longer, shorter = (shipped, made) if shipped.size >= made.size else (made, shipped)
    surplus = longer.read(shorter.size, longer.size - shorter.size)
    if len(surplus) >= _ALIGNMENT or any(surplus):
        raise VerificationError(
            f"without its signature it has {shipped.size} bytes, and the build made {made.size}", where=signed.arch
        )
    if surplus:
        words.append(f"{len(surplus)} zeros at its end, which align a signature")
    ours, theirs = parse_image(shipped), parse_image(made)
    start, end = _sizes(ours)
    if ours.head[start:end] != theirs.head[start:end]:
        _demand_grown(ours, theirs)
        words.append("__LINKEDIT's sizes, which grew to hold the signature")
    head = ours.head[:start] + theirs.head[start:end] + ours.head[end:]
    _demand_same(Overlay(base=shipped, head=head, kept=shipped.size, size=shipped.size), made, shorter.size, signed)
    return tuple(words)


def _own_signature(built: MachSlice) -> list[str]:
    """What the build's file was signed with, if it was."""
    if built.image.signature is None:
        return []
    try:
        signature = read_signature(built)
    except ReleaseError:
        signature = None
    flags = ", ".join(signature.best.flag_names) if signature else "unreadable"
    return [f"the signature that the linker made ({flags}), {built.image.signature.datasize} bytes"]


def _sizes(image: Image) -> tuple[int, int]:
    """Where vmsize and filesize of __LINKEDIT stand in the head, from the first to behind the last."""
    linkedit = image.segment("__LINKEDIT")
    if linkedit is None:
        raise VerificationError("has no __LINKEDIT", where=image.arch)
    start = linkedit.command_offset + _VMSIZE[image.is_64]
    return start, start + 3 * _WIDTH[image.is_64]


def _demand_grown(ours: Image, theirs: Image) -> None:
    """Both reach from the same place to the end of their file, and no further in memory than a signature needs."""
    starts = set()
    for image in (ours, theirs):
        linkedit = image.segment("__LINKEDIT")
        if linkedit is None or linkedit.end != image.size or linkedit.vmsize < linkedit.filesize:
            raise VerificationError("__LINKEDIT does not reach to the end of the file", where=image.arch)
        starts.add(linkedit.fileoff)
    if len(starts) != 1:
        raise VerificationError("__LINKEDIT begins elsewhere than in what the build made", where=ours.arch)


def _demand_same(shipped: Overlay, made: Overlay, size: int, signed: MachSlice) -> None:
    for at in range(0, size, _BLOCK):
        length = min(_BLOCK, size - at)
        ours, theirs = shipped.read(at, length), made.read(at, length)
        if ours != theirs:
            wrong = at + next(index for index in range(length) if ours[index] != theirs[index])
            raise VerificationError(f"is not what the build made: the byte at {wrong:#x} differs", where=signed.arch)
