"""The signatures of a bundle as facts: in its Mach-O files and beside its seals, and the seals. Nothing is verified."""

from __future__ import annotations

from pipeline.codesign.bundle import Bundle, find_bundle, versions
from pipeline.codesign.bundle_code import find_code, find_plain
from pipeline.codesign.bundle_plain import ARCHITECTURE, read_plain
from pipeline.codesign.describe import Facts, describe, describe_signature, form_of
from pipeline.codesign.property_list import LARGEST_SEAL
from pipeline.codesign.seal import rules_of
from pipeline.codesign.seal_check import parse_seal
from pipeline.codesign.tree import Tree
from pipeline.errors import ReleaseError
from pipeline.macho import read_all, read_slices


def describe_bundle(tree: Tree, name: str) -> list[Facts]:
    """One mapping for each slice of each Mach-O file, for each signature in files beside a seal and for each seal, with
    its path; the bundle's own come last.

    A part that cannot be read says so in its place.
    """
    facts: list[Facts] = []
    bundles = [find_bundle(tree, name=name, version=one) for one in versions(tree, "") or (None,)]
    own = {path for bundle in bundles for path in (bundle.main_file, bundle.seal_path)}
    for code in find_code(tree, name=name):
        with tree.open(code.path) as source:
            try:
                facts += [{"path": code.path, **one} for one in describe(read_slices(source))]
            except ReleaseError as error:
                facts.append({"path": code.path, "error": str(error)})
        if code.bundle is not None and tree.entry(code.bundle.seal_path) is not None:
            facts.append({"path": code.bundle.seal_path, "seal": _describe_seal(tree, code.bundle)})
    for bundle in find_plain(tree, name=name):
        facts.append({"path": bundle.main_file, "arch": ARCHITECTURE, "signature": _describe_plain(tree, bundle)})
        if tree.entry(bundle.seal_path) is not None:
            facts.append({"path": bundle.seal_path, "seal": _describe_seal(tree, bundle)})
    return sorted(facts, key=lambda one: one["path"] in own)


def _describe_plain(tree: Tree, bundle: Bundle) -> Facts | None:
    try:
        signature = read_plain(tree, bundle)
    except ReleaseError as error:
        return {"error": str(error)}
    return describe_signature(signature, form_of(signature), {}) if signature is not None else None


def _describe_seal(tree: Tree, bundle: Bundle) -> Facts:
    try:
        with tree.open(bundle.seal_path) as source:
            seal = parse_seal(read_all(source, LARGEST_SEAL))
    except ReleaseError as error:
        return {"error": str(error)}
    entries = [seal.entries[path] for path in sorted(seal.entries)]
    usual = rules_of(tree, bundle)[seal.version - 1]
    return {
        "version": seal.version,
        "rules": "codesign's own" if seal.rules == usual else dict(seal.rules),
        "files": sum(bool(entry.hashes) for entry in entries),
        "optional": sum(entry.optional for entry in entries),
        "links": {entry.path: entry.link for entry in entries if entry.link is not None},
        "nested": [
            {
                "path": entry.path,
                "cdhash": entry.cdhash.hex() if entry.cdhash else None,
                "requirement": entry.requirement,
            }
            for entry in entries
            if entry.requirement is not None
        ],
    }
