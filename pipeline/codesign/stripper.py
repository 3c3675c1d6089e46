"""Removing signatures, as `codesign --remove-signature` does it (Security `codesign_alloc.cpp`)."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.codesign.allocation import deallocate
from pipeline.codesign.eras import Era
from pipeline.codesign.signer import lay_out
from pipeline.errors import ReleaseError
from pipeline.macho import MachSlice, Part


def strip_slices(slices: Sequence[MachSlice], era: Era) -> tuple[Part, ...]:
    """The file without signatures, as parts to be written in order; a slice that has none stays as it is."""
    contents: list[tuple[tuple[Part, ...], int]] = []
    for one in slices:
        try:
            stripped = deallocate(one, era)
        except ReleaseError as error:
            raise error.at(f"slice {one.arch}") from None
        contents.append((stripped.parts, stripped.size))
    return lay_out(slices, contents, era)
