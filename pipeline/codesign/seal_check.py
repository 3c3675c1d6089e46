"""A bundle judged by its seal: every entry is there, unchanged, of its kind, and there is none besides.

As Security's `StaticCode.cpp` (validateResources) does it, and as strictly as `codesign --verify --strict`. The seal's
own hash and the nested code it names are `bundle_verifier`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.codesign.bundle import Bundle
from pipeline.codesign.bundle_links import Scope, link_problem
from pipeline.codesign.code_directory import HashType
from pipeline.codesign.property_list import parse_plist
from pipeline.codesign.seal import HASH_KEYS, Found, walk
from pipeline.codesign.seal_rules import RuleSet, is_weak
from pipeline.codesign.tree import EntryKind, Tree, join, name_of
from pipeline.errors import MalformedFile

_ADDED = "is not in the seal: it was added after the bundle was signed"
_APPLE_DOUBLE = "is an AppleDouble file, which unpacking on a Mac turns into attributes: remove it (dot_clean)"
_MISSING = "is in the seal and not there: it was removed or renamed after the bundle was signed"
_CHANGED = "is not what was sealed: its content was changed"

_HASHES = {key: kind for kind, key in HASH_KEYS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class SealEntry:
    """What a seal says of one path."""

    path: str
    hashes: Mapping[HashType, bytes]
    link: str | None = None
    requirement: str | None = None
    """Nested code must satisfy it; None where the entry is none."""
    cdhash: bytes | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    version: int
    """2 where it has `files2`."""
    rules: Mapping[str, Any]
    entries: Mapping[str, SealEntry]


def parse_seal(data: bytes) -> Seal:
    """What `CodeResources` says; MalformedFile where it is none."""
    values = parse_plist(data, "CodeResources")
    version = 2 if "files2" in values else 1
    rules, files = (values.get(key) for key in (("rules2", "files2") if version == 2 else ("rules", "files")))
    if not isinstance(rules, dict) or not isinstance(files, dict):
        raise MalformedFile("CodeResources has no rules or no files")
    return Seal(version=version, rules=rules, entries={path: _entry(path, value) for path, value in files.items()})


def scope_of(bundle: Bundle, seal: Seal, outer: Scope | None) -> Scope:
    """The rules in force inside a bundle; MalformedFile where its seal's are none."""
    return Scope(base=bundle.base, rules=RuleSet(seal.rules, main_file=bundle.main_in_base), outer=outer)


def check_seal(
    tree: Tree, bundle: Bundle, seal: Seal, scope: Scope, hash_types: Collection[HashType]
) -> Iterator[tuple[str, str]]:
    """The paths of the tree that do not agree with the seal, each with what is wrong; nested code is not looked into.

    Every file must be sealed by all `hash_types`, those of the CodeDirectories that vouch for the seal. Raises
    SigningError for what could not have been sealed, such as a socket.
    """
    if is_weak(seal.rules, bundle.resources, version=seal.version):
        yield bundle.seal_path, "its rules leave out more than macOS allows"
    if seal.version == 1:
        yield bundle.seal_path, "it is of the first version, without files2, which macOS refuses since 10.9.5"
    files, seen = [], set()
    for found in walk(tree, bundle.base, scope.rules):
        seen.add(found.path)
        path = join(bundle.base, found.path)
        entry = seal.entries.get(found.path)
        if entry is None:
            if seal.version == 2 or found.kind is not EntryKind.LINK:
                yield path, _APPLE_DOUBLE if name_of(path).startswith("._") else _ADDED
        elif (problem := _wrong_kind(tree, path, found, entry)) is not None:
            yield path, problem
        elif entry.link is not None:
            if (problem := link_problem(tree, path, scope)) is not None:
                yield path, problem
        elif entry.requirement is None and not entry.hashes.keys() >= set(hash_types):
            yield path, "is sealed by a weaker hash than the signature's"
        elif entry.requirement is None:
            files.append(entry)
    yield from _check_contents(tree, bundle.base, files)
    for path, entry in seal.entries.items():
        if path not in seen and not entry.optional:
            yield join(bundle.base, path), _MISSING


def _wrong_kind(tree: Tree, path: str, found: Found, entry: SealEntry) -> str | None:
    """Is something of another kind there than what was sealed, or a link to another place?"""
    if entry.link is not None:
        if found.kind is not EntryKind.LINK:
            return f"is a {found.kind.value} where a link to {entry.link} was sealed"
        if (target := tree.link(path)) != entry.link:
            return f"is a link to {target} where a link to {entry.link} was sealed"
    elif found.kind is EntryKind.LINK:
        return "is a link where something else was sealed"
    elif entry.requirement is None and found.kind is not EntryKind.FILE:
        return f"is a {found.kind.value} where a file was sealed"
    return None


def _check_contents(tree: Tree, base: str, entries: list[SealEntry]) -> Iterator[tuple[str, str]]:
    by_algorithms: dict[tuple[str, ...], list[SealEntry]] = {}
    for entry in entries:
        algorithms = tuple(sorted({kind.algorithm for kind in entry.hashes}))
        by_algorithms.setdefault(algorithms, []).append(entry)
    for algorithms, group in by_algorithms.items():
        paths = [join(base, entry.path) for entry in group]
        for path, entry, found in zip(paths, group, tree.digests(paths, algorithms), strict=True):
            if any(found[kind.algorithm][: kind.size] != expected for kind, expected in entry.hashes.items()):
                yield path, _CHANGED


def _entry(path: object, value: object) -> SealEntry:
    if not isinstance(path, str):
        raise MalformedFile("CodeResources has an entry without a path")
    if isinstance(value, bytes):
        value = {"hash": value}
    if not isinstance(value, dict):
        raise MalformedFile("an entry that is neither data nor a dictionary", where=f"CodeResources: {path}")
    link, requirement, cdhash = value.get("symlink"), value.get("requirement"), value.get("cdhash")
    hashes = {kind: value[key] for key, kind in _HASHES.items() if key in value}
    kinds_of_entry = [link is not None, requirement is not None, bool(hashes)]
    if kinds_of_entry.count(True) != 1:
        raise MalformedFile("an entry that is not one of file, link and nested code", where=f"CodeResources: {path}")
    if not (
        isinstance(link, str | None)
        and isinstance(requirement, str | None)
        and isinstance(cdhash, bytes | None)
        and all(isinstance(found, bytes) and len(found) == kind.size for kind, found in hashes.items())
    ):
        raise MalformedFile("an entry whose values are of the wrong type", where=f"CodeResources: {path}")
    return SealEntry(
        path=path,
        hashes=hashes,
        link=link,
        requirement=requirement,
        cdhash=cdhash,
        optional=value.get("optional") is True,
    )
