"""From what a signature said when it was verified to what is recorded of it: `model.Slice`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pipeline import disk
from pipeline.codesign.verified import VerifiedSlice
from pipeline.model import Slice


def recorded_slices(path: Path, verified: Sequence[VerifiedSlice]) -> tuple[Slice, ...]:
    """The slices of a Mach-O file or a bundle, with what its executable links. Raises MalformedFile as reading does."""
    linked = disk.linked_libraries(path)
    return tuple(
        Slice(
            arch=one.arch,
            cdhash=one.cdhash,
            identifier=one.identifier,
            team=one.team,
            flags=one.flags,
            entitlements=_texts(one),
            libraries=linked.get(one.arch, ()),
        )
        for one in verified
    )


def _texts(one: VerifiedSlice) -> tuple[str, ...]:
    entitlements = one.entitlements or {}
    return tuple(
        f"{key} = {json.dumps(entitlements[key], sort_keys=True, default=str)}" for key in sorted(entitlements)
    )
