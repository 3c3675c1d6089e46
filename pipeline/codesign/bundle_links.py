"""Where a sealed link may lead: to something that the seal covers, or into the system (Security `StaticCode.cpp`).

macOS refuses a link that leads out of the bundle, to nothing, or to what is not sealed; a link inside nested code may
also lead to what the bundles around it seal.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.codesign.bundle import relative
from pipeline.codesign.seal_rules import RuleSet
from pipeline.codesign.tree import EntryKind, Tree, join, parent, shown

_SYSTEM = ("/System/", "/Library/")
# MAXSYMLINKS of Darwin's <sys/param.h>.
_MOST_LINKS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A bundle whose seal is in force: the folder that it covers, its rules, and the bundle around it."""

    base: str
    rules: RuleSet
    outer: Scope | None = None


def link_problem(tree: Tree, path: str, scope: Scope) -> str | None:
    """What is wrong with where a link leads; None if nothing is."""
    target = tree.link(path)
    told = shown(target)
    if target.startswith("/"):
        if target.startswith(_SYSTEM) and ".." not in target.split("/"):
            return None
        return f"a link to {told}: an absolute link may lead only into {' or '.join(_SYSTEM)}"
    found = resolve(tree, parent(path), target)
    if found is None:
        return f"a link to {told}, which leads out of the bundle or to nothing"
    inside: Scope | None = scope
    while inside is not None:
        within = "" if found == inside.base else relative(found, inside.base)
        if within is not None:
            return None if inside.rules.includes(within) else f"a link to {told}, which is not sealed"
        inside = inside.outer
    return f"a link to {told}, which leads out of what is sealed"


def resolve(tree: Tree, folder: str, target: str) -> str | None:
    """The path in the tree that a link's text, as seen from a folder, stands for in the end; None if there is none."""
    reached = folder.split("/") if folder else []
    pending = list(reversed(target.split("/")))
    followed = 0
    while pending:
        name = pending.pop()
        if name in ("", "."):
            continue
        if name == "..":
            if not reached:
                return None
            reached.pop()
            continue
        path = join("/".join(reached), name)
        entry = tree.entry(path)
        if entry is None:
            return None
        if entry.kind is EntryKind.LINK:
            followed += 1
            text = tree.link(path)
            if followed > _MOST_LINKS or text.startswith("/"):
                return None
            pending += reversed(text.split("/"))
        else:
            reached.append(name)
    return "/".join(reached)
