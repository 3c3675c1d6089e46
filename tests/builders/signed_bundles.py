"""Bundles signed as a developer would, and what is then in their files."""

from __future__ import annotations

import hashlib
import os
import plistlib
from pathlib import Path
from typing import Any

from builders import chain
from pipeline.codesign.code_directory import Flags
from pipeline.codesign.options import SigningOptions
from pipeline.disk import sign_bundle
from pipeline.host import Files

DEVELOPER = chain.developer_id()
OPTIONS = SigningOptions(anchors=DEVELOPER.anchors, flags=Flags.RUNTIME)


def sign(bundle: Path, output: Path | None = None, options: SigningOptions = OPTIONS, *, ad_hoc: bool = False) -> Path:
    """Signs to `output`, by default beside the bundle in a folder `signed`; returns where."""
    output = output or bundle.parent / "signed" / bundle.name
    identity = None if ad_hoc else DEVELOPER.identity
    sign_bundle(Files(), bundle, output, options, identity, signing_time=chain.SIGNED_AT)
    return output


def sign_told(bundle: Path, output: Path, **how: Any) -> list[tuple[str, str]]:
    """Signs with these further arguments of `sign_bundle`; returns (path, words) of all that is told, sorted."""
    told: list[tuple[str, str]] = []
    options = SigningOptions(anchors=DEVELOPER.anchors)
    how |= {"signing_time": chain.SIGNED_AT, "told": lambda path, words: told.append((path, words))}
    sign_bundle(Files(), bundle, output, options, DEVELOPER.identity, **how)
    return sorted(told)


def seal(bundle: Path) -> dict[str, Any]:
    """CodeResources of an app."""
    found = plistlib.loads((bundle / "Contents/_CodeSignature/CodeResources").read_bytes())
    assert isinstance(found, dict)
    return found


def sha256(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def sha1(path: Path) -> bytes:
    return hashlib.sha1(path.read_bytes()).digest()


def tree(folder: Path) -> dict[str, object]:
    """Every path: a link's text, a file's mode and SHA-256, None for a folder."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)  # noqa: PTH115 - Path would rewrite the text
        elif path.is_file():
            found[name] = (path.stat().st_mode & 0o777, sha256(path))
        else:
            found[name] = None
    return found
