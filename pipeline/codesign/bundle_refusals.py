"""What codesign would refuse about a bundle, or a Mac could not keep: found before anything is signed.

Apple's refusals: unsealed contents, broken frameworks, data or scripts where code belongs, links out of the bundle,
resource forks and Finder information. Ours beside them: names that a Mac's file system would merge or cannot hold, and
AppleDouble files (`._name`), which unpacking on a Mac turns into attributes, so that the seal no longer holds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from pipeline.codesign.bundle import find_bundle, versions
from pipeline.codesign.bundle_code import is_signable, parts
from pipeline.codesign.bundle_links import Scope, link_problem
from pipeline.codesign.bundle_root import Problem, unsealed
from pipeline.codesign.seal import rules_of, walk
from pipeline.codesign.seal_rules import RuleSet
from pipeline.codesign.tree import EntryKind, Tree, join, shown
from pipeline.errors import ConfigurationError, SigningError

# All control characters but tab, line feed and carriage return.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_DETRITUS = ("com.apple.FinderInfo", "com.apple.ResourceFork")


def refuse_bundle(tree: Tree, name: str) -> None:
    """Raises SigningError that names everything about the bundle (the whole tree) for which it cannot be signed."""
    try:
        problems = [*_names(tree), *_bundle(tree, "", name, None, None)]
    except ConfigurationError as error:
        raise SigningError(error.message, where=error.where or name, remedy=error.remedy) from error
    if not problems:
        return
    path, what = problems[0]
    if len(problems) == 1:
        raise SigningError(what, where=shown(path))
    told = "".join(f"\n  {shown(path)}: {what}" for path, what in problems)
    raise SigningError(f"{len(problems)} things cannot be signed{told}", where=name)


def _names(tree: Tree) -> Iterator[Problem]:
    """Names and attributes of everything in the tree, sealed or not."""
    pending = [""]
    while pending:
        folder = pending.pop()
        folded: dict[str, str] = {}
        for entry in tree.entries(folder):
            path = join(folder, entry.name)
            if entry.kind is EntryKind.FOLDER:
                pending.append(path)
            if entry.name.startswith("._"):
                yield path, "an AppleDouble file: remove it (dot_clean, or zip without resource forks)"
            if detritus := [name for name in tree.attributes(path) if name in _DETRITUS]:
                yield path, f"resource fork or Finder information ({', '.join(detritus)}): remove it with xattr -cr"
            if not _is_utf8(entry.name):
                yield path, "the name is no UTF-8: a Mac cannot hold it"
                continue
            if _UNWRITABLE.search(entry.name):
                yield path, "the name has a control character, which XML cannot hold, so that no seal could be read"
            key = unicodedata.normalize("NFD", unicodedata.normalize("NFD", entry.name).casefold())
            if key in folded:
                yield path, f"differs from {folded[key]} by case or Unicode form alone: a Mac would keep one of them"
            folded[key] = entry.name


def _bundle(tree: Tree, root: str, name: str, version: str | None, outer: Scope | None) -> Iterator[Problem]:
    bundle = find_bundle(tree, root, name=name, version=version)
    rules = RuleSet(rules_of(tree, bundle)[1], main_file=bundle.main_in_base)
    scope = Scope(base=bundle.base, rules=rules, outer=outer)
    yield from unsealed(tree, bundle)
    links = [found.path for found in walk(tree, bundle.base, rules) if found.kind is EntryKind.LINK]
    for path in sorted(join(bundle.base, link) for link in links):
        if not _is_utf8(tree.link(path)):
            yield path, "the link's text is no UTF-8: a Mac cannot hold it"
        elif (problem := link_problem(tree, path, scope)) is not None:
            yield path, problem
    for part in parts(tree, bundle):
        if part.is_bundle:
            yield from _inner_bundle(tree, part.path, scope)
        elif not is_signable(tree, part.path):
            resources = join(bundle.base, bundle.resources.rstrip("/"))
            yield part.path, f"no code, and in a place for code: move it to {resources}, and link to it if need be"


def _inner_bundle(tree: Tree, path: str, scope: Scope) -> Iterator[Problem]:
    try:
        for version in versions(tree, path) or (None,):
            yield from _bundle(tree, path, "", version, scope)
    except ConfigurationError as error:
        advice = "a folder with a dot in its name must be a bundle here: rename it, or move it to the resources"
        yield error.where or path, f"{error.message} ({error.remedy or advice})"


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
