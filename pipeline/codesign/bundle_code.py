"""All code in a bundle, at every depth: what must be signed before the bundle is sealed, and what else runs.

Nested code stands where the rules look for it and is sealed by its CDHash. Loose code is a Mach-O file among the
resources, or a whole bundle there (a system extension, a helper): its files are sealed as data, so codesign asks for no
signature, but the notary does, and so it must be signed before the seal is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.codesign.allocation import SIGNABLE
from pipeline.codesign.bundle import Bundle, find_bundle, versions
from pipeline.codesign.seal import rules_of, walk
from pipeline.codesign.seal_rules import RuleSet
from pipeline.codesign.tree import EntryKind, Tree, join, parent
from pipeline.errors import MalformedFile, NotSupported, ReleaseError
from pipeline.macho import holds_macho, read_slices


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Code right inside a bundle. `path` is the tree's: a Mach-O file's, or a bundle's root."""

    path: str
    is_bundle: bool
    nested: bool
    """Does the seal name it as code? If not it is loose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One Mach-O file of a bundle; `bundle` is that of which it is the executable."""

    path: str
    nested: bool
    bundle: Bundle | None = None


def parts(tree: Tree, bundle: Bundle) -> tuple[Part, ...]:
    """Nested and loose code right inside a bundle, not what is inside that; in the order of paths."""
    rules = RuleSet(rules_of(tree, bundle)[1], main_file=bundle.main_in_base)
    known: dict[str, bool] = {bundle.base: False}
    found: dict[str, Part] = {}
    for one in walk(tree, bundle.base, rules):
        path = join(bundle.base, one.path)
        if one.nested:
            found[path] = Part(path=path, is_bundle=one.kind is EntryKind.FOLDER, nested=True)
        elif (root := _loose_bundle(tree, parent(path), known)) is not None:
            found[root] = Part(path=root, is_bundle=True, nested=False)
        elif one.kind is EntryKind.FILE and is_signable(tree, path):
            found[path] = Part(path=path, is_bundle=False, nested=False)
    return tuple(found[path] for path in sorted(found))


def find_code(tree: Tree, root: str = "", *, name: str = "", nested: bool = True) -> tuple[Code, ...]:
    """Every Mach-O file of a bundle, from the inside out: what a seal names comes before what carries the seal."""
    return tuple(
        code
        for version in versions(tree, root) or (None,)
        for code in _code(tree, find_bundle(tree, root, name=name, version=version), nested)
    )


def find_plain(tree: Tree, root: str = "", *, name: str = "") -> Iterator[Bundle]:
    """The bundles whose signature is in files beside their seal, from the inside out; this folder's own is the last."""
    for version in versions(tree, root) or (None,):
        bundle = find_bundle(tree, root, name=name, version=version)
        for part in parts(tree, bundle):
            if part.is_bundle:
                yield from find_plain(tree, part.path)
        if not bundle.has_executable:
            yield bundle


def _code(tree: Tree, bundle: Bundle, nested: bool) -> Iterator[Code]:
    for part in parts(tree, bundle):
        if part.is_bundle:
            yield from find_code(tree, part.path, nested=part.nested)
        else:
            yield Code(path=part.path, nested=part.nested)
    if bundle.has_executable:
        yield Code(path=bundle.main_file, nested=nested, bundle=bundle)


def is_signable(tree: Tree, path: str) -> bool:
    """Is the file a Mach-O file of a kind that carries a signature? Object files and debug symbols are not."""
    with tree.open(path) as source:
        if not holds_macho(source):
            return False
        try:
            return all(one.image.filetype in SIGNABLE for one in read_slices(source))
        except ReleaseError:
            return False


def _loose_bundle(tree: Tree, folder: str, known: dict[str, bool]) -> str | None:
    """The outermost folder on the way to this one that is a bundle with an executable; None if there is none."""
    if folder in known:
        return folder if known[folder] else None
    outer = _loose_bundle(tree, parent(folder), known) if folder else None
    if outer is not None:
        return outer
    known[folder] = "." in folder.rpartition("/")[2] and _has_executable(tree, folder)
    return folder if known[folder] else None


def _has_executable(tree: Tree, folder: str) -> bool:
    try:
        bundle = find_bundle(tree, folder)
    except (MalformedFile, NotSupported):
        return False
    return bundle.has_executable and is_signable(tree, bundle.main_file)
