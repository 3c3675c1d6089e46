"""A bundle's seal (CodeResources): every file there as recorded, nothing added, nothing missing.

The rules are in the seal itself, as patterns with weights; what macOS leaves out whatever they say is below. Where
Apple checks nested code against the requirement recorded for it, this asks for the recorded CDHash: stricter, and
what any signer that works inside out writes.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.rehearsal.inspection.archive import Entry, File, Folder, Link, Tree, files_below
from pipeline.rehearsal.inspection.bundles import Bundle
from pipeline.rehearsal.inspection.findings import Broken
from pipeline.rehearsal.inspection.plists import load_plist

# The seal's own folder, the stapled ticket, the App Store's receipt.
_NEVER_SEALED = ("_CodeSignature", "CodeResources", "_MASReceipt")
_SYSTEM = ("/System/", "/Library/")

CdhashesAt = Callable[[str], set[bytes]]
"""CDHashes of the code at a path of the tree (a file or a bundle), of all its slices and code directories."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    pattern: re.Pattern[bytes]
    weight: float
    omitted: bool
    nested: bool


def verify_seal(tree: Tree, bundle: Bundle, seal: bytes, cdhashes_at: CdhashesAt) -> None:
    """Raises Broken, naming the first file that is added, missing or changed."""
    values = load_plist(seal)
    try:
        rules = [_rule(pattern, value) for pattern, value in values["rules2"].items()]
        sealed = dict(values["files2"])
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, re.error) as error:
        raise Broken(f"a seal that cannot be read: {error!r}") from error
    executable = bundle.executable[len(bundle.base) + 1 :]
    seen = set()
    closed: list[str] = []
    for path, entry in sorted(files_below(tree, bundle.base)):
        if any(path == one or path.startswith(f"{one}/") for one in (*_NEVER_SEALED, *closed)) or path == executable:
            continue
        rule = _best(rules, path)
        if isinstance(entry, Folder):
            is_code = rule is not None and rule.nested and "." in path.rpartition("/")[2]
            if not is_code:
                continue
            closed.append(path)
        if rule is None or rule.omitted:
            continue
        if path not in sealed:
            raise Broken(f"{path} was added after signing")
        _verify_entry(path, entry, sealed[path], bundle, cdhashes_at)
        seen.add(path)
    for path, record in sealed.items():
        is_optional = isinstance(record, dict) and record.get("optional") is True
        if path not in seen and not is_optional:
            raise Broken(f"{path} is sealed and not there")


def _rule(pattern: str, value: Any) -> _Rule:
    """`true` or a dictionary."""
    if value is not True and not isinstance(value, dict):
        raise ValueError(f"rule {pattern!r} is neither true nor a dictionary")
    said: Mapping[str, Any] = {} if value is True else value
    return _Rule(
        # POSIX's $ is the very end of the path, and its . takes a line end too.
        pattern=re.compile(re.sub(r"(?<!\\)\$(?=$|[)|])", r"\\Z", pattern).encode(), re.DOTALL),
        weight=float(said.get("weight", 1)),
        omitted=said.get("omit") is True,
        nested=said.get("nested") is True,
    )


def _best(rules: list[_Rule], path: str) -> _Rule | None:
    matching = (rule for rule in rules if rule.pattern.search(path.encode()))
    return max(matching, key=lambda rule: rule.weight, default=None)


def _verify_entry(path: str, entry: Entry, record: Any, bundle: Bundle, cdhashes_at: CdhashesAt) -> None:
    said = record if isinstance(record, dict) else {"hash": record}
    if isinstance(entry, Link):
        if said.get("symlink") != entry.target:
            raise Broken(f"the link {path} was changed after signing")
        _demand_inside(path, entry.target, bundle)
    elif "cdhash" in said:
        if said["cdhash"] not in cdhashes_at(f"{bundle.base}/{path}"):
            raise Broken(f"the nested code {path} is not the one that was sealed")
    elif not isinstance(entry, File) or not _is_same(entry, said):
        raise Broken(f"{path} was changed after signing")


def _is_same(entry: File, said: Mapping[str, Any]) -> bool:
    """SHA-256 where it is recorded, else SHA-1; with neither nothing is proved."""
    for name, algorithm in (("hash2", "sha256"), ("hash", "sha1")):
        if name in said:
            with entry.place.open("rb") as stream:
                return bool(hashlib.file_digest(stream, algorithm).digest() == said[name])
    return False


def _demand_inside(path: str, target: str, bundle: Bundle) -> None:
    if target.startswith("/"):
        if not target.startswith(_SYSTEM):
            raise Broken(f"the link {path} leaves the bundle")
        return
    base = bundle.base[len(bundle.root) + 1 :]
    reached = posixpath.normpath(posixpath.join(base, posixpath.dirname(path), target))
    if reached == ".." or reached.startswith("../"):
        raise Broken(f"the link {path} leaves the bundle")
