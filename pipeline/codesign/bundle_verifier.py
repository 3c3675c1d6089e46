"""Verification of a whole bundle: executable, Info.plist, seal, every sealed file and link, nested code at every depth.

Nested code must satisfy the requirement that its seal recorded, as macOS asks, and be the very code that was sealed,
which macOS does not: code signed again with the same identity would pass there (docs/adr/0005).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pipeline.codesign.bundle import Bundle, find_bundle, versions
from pipeline.codesign.bundle_links import Scope
from pipeline.codesign.bundle_plain import read_plain, verify_plain
from pipeline.codesign.bundle_root import Problem, unsealed
from pipeline.codesign.code_directory import HashType
from pipeline.codesign.property_list import LARGEST_SEAL
from pipeline.codesign.requirements import compile_requirement
from pipeline.codesign.seal_check import Seal, SealEntry, check_seal, parse_seal, scope_of
from pipeline.codesign.signature import Signature, read_signature
from pipeline.codesign.tree import EntryKind, Tree, join, shown
from pipeline.codesign.verified import VerifiedSlice
from pipeline.codesign.verifier import Expectations, verify_slices
from pipeline.errors import ConfigurationError, ReleaseError, SigningError, VerificationError
from pipeline.macho import Source, read_all, read_slices

# A file that a hostile seal could name a million times is still told in a line or two.
_MOST_TOLD = 20
# Bundles inside bundles; the deepest seen in a real app is 4.
_DEEPEST_NESTING = 32


def verify_bundle(tree: Tree, name: str, expectations: Expectations) -> tuple[VerifiedSlice, ...]:
    """Verify the bundle that a tree is, and return what the signatures of its executable's slices say.

    `name` is the bundle's own. Raises VerificationError naming every path that does not agree with the seal.
    """
    slices = _verify(tree, "", name, expectations, outer=None, version=None, depth=0)
    # As codesign, which judges the current one, and another when it is asked to.
    current = find_bundle(tree, "", name=name).base
    others = tuple(
        f"version {other} of the framework" for other in versions(tree, "") if f"Versions/{other}" != current
    )
    return tuple(replace(one, not_judged=(*one.not_judged, *others)) for one in slices)


def _verify(
    tree: Tree,
    root: str,
    name: str,
    expectations: Expectations,
    *,
    outer: Scope | None,
    version: str | None,
    depth: int,
) -> tuple[VerifiedSlice, ...]:
    if depth > _DEEPEST_NESTING:
        raise VerificationError("bundles too deep inside each other", where=root)
    try:
        bundle = find_bundle(tree, root, name=name, version=version)
        data = _seal_data(tree, bundle)
        slices, hash_types = _verify_executable(tree, bundle, data, expectations)
        seal = parse_seal(data)
        scope = scope_of(bundle, seal, outer)
        problems = [*unsealed(tree, bundle), *check_seal(tree, bundle, seal, scope, hash_types)]
    except (ConfigurationError, SigningError) as error:
        raise VerificationError(error.message, where=error.where or root or name, remedy=error.remedy) from error
    problems += _check_nested(tree, bundle, seal, scope, expectations, depth)
    _raise(problems, root or name)
    return slices


def _seal_data(tree: Tree, bundle: Bundle) -> bytes:
    entry = tree.entry(bundle.seal_path)
    if entry is None or entry.kind is not EntryKind.FILE:
        raise VerificationError("not sealed: it has no _CodeSignature/CodeResources", where=bundle.seal_path)
    with tree.open(bundle.seal_path) as source:
        return read_all(source, LARGEST_SEAL)


def _verify_executable(
    tree: Tree, bundle: Bundle, seal: bytes, expectations: Expectations
) -> tuple[tuple[VerifiedSlice, ...], frozenset[HashType]]:
    """What the executable's signatures say, and the hash types of their CodeDirectories."""
    asked = replace(expectations, info_plist=bundle.info_plist, code_resources=seal)
    with tree.open(bundle.main_file) as source:
        try:
            slices, signatures = _judge(tree, bundle, source, asked)
        except ReleaseError as error:
            raise error.at(bundle.main_file) from error.__cause__
    return slices, frozenset(each.hash_type for one in signatures for each in one.directories)


def _judge(
    tree: Tree, bundle: Bundle, source: Source, asked: Expectations
) -> tuple[tuple[VerifiedSlice, ...], list[Signature]]:
    if bundle.has_executable:
        slices = verify_slices(source, asked)
        found = [read_signature(one) for one in read_slices(source)]
        return slices, [one for one in found if one is not None]
    signature = read_plain(tree, bundle)
    if signature is None:
        raise VerificationError("not signed", remedy="sign it: invoke file.sign")
    return (verify_plain(source, signature, asked),), [signature]


def _check_nested(
    tree: Tree, bundle: Bundle, seal: Seal, scope: Scope, expectations: Expectations, depth: int
) -> Iterator[Problem]:
    for entry in seal.entries.values():
        path = join(bundle.base, entry.path)
        found = tree.entry(path) if entry.requirement is not None else None
        if found is None or found.kind is EntryKind.LINK:
            continue
        try:
            asked = replace(expectations, requirement=compile_requirement(entry.requirement or ""))
        except ConfigurationError as error:
            yield path, f"its seal's requirement: {error.message}"
            continue
        try:
            if found.kind is EntryKind.FILE:
                slices = _verify_file(tree, path, asked)
            else:
                slices = _verify(tree, path, "", asked, outer=scope, version=None, depth=depth + 1)
                for other in versions(tree, path):
                    _verify(tree, path, "", asked, outer=scope, version=other, depth=depth + 1)
        except (ConfigurationError, VerificationError) as error:
            yield error.where or path, error.message
            continue
        if (problem := _not_sealed(entry, slices)) is not None:
            yield path, problem


def _verify_file(tree: Tree, path: str, expectations: Expectations) -> tuple[VerifiedSlice, ...]:
    with tree.open(path) as source:
        try:
            return verify_slices(source, expectations)
        except ReleaseError as error:
            raise error.at(path) from error.__cause__


def _not_sealed(entry: SealEntry, slices: Sequence[VerifiedSlice]) -> str | None:
    if entry.cdhash is None or entry.cdhash.hex() in [cdhash for one in slices for cdhash in one.cdhashes]:
        return None
    return (
        f"is other code than was sealed (CDHash {entry.cdhash.hex()}): it was replaced or signed again afterwards "
        "(macOS asks only for the sealed requirement, which holds)"
    )


def _raise(problems: Sequence[Problem], name: str) -> None:
    if not problems:
        return
    if len(problems) == 1:
        ((path, what),) = problems
        raise VerificationError(what, where=shown(path))
    told = [f"\n  {shown(path)}: {what}" for path, what in problems[:_MOST_TOLD]]
    rest = len(problems) - len(told)
    more = f"\n  and {rest} more" if rest else ""
    raise VerificationError(f"{len(problems)} things are not as they were sealed{''.join(told)}{more}", where=name)
