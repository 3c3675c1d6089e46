"""What signing changes in a file's entitlements, in words: nothing is dropped or given in silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.codesign.entitlements import parse_entitlements
from pipeline.codesign.signature import read_signature
from pipeline.codesign.superblob import Slot
from pipeline.errors import MalformedFile
from pipeline.macho import MachSlice


def entitlement_changes(before: Mapping[str, Any], after: Mapping[str, Any] | None) -> str | None:
    """From the entitlements that code had to those that it got; None where nothing changes.

    `-key` is taken away, `+key=value` is new, `key=old→new` is changed.
    """
    after = after or {}
    gone = [f"-{key}" for key in before if key not in after]
    new = [f"+{key}={after[key]!r}" for key in after if key not in before]
    changed = [f"{key}={before[key]!r}→{after[key]!r}" for key in before if key in after and before[key] != after[key]]
    told = ", ".join((*gone, *changed, *new))
    return f"entitlements {told}" if told else None


def recorded_entitlements(slices: Sequence[MachSlice]) -> Mapping[str, Any]:
    """The first slice's, since all slices of a file have the same; a broken signature is replaced, not judged."""
    try:
        signature = read_signature(slices[0])
        xml = signature.payload(Slot.ENTITLEMENTS) if signature is not None else None
        return parse_entitlements(xml) if xml is not None else {}
    except MalformedFile:
        return {}
