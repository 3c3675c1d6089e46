"""What is other in a release than in an earlier one, from their two manifests: for people, and for the manifest itself.

Compared are version, commit, tools, what was built for, and of every artifact size, slices, flags, entitlements and
libraries. Digests and CDHashes are not: they differ in every release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.manifest import artifact_from_json
from pipeline.model import Artifact, Slice

_FACTS = ("world", "toolchain", "version", "commit", "dirty", "products")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference; `before` or `after` is None for what was not there."""

    where: str
    """An artifact's path, with {version} in the version's place, and its architecture; else "release"."""
    what: str
    before: str | None
    after: str | None


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    """Every difference between two manifests, in the newer one's order."""
    return tuple(_changes(old, new))


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in _FACTS:
        yield from _change("release", name, old.get(name), new.get(name))
    for name in ("tools", "minimum_macos"):
        before, after = old.get(name) or {}, new.get(name) or {}
        for key in sorted(before.keys() | after.keys()):
            yield from _change("release", f"{name} {key}", before.get(key), after.get(key))
    earlier, later = _by_place(old), _by_place(new)
    for place, artifact in later.items():
        if place in earlier:
            yield from _artifact(place, earlier[place], artifact)
        else:
            yield Change(where=place, what="artifact", before=None, after=str(artifact.kind))
    for place in (place for place in earlier if place not in later):
        yield Change(where=place, what="artifact", before=str(earlier[place].kind), after=None)


def _by_place(document: Mapping[str, Any]) -> dict[str, Artifact]:
    """The version is part of an archive's name and no difference of its own."""
    artifacts = map(artifact_from_json, document["artifacts"])
    return {artifact.path.replace(document["version"], "{version}"): artifact for artifact in artifacts}


def _artifact(place: str, old: Artifact, new: Artifact) -> Iterator[Change]:
    yield from _change(place, "size", old.size, new.size)
    yield from _change(place, "notarization", _status(old), _status(new))
    yield from _change(place, "staple", old.staple and old.staple.status, new.staple and new.staple.status)
    before, after = {one.arch: one for one in old.slices}, {one.arch: one for one in new.slices}
    for arch in dict.fromkeys((*after, *before)):
        if arch not in before or arch not in after:
            yield from _change(place, "architecture", arch if arch in before else None, arch if arch in after else None)
            continue
        yield from _slice(f"{place}: {arch}", before[arch], after[arch])


def _status(artifact: Artifact) -> str | None:
    return artifact.notarization.status if artifact.notarization else None


def _slice(where: str, old: Slice, new: Slice) -> Iterator[Change]:
    yield from _change(where, "identifier", old.identifier, new.identifier)
    yield from _change(where, "team", old.team, new.team)
    yield from _change(where, "flags", ", ".join(old.flags), ", ".join(new.flags))
    # What an older manifest does not say is not known to have changed.
    for what, before, after in (
        ("entitlement", old.entitlements, new.entitlements),
        ("library", old.libraries, new.libraries),
    ):
        if before is None or after is None:
            continue
        for one in (one for one in before if one not in after):
            yield Change(where=where, what=what, before=one, after=None)
        for one in (one for one in after if one not in before):
            yield Change(where=where, what=what, before=None, after=one)


def _change(where: str, what: str, old: object, new: object) -> Iterator[Change]:
    if old != new:
        yield Change(where=where, what=what, before=_text(old), after=_text(new))


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {value[key]}" for key in sorted(value))
    return str(value)
