"""Judges an archive as Apple's notary does: every Mach-O at every place in it, each slice, by the published rules.

`inspect` is the way in. Nothing here imports the engine that signs: `archive` unpacks, `image` and `signature` read,
`cms` and `trust` verify, `bundles` and `seal` judge what surrounds code, `code` holds it against the rules of
`findings`. What is not opened, and is therefore refused: installer packages and disk images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline.rehearsal.inspection.archive import Entry, File, NotOpened, Scratch, Tree, content, unpack
from pipeline.rehearsal.inspection.bundles import Bundle, demand_clean_root, find_bundles
from pipeline.rehearsal.inspection.code import Code, Sealing, findings, read_code
from pipeline.rehearsal.inspection.findings import Broken, CodeObject, Issue, Report, Rule, Severity
from pipeline.rehearsal.inspection.seal import verify_seal
from pipeline.rehearsal.inspection.trust import Roots

__all__ = ["CodeObject", "Issue", "Report", "Roots", "Rule", "Severity", "inspect"]

_DEEPEST = 8  # archives in archives
_LARGEST_SEAL = 64 * 1024 * 1024
_NO_ARCHITECTURE = "__unknown__"  # so written in a public log, for what is no code


def inspect(archive: Path, name: str, roots: Roots, now: datetime, scratch: Path) -> Report:
    """The verdict on one archive; `name` begins every path of the report. `scratch`: an empty folder to unpack into."""
    inspection = _Inspection(roots, now, Scratch(scratch))
    inspection.submitted(File(place=archive, size=archive.stat().st_size), name)
    return Report(issues=tuple(inspection.issues), contents=tuple(inspection.contents))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A file with code in it, or with the header of code and damage behind it."""

    path: str
    slices: tuple[Code, ...]
    damage: str | None = None


class _Inspection:
    """Collects issues and code objects over an archive and those inside it."""

    def __init__(self, roots: Roots, now: datetime, scratch: Scratch) -> None:
        self._roots = roots
        self._now = now
        self._scratch = scratch
        self.issues: list[Issue] = []
        self.contents: list[CodeObject] = []

    def submitted(self, file: File, name: str) -> None:
        try:
            tree = unpack(file, name, self._scratch)
            if tree is None:
                raise Broken("no archive of a kind that is opened here")
        except Broken as error:
            self._not_opened(name, str(error))
        else:
            self._tree(tree, name, 0)

    def _tree(self, tree: Tree, path: str, depth: int) -> None:
        code = {name: found for name, entry in tree.items() if (found := _code_at(name, entry))}
        bundles = {bundle.executable: bundle for bundle in find_bundles(tree)}
        for name, found in code.items():
            self._judge(path, found, _sealing(tree, bundles, code, name), bundles.get(name))
        for name in sorted(bundles.keys() - code.keys()):
            # A script as main executable carries its signature in extended attributes, which no archive here keeps.
            self._refuse(f"{path}/{name}", _NO_ARCHITECTURE, Rule.SIGNED.message, Rule.SIGNED.explanation, "no code")
        for name, entry in tree.items():
            if isinstance(entry, File) and name not in code:
                self._nested(entry, f"{path}/{name}", depth + 1)

    def _nested(self, file: File, path: str, depth: int) -> None:
        """An archive in an archive; one that is damaged is a warning, as with the real service."""
        try:
            tree = unpack(file, path, self._scratch)
        except NotOpened as error:
            self._not_opened(path, str(error))
        except Broken as error:
            # Of this message only the beginning is public.
            self.issues.append(_archive_issue(Severity.WARNING, path, 'b"ditto: stdin: No', str(error)))
        else:
            if tree is not None and depth > _DEEPEST:
                self._not_opened(path, f"more than {_DEEPEST} archives in one another")
            elif tree is not None:
                self._tree(tree, path, depth)

    def _not_opened(self, path: str, reason: str) -> None:
        # What the real service says of an archive that it cannot open is not public.
        message = "The archive could not be opened."
        self.issues.append(_archive_issue(Severity.ERROR, path, message, reason))

    def _judge(self, archive: str, found: _Found, sealing: Sealing | None, bundle: Bundle | None) -> None:
        path = f"{archive}/{found.path}"
        if found.damage:
            self._refuse(path, _NO_ARCHITECTURE, Rule.VALID.message, Rule.VALID.explanation, found.damage)
        for code in found.slices:
            architecture = code.image.architecture
            for finding in findings(code, sealing, self._roots, self._now):
                # Entitlements are told once for a file, and without an architecture, as in public logs.
                about = None if finding.rule is Rule.ENTITLEMENTS else architecture
                self._refuse(path, about, finding.message, finding.rule.explanation, finding.reason)
        names = [f"{archive}/{bundle.root}"] if bundle is not None and bundle.has_own_name else []
        for name in (*names, path):
            for code in found.slices:
                if code.signature is not None:
                    best = code.signature.best
                    self.contents.append(
                        CodeObject(
                            path=name,
                            architecture=code.image.architecture,
                            hash_type=best.hash_type,
                            cdhash=best.cdhash,
                        )
                    )

    def _refuse(self, path: str, architecture: str | None, message: str, explanation: str | None, reason: str) -> None:
        issue = Issue(
            severity=Severity.ERROR,
            path=path,
            message=message,
            explanation=explanation,
            architecture=architecture,
            reason=reason,
        )
        if issue not in self.issues:
            self.issues.append(issue)


def _code_at(path: str, entry: Entry) -> _Found | None:
    if not isinstance(entry, File):
        return None
    try:
        slices = read_code(entry)
    except Broken as error:
        return _Found(path=path, slices=(), damage=str(error))
    return _Found(path=path, slices=slices) if slices else None


def _sealing(tree: Tree, bundles: dict[str, Bundle], code: dict[str, _Found], executable: str) -> Sealing | None:
    """What the bundle of this main executable brings, its seal verified; None for code that is no bundle's main one."""
    bundle = bundles.get(executable)
    if bundle is None:
        return None
    seal = None
    try:
        seal = content(tree.get(bundle.seal), _LARGEST_SEAL)
        if seal is None:
            raise Broken("the bundle has no seal")
        demand_clean_root(tree, bundle)
        verify_seal(tree, bundle, seal, lambda path: set(_cdhashes(tree, bundles, code, path)))
    except Broken as error:
        return Sealing(info_plist=bundle.info, seal=seal, damage=str(error))
    return Sealing(info_plist=bundle.info, seal=seal, damage=None)


def _cdhashes(tree: Tree, bundles: dict[str, Bundle], code: dict[str, _Found], path: str) -> Iterator[bytes]:
    """CDHashes of the code at a path: a file, or the bundle whose root it is."""
    executables = [bundle.executable for bundle in bundles.values() if bundle.root == path]
    for name in (path, *executables):
        for one in code[name].slices if name in code else ():
            if one.signature is not None:
                yield from (directory.cdhash for directory in one.signature.directories)


def _archive_issue(severity: Severity, path: str, message: str, reason: str) -> Issue:
    return Issue(
        severity=severity,
        path=path,
        message=message,
        explanation=None,
        architecture=_NO_ARCHITECTURE,
        reason=reason,
    )
