"""What a bundle may hold outside of what its seal covers: next to nothing (Security `bundlediskrep.cpp`).

Each function yields the paths that must not be there, with the reason; what to do about them is the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.codesign.bundle import SIGNATURE_FOLDER, Bundle, Layout
from pipeline.codesign.bundle_plain import PLAIN_FILES
from pipeline.codesign.tree import Entry, EntryKind, Tree, join

Problem = tuple[str, str]
"""A path in the tree, and what is wrong with it."""

_UNSEALED_APP = "unsealed contents present in the bundle root"
_UNSEALED_FRAMEWORK = "unsealed contents present in the root directory of the framework"
_FINDERS = {".LSOverride", ".DS_Store", "Icon\r", ".SoftwareDepot.tracking"}
_TO_A_VERSION = re.compile(r"(\./)?(\.\.[^/]+|\.?[^./][^/]*)")


def unsealed(tree: Tree, bundle: Bundle) -> Iterator[Problem]:
    """What stands in the bundle's root and in its signature's folder without being covered by anything."""
    if bundle.layout is Layout.CONTENTS:
        yield from _app_root(tree, bundle.root)
    elif bundle.base != bundle.root:
        yield from _framework_root(tree, bundle)
    yield from _signature_folder(tree, bundle)


def _app_root(tree: Tree, root: str) -> Iterator[Problem]:
    for entry in tree.entries(root):
        if entry.name != "Contents" and not (entry.name in _FINDERS and _is_plain(entry)):
            yield join(root, entry.name), _UNSEALED_APP


def _framework_root(tree: Tree, bundle: Bundle) -> Iterator[Problem]:
    version = bundle.base.rpartition("/")[2]
    versions = join(bundle.root, "Versions")
    for entry in tree.entries(bundle.root):
        path = join(bundle.root, entry.name)
        if entry.name == "Versions" or (entry.name in (".DS_Store", "module.map") and _is_plain(entry)):
            continue
        if entry.kind is not EntryKind.LINK:
            yield path, _UNSEALED_FRAMEWORK
        elif not _leads_home(tree.link(path), version, entry.name):
            yield path, f"broken framework: this link must lead to Versions/Current/{entry.name}"
    for entry in tree.entries(versions):
        path = join(versions, entry.name)
        if entry.name == "Current":
            if not _TO_A_VERSION.fullmatch(tree.link(path)):
                yield path, "broken framework: Versions/Current must lead to a version beside it"
        elif entry.kind is not EntryKind.FOLDER and not (entry.name == ".DS_Store" and _is_plain(entry)):
            yield path, _UNSEALED_FRAMEWORK


def _leads_home(target: str, version: str, name: str) -> bool:
    return target.removeprefix("./") in (f"Versions/Current/{name}", f"Versions/{version}/{name}")


def _signature_folder(tree: Tree, bundle: Bundle) -> Iterator[Problem]:
    folder = join(bundle.base, SIGNATURE_FOLDER)
    allowed = {"CodeResources", "CodeSignature"} if bundle.has_executable else {"CodeResources", *PLAIN_FILES}
    for entry in tree.entries(folder):
        path = join(folder, entry.name)
        if entry.kind is not EntryKind.FILE or entry.name not in allowed:
            yield path, "unsealed contents present in the folder of the signature"
        elif entry.name == "CodeSignature" and bundle.has_executable:
            # codesign leaves an empty one behind where it signed ad hoc.
            with tree.open(path) as source:
                if source.size:
                    yield path, "a second signature beside that of the executable"


def _is_plain(entry: Entry) -> bool:
    return entry.kind is EntryKind.FILE and not entry.executable
