"""The seal of a bundle, `_CodeSignature/CodeResources`: which entries it names and how, built byte for byte.

`files` and `rules` are for systems of before 10.9.5 (SHA-1, regular files only), `files2` and `rules2` for all since.
Walk and values as in Security's `resources.cpp` and `signer.cpp` (buildResources). Judging a bundle by its seal is
`seal_check`'s; finding a bundle's parts is `bundle`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.codesign.bundle import Bundle
from pipeline.codesign.code_directory import HashType
from pipeline.codesign.property_list import build_plist, parse_plist
from pipeline.codesign.seal_rules import (
    Rule,
    RuleSet,
    RuleTable,
    default_rules,
    derived_rules2,
    installer_rules,
)
from pipeline.codesign.tree import EntryKind, Tree, join, shown
from pipeline.errors import SigningError
from pipeline.macho import read_all

# CodeResources names a hash by its type's number, SHA-1's apart (ResourceBuilder::hashName).
HASH_KEYS = {
    HashType.SHA1: "hash",
    HashType.SHA256: "hash2",
    HashType.SHA256_TRUNCATED: "hash3",
    HashType.SHA384: "hash4",
}
# Deeper than any path that macOS takes (1,024 bytes).
_DEEPEST_FOLDER = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An entry that rules say something of. `path` is relative to the folder that the seal covers."""

    path: str
    kind: EntryKind
    rule: Rule

    @property
    def nested(self) -> bool:
        """Is it code with a signature of its own? A link never is."""
        return self.rule.nested and self.kind is not EntryKind.LINK


@dataclass(frozen=True, slots=True, kw_only=True)
class NestedSeal:
    """What a seal says of nested code: the 20-byte CDHash of its native slice, and its designated requirement."""

    cdhash: bytes
    requirement: str


def rules_of(tree: Tree, bundle: Bundle) -> tuple[RuleTable, RuleTable]:
    """The tables `rules` and `rules2` that codesign seals this bundle with: its own, or codesign's.

    A bundle's own are in a file that its Info.plist names, as was usual before OS X 10.10; macOS now refuses those that
    leave much out. Raises SigningError where they are none.
    """
    own = bundle.info.get("CFBundleResourceSpecification")
    if own is not None:
        path = join(bundle.base, str(own))
        if tree.entry(path) is None:
            raise SigningError("the Info.plist names it for resource rules, and it is not there", where=path)
        with tree.open(path) as source:
            tables = parse_plist(read_all(source), "the file of resource rules")
        rules, rules2 = tables.get("rules"), tables.get("rules2")
        if not isinstance(rules, dict) or not isinstance(rules2, dict | None):
            raise SigningError("no resource rules", where=path)
        return rules, rules2 or derived_rules2(rules)
    if bundle.is_installer:
        rules = installer_rules(bundle.resources)
        return rules, derived_rules2(rules)
    return default_rules(bundle.resources)


def walk(tree: Tree, base: str, rules: RuleSet) -> Iterator[Found]:
    """The entries of a folder that a seal of these rules names, in no particular order.

    Nested bundles are not entered; links are not followed. Raises SigningError for what cannot be sealed: a socket, a
    device.
    """
    pending = [("", 0)]
    while pending:
        folder, depth = pending.pop()
        for entry in tree.entries(join(base, folder)):
            path = join(folder, entry.name)
            rule = rules.find(path)
            if entry.kind is EntryKind.FOLDER:
                if rule is not None and rule.nested and "." in entry.name:
                    yield Found(path=path, kind=entry.kind, rule=rule)
                elif rule is None or not rule.excluded:
                    if depth > _DEEPEST_FOLDER:
                        raise SigningError("folders too deep inside each other", where=shown(join(base, path))[:200])
                    pending.append((path, depth + 1))
            elif entry.kind is EntryKind.OTHER:
                raise SigningError(
                    "neither a file, a folder nor a link: it cannot be sealed", where=shown(join(base, path))
                )
            elif entry.kind is EntryKind.LINK and entry.name.lower() == ".ds_store":
                raise SigningError("a .DS_Store that is a link cannot be sealed", where=shown(join(base, path)))
            elif rule is not None and rule.sealed:
                yield Found(path=path, kind=entry.kind, rule=rule)


def build_seal(
    tree: Tree,
    bundle: Bundle,
    hash_types: Sequence[HashType],
    nested: Mapping[str, NestedSeal],
    tables: tuple[RuleTable, RuleTable | None] | None = None,
) -> bytes:
    """The bytes of `CodeResources` for a bundle.

    `hash_types` are those of its CodeDirectories; `nested` has an entry for each path of nested code, relative to
    `base`; `tables` are other rules than codesign's own, without `rules2` for a seal as it was before OS X 10.9.
    Raises SigningError where something cannot be sealed, MalformedFile for a name or a link that is no UTF-8.
    """
    rules, rules2 = tables or rules_of(tree, bundle)
    found = list(walk(tree, bundle.base, RuleSet(rules, main_file=bundle.main_in_base)))
    found2 = []
    if rules2 is not None:
        found2 = list(walk(tree, bundle.base, RuleSet(rules2, main_file=bundle.main_in_base)))
    old_files = {one.path for one in found if one.kind is EntryKind.FILE}
    new_files = {one.path for one in found2 if one.kind is EntryKind.FILE and not one.nested}
    algorithms = {HashType.SHA1.algorithm, *(kind.algorithm for kind in hash_types)}
    digests = _digests(tree, bundle.base, sorted(old_files | new_files), sorted(algorithms))
    sealed: dict[str, Any] = {
        "files": {one.path: _old_value(one, digests) for one in found if one.path in old_files},
        "rules": rules,
    }
    if rules2 is not None:
        sealed["files2"] = {one.path: _value(tree, bundle.base, one, digests, hash_types, nested) for one in found2}
        sealed["rules2"] = rules2
    return build_plist(sealed)


def _digests(
    tree: Tree, base: str, paths: Sequence[str], algorithms: Sequence[str]
) -> Mapping[str, Mapping[str, bytes]]:
    hashed: Iterable[Mapping[str, bytes]] = tree.digests([join(base, path) for path in paths], algorithms)
    return dict(zip(paths, hashed, strict=True))


def _old_value(found: Found, digests: Mapping[str, Mapping[str, bytes]]) -> object:
    sha1 = digests[found.path][HashType.SHA1.algorithm]
    if found.rule.optional or found.rule.nested:
        return {"hash": sha1, "optional": found.rule.optional}
    return sha1


def _value(
    tree: Tree,
    base: str,
    found: Found,
    digests: Mapping[str, Mapping[str, bytes]],
    hash_types: Sequence[HashType],
    nested: Mapping[str, NestedSeal],
) -> object:
    value: dict[str, Any]
    if found.nested:
        code = nested[found.path]
        value = {"cdhash": code.cdhash, "requirement": code.requirement}
    elif found.kind is EntryKind.LINK:
        value = {"symlink": tree.link(join(base, found.path))}
    else:
        value = {HASH_KEYS[kind]: digests[found.path][kind.algorithm][: kind.size] for kind in hash_types}
    if found.rule.optional:
        value["optional"] = True
    return value["hash"] if value.keys() == {"hash"} else value
