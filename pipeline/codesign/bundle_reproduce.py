"""Does our engine give an existing bundle's own bytes? Every CodeDirectory in it, and every seal.

Executables are signed again as `reproduce` does it, and so is the Info.plist of a bundle that has none; a seal is built
again from the bundle's files, and from what the signatures of nested code say. Unsigned code, and what stands among the
code and is none, have nothing to be compared with and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.codesign.bundle import Bundle, find_bundle, relative, versions
from pipeline.codesign.bundle_code import Code, find_code, find_plain, parts
from pipeline.codesign.bundle_plain import ARCHITECTURE, plain_directories, read_plain
from pipeline.codesign.decisions import Machine, default_hash_types
from pipeline.codesign.describe import form_of
from pipeline.codesign.eras import ERAS
from pipeline.codesign.property_list import LARGEST_SEAL, parse_plist
from pipeline.codesign.reproduce import FileReproduction, Mode, Reproduction, recorded_inputs, reproduce
from pipeline.codesign.seal import NestedSeal, build_seal
from pipeline.codesign.seal_nested import nested_seal
from pipeline.codesign.signature import Signature, read_signature
from pipeline.codesign.tree import Tree, shown
from pipeline.errors import ReleaseError, VerificationError
from pipeline.macho import holds_macho, read_all, read_slices


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeReproduction:
    """One Mach-O file, or what stands for it in a bundle without one, and the seal of the bundle that it is the
    executable of. `path` is the tree's."""

    path: str
    file: FileReproduction
    seal: bool | None = None
    """Does CodeResources come out byte for byte the same? None where the file carries none."""
    seal_differences: tuple[str, ...] = ()
    """Where it does not: what stands otherwise in the seal than the bundle has it now."""

    @property
    def is_identical(self) -> bool:
        return self.file.is_identical and self.seal is not False


def reproduce_bundle(tree: Tree, name: str) -> tuple[CodeReproduction, ...]:
    """Every signed Mach-O file of the bundle that a tree is, from the inside out; the bundle's own is the last.

    Raises VerificationError where that is not signed and sealed.
    """
    found = list(_plain_bundles(tree, name)) + [
        again for code in find_code(tree, name=name) if (again := _code(tree, code)) is not None
    ]
    own = {find_bundle(tree, name=name, version=one).main_file for one in versions(tree, "") or (None,)}
    if not any(one.path in own and one.seal is not None for one in found):
        raise VerificationError("not signed and sealed", where=name)
    return tuple(sorted(found, key=lambda one: one.path in own))


def _code(tree: Tree, code: Code) -> CodeReproduction | None:
    try:
        with tree.open(code.path) as source:
            if not holds_macho(source):
                return None
            slices = read_slices(source)
            signatures = [signature for one in slices if (signature := read_signature(one)) is not None]
            if len(signatures) != len(slices):
                return None
            again = reproduce(source, slices)
    except ReleaseError as error:
        raise error.at(code.path) from error.__cause__
    return _with_seal(tree, code.path, again, code.bundle, signatures[0])


def _with_seal(
    tree: Tree, path: str, file: FileReproduction, bundle: Bundle | None, signature: Signature
) -> CodeReproduction:
    differences = _seal_differences(tree, bundle, signature) if bundle is not None else None
    seal = not differences if differences is not None else None
    return CodeReproduction(path=path, file=file, seal=seal, seal_differences=differences or ())


def _plain_bundles(tree: Tree, name: str) -> Iterator[CodeReproduction]:
    for bundle in find_plain(tree, name=name):
        if (signature := read_plain(tree, bundle)) is not None:
            yield _with_seal(tree, bundle.main_file, _plain(tree, bundle, signature), bundle, signature)


def _plain(tree: Tree, bundle: Bundle, signature: Signature) -> FileReproduction:
    directories = [one.blob for one in signature.directories]
    hash_types = tuple(one.hash_type for one in signature.directories)
    with tree.open(bundle.main_file) as main:
        fitting = [
            era
            for era in ERAS
            if [one.blob for one in plain_directories(main, recorded_inputs(signature, era))] == directories
        ]
    own = [era for era in fitting if hash_types == default_hash_types((), era)]
    matches = tuple((era.name, Mode.FRESH) for era in own or fitting)
    one = Reproduction(
        arch=ARCHITECTURE,
        form=form_of(signature),
        matches=matches,
        superblob_matches=matches,
        told=() if own or not fitting else ("digest-algorithm",),
    )
    return FileReproduction(slices=(one,), whole_file=matches)


def _seal_differences(tree: Tree, bundle: Bundle, signature: Signature) -> tuple[str, ...] | None:
    """What comes out otherwise by the rules that the seal records (codesign's own, or given to it); None where there is
    no seal."""
    if tree.entry(bundle.seal_path) is None:
        return None
    with tree.open(bundle.seal_path) as source:
        existing = read_all(source, LARGEST_SEAL)
    recorded = parse_plist(existing, "CodeResources")
    rules, rules2 = recorded.get("rules"), recorded.get("rules2")
    if not (isinstance(rules, dict) and isinstance(rules2, dict | None)):
        return ("its rules are none",)
    hash_types = [directory.hash_type for directory in signature.directories]
    nested = _nested(tree, bundle, recorded.get("files2")) if rules2 is not None else {}
    again = build_seal(tree, bundle, hash_types, nested, (rules, rules2))
    if again == existing:
        return ()
    return tuple(_differences(recorded, parse_plist(again, "CodeResources"))) or ("the same, and written otherwise",)


def _differences(recorded: Mapping[str, Any], built: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(recorded.keys() | built.keys()):
        one, other = recorded.get(key), built.get(key)
        if not (isinstance(one, dict) and isinstance(other, dict)):
            if one != other:
                yield f"{key} is there once only"
            continue
        for path in sorted(one.keys() | other.keys()):
            if path not in other:
                yield f"{key}: {shown(path)} is sealed, and is not there"
            elif path not in one:
                yield f"{key}: {shown(path)} is there, and is not sealed"
            elif one[path] != other[path]:
                yield f"{key}: {shown(path)} is sealed otherwise"


def _nested(tree: Tree, bundle: Bundle, sealed: object) -> Mapping[str, NestedSeal]:
    """What a seal says of nested code, as the kind of machine says it that made this one."""
    paths = {relative(part.path, bundle.base) or "": part.path for part in parts(tree, bundle) if part.nested}
    said: Mapping[str, NestedSeal] = {}
    for machine in Machine:
        said = {inside: _said(tree, path, machine) for inside, path in paths.items()}
        if isinstance(sealed, dict) and all(_is_said(sealed.get(inside), one) for inside, one in said.items()):
            break
    return said


def _said(tree: Tree, path: str, machine: Machine) -> NestedSeal:
    try:
        return nested_seal(tree, path, machine)
    except ReleaseError:
        return _NOBODYS


# What came among the code after the seal was made, and is none or is not signed: no seal ever says this.
_NOBODYS = NestedSeal(cdhash=b"", requirement="")


def _is_said(entry: object, code: NestedSeal) -> bool:
    return isinstance(entry, dict) and entry.get("cdhash") == code.cdhash
