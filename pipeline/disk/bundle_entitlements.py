"""Which code inside a bundle gets which entitlements: chosen by patterns of paths, and by nothing else.

A pattern is held against the path of code in the bundle, from its first folder to its last: a Mach-O file's, a nested
bundle's root (`Contents/XPCServices/Service.xpc`), or code's in an archive (`Contents/Resources/a.jar!/native/tool`).
`*`, `?` and `[...]` stand for characters of one name, upper and lower case apart; `**` for any folders, also none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from pipeline.codesign.bundle_code import find_code
from pipeline.codesign.options import SigningOptions
from pipeline.codesign.tree import shown
from pipeline.disk.bundle_archives import archives_in, code_in_archive
from pipeline.disk.bundle_signing import ChooseOptions
from pipeline.disk.tree import FolderTree
from pipeline.errors import ConfigurationError, MalformedFile

_MOST_NAMED = 12


def choose_entitlements(bundle: Path, patterns: Mapping[str, bytes | None], *, archives: bool = False) -> ChooseOptions:
    """What `sign_bundle` asks for the options of nested code; each gets the entitlements of the pattern it matches.

    `patterns`: pattern → property list in XML, or None to preserve those that the code has; `archives`: is code in
    archives signed too? Raises ConfigurationError for a pattern that nothing matches, and for code that two match.
    """
    given = entitled(bundle, patterns, archives=archives)

    def choose(path: str, options: SigningOptions) -> SigningOptions:
        if path not in given:
            return options
        return replace(options, entitlements=given[path], preserve_entitlements=given[path] is None)

    return choose


def entitled(bundle: Path, patterns: Mapping[str, bytes | None], *, archives: bool = False) -> dict[str, bytes | None]:
    """Path of nested code that a pattern names → its entitlements; arguments and errors as `choose_entitlements`."""
    code = sorted(_code(bundle, archives=archives)) if patterns else []
    chosen: dict[str, str] = {}
    for pattern in patterns:
        matching = [path for path in code if _matches(pattern.split("/"), path.split("/"))]
        if not matching:
            raise ConfigurationError(
                "the pattern matches no code in the bundle",
                where=f'entitlements for "{pattern}"',
                remedy=f"code in it: {_named(code)}",
            )
        for path in matching:
            if path in chosen:
                raise ConfigurationError(
                    f'{shown(path)} is matched by "{chosen[path]}" too', where=f'entitlements for "{pattern}"'
                )
            chosen[path] = pattern
    return {path: patterns[pattern] for path, pattern in chosen.items()}


def _code(bundle: Path, *, archives: bool) -> Iterator[str]:
    """All nested code, once each: a framework's versions share their root."""
    tree = FolderTree(bundle)
    found = find_code(tree, name=bundle.name)
    yield from {one.bundle.root if one.bundle is not None else one.path for one in found} - {""}
    for archive in archives_in(tree) if archives else ():
        try:
            yield from (f"{archive}!/{member}" for member in code_in_archive(bundle / archive))
        except MalformedFile:
            continue  # signing tells of it


def _matches(pattern: Sequence[str], path: Sequence[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_matches(pattern[1:], path[at:]) for at in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(pattern[1:], path[1:])


def _named(code: Sequence[str]) -> str:
    names = ", ".join(map(shown, code[:_MOST_NAMED])) + (" …" if len(code) > _MOST_NAMED else "")
    return names or "none beside its own executable, whose entitlements are the bundle's"
