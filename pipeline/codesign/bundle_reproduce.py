"""Does our engine give an existing bundle's own bytes? Every CodeDirectory in it, and every seal.

Executables are signed again as `reproduce` does it; a seal is built again from the bundle's files, and from what the
signatures of nested code say. Unsigned code has nothing to be compared with and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.codesign.bundle import Bundle, relative
from pipeline.codesign.bundle_code import find_code, parts
from pipeline.codesign.property_list import LARGEST_SEAL, parse_plist
from pipeline.codesign.reproduce import FileReproduction, reproduce
from pipeline.codesign.seal import build_seal, rules_of
from pipeline.codesign.seal_nested import nested_seal
from pipeline.codesign.signature import Signature, read_signature
from pipeline.codesign.tree import Tree
from pipeline.errors import ReleaseError, VerificationError
from pipeline.macho import read_all, read_slices


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeReproduction:
    """One Mach-O file, and the seal of the bundle that it is the executable of. `path` is the tree's."""

    path: str
    file: FileReproduction
    seal: bool | None = None
    """Does CodeResources come out byte for byte the same? None where the file carries none."""

    @property
    def is_identical(self) -> bool:
        return self.file.is_identical and self.seal is not False


def reproduce_bundle(tree: Tree, name: str) -> tuple[CodeReproduction, ...]:
    """Every signed Mach-O file of the bundle that a tree is, from the inside out; the bundle's own is the last.

    Raises VerificationError where that is not signed and sealed.
    """
    found = []
    for code in find_code(tree, name=name):
        try:
            with tree.open(code.path) as source:
                slices = read_slices(source)
                signatures = [signature for one in slices if (signature := read_signature(one)) is not None]
                if len(signatures) == len(slices):
                    again = reproduce(source, slices)
                    seal = _is_same_seal(tree, code.bundle, signatures[0]) if code.bundle else None
                    found.append(CodeReproduction(path=code.path, file=again, seal=seal))
        except ReleaseError as error:
            raise error.at(code.path) from error.__cause__
    if not found or found[-1].seal is None:
        raise VerificationError("not signed and sealed", where=name)
    return tuple(found)


def _is_same_seal(tree: Tree, bundle: Bundle, signature: Signature) -> bool | None:
    """By codesign's own rules or, where the seal records others, by those: they were given to codesign."""
    if tree.entry(bundle.seal_path) is None:
        return None
    with tree.open(bundle.seal_path) as source:
        existing = read_all(source, LARGEST_SEAL)
    nested = {
        relative(part.path, bundle.base) or "": nested_seal(tree, part.path)
        for part in parts(tree, bundle)
        if part.nested
    }
    hash_types = [directory.hash_type for directory in signature.directories]
    recorded = parse_plist(existing, "CodeResources")
    for tables in (rules_of(tree, bundle), (recorded.get("rules"), recorded.get("rules2"))):
        if not (isinstance(tables[0], dict) and isinstance(tables[1], dict)):
            continue
        if build_seal(tree, bundle, hash_types, nested, (tables[0], tables[1])) == existing:
            return True
    return False
