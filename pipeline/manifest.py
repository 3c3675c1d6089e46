"""release.json: what a release consists of, for people and scripts; and artifacts as JSON, wherever they are written.

`comparison` says what is other than in an earlier release.

How it came to be is told elsewhere (`journal`), and so is whether it is true (`audit`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.errors import VerificationError
from pipeline.host import Files
from pipeline.model import (
    Artifact,
    Built,
    Kind,
    Notarization,
    NotarizationStatus,
    Plan,
    Slice,
    Staple,
    StapleStatus,
    World,
)

SCHEMA = 1
NAME = "release.json"
HISTORY = "history"
REPORT = "report.html"
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
# The one control character that a console shows as it is, and the one that no path can hold.
_NO_LINE = re.compile("[\n\0]")
# What file systems take: NAME_MAX, in bytes.
_LONGEST_NAME = 255
# Of a manifest, in bytes: sixty artifacts take a hundredth of it.
LARGEST = 16 * 1024 * 1024
"""The page that shows what a manifest describes: gone as soon as the manifest no longer speaks."""


def build(
    plan: Plan,
    *,
    head: str,
    toolchain: str,
    tools: Mapping[str, str],
    build_records: Mapping[str, str] | None = None,
    provenance: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The manifest of a plan.

    `head`: the hash of the log's newest line; `tools`: name → version; `build_records`: path of each build.json → its
    SHA-256; `provenance`: which statement goes with it, and whose key signs it; `changes`: since an earlier release.
    """
    configuration = plan.configuration
    return {
        "schema": SCHEMA,
        "release": configuration.release,
        "products": [product.name for product in configuration.products],
        "version": plan.version,
        "world": str(configuration.world),
        "toolchain": toolchain,
        "doubles": configuration.tools is not None,
        "tools": dict(tools),
        "commit": plan.commit,
        "dirty": plan.dirty,
        "source_epoch": plan.source_epoch,
        "minimum_macos": {
            product.name: {arch: product.build.minimum_macos[arch] for arch in product.architectures}
            for product in configuration.products
        },
        "log": {"head": head},
        "builds": [built_to_json(built) for built in plan.builds],
        "build_records": dict(build_records or {}),
        "provenance": dict(provenance) if provenance else None,
        "changes": dict(changes) if changes else None,
        "artifacts": [artifact_to_json(artifact) for artifact in plan.artifacts],
    }


def to_bytes(document: Mapping[str, Any]) -> bytes:
    """The one form in which a manifest is written: the same facts give the same bytes."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def from_bytes(data: bytes, where: str = NAME) -> dict[str, Any]:
    """A manifest with the keys that others rely on, checked; keys unknown here stay. Raises VerificationError."""
    try:
        document = json.loads(data)
        if document["schema"] != SCHEMA:
            raise VerificationError(f"has schema {document['schema']}, and {SCHEMA} is known here", where=where)
        for key in ("release", "version", "toolchain"):
            _typed(document, key, str)
        World(document["world"])
        _typed(document, "dirty", bool)
        _typed(document["log"], "head", str)
        if document["commit"] is not None:
            _typed(document, "commit", str)
        _typed(document, "products", list)
        artifacts = [artifact_from_json(artifact) for artifact in _typed(document, "artifacts", list)]
        paths = [artifact.path for artifact in artifacts]
        if len(set(paths)) != len(paths):
            raise VerificationError("names an artifact twice", where=where)
        _check_rest(document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise VerificationError(f"is not a manifest ({type(error).__name__}: {error})", where=where) from error
    return dict(document)


def _check_rest(document: Mapping[str, Any]) -> None:
    """What an older manifest may lack, and that every text in it can be written. Raises ValueError and its like."""
    if _NO_LINE.search(document["version"]):
        raise ValueError("version is no text of one line")
    for built in document.get("builds", []):
        built_from_json(built)
    for path, digest in _texts_by_name(document, "build_records").items():
        _inside(path)
        _sha256(digest)
    _texts_by_name(document, "tools")
    if document.get("minimum_macos") is not None:
        _typed(document, "minimum_macos", dict)
    if (provenance := document.get("provenance")) is not None:
        _typed(provenance, "statement", str)
        _optional(provenance, "key")
    if (changes := document.get("changes")) is not None:
        _typed(changes, "since", str)
        for change in _typed(changes, "changes", list):
            for key in ("where", "what"):
                _typed(change, key, str)
            for key in ("before", "after"):
                _optional(change, key)
    json.dumps(document, ensure_ascii=False).encode()


def load(files: Files, path: Path) -> dict[str, Any]:
    """Read a manifest. Raises VerificationError where it is none, HostRefused where it cannot be read."""
    return from_bytes(files.read(path, limit=LARGEST), str(path))


def save(files: Files, folder: Path, data: bytes) -> None:
    """Write release.json; an earlier one moves to history first."""
    if _read(files, folder / NAME) != data:
        retire(files, folder)
        files.write(folder / NAME, data)


def retire(files: Files, folder: Path) -> None:
    """Move release.json to history/<version>.json: it no longer speaks for what lies in the folder.

    No record of a release is ever overwritten: a version that was made more than once gets a number behind it.
    """
    data = _read(files, folder / NAME)
    if data is None:
        return
    try:
        name, ending = from_bytes(data)["version"].replace("/", "_"), ".json"
    except VerificationError:
        # Kept as evidence, under a name that nobody reads as a manifest.
        name, ending = "release", ".unreadable"
    number = 1
    while True:
        path = folder / HISTORY / (f"{name}{ending}" if number == 1 else f"{name}-{number}{ending}")
        kept = _read(files, path)
        if kept == data:
            files.remove(folder / NAME)
            return
        if kept is None:
            files.move(folder / NAME, path)
            return
        number += 1


def before(files: Files, folder: Path, version: str) -> Path | None:
    """The newest manifest in history/ of another version than this; None where there is none.

    Versions are moments, so their texts are in order; of one version made more than once the last counts.
    """

    def order(path: Path) -> tuple[str, int]:
        name, _, number = path.stem.partition("-")
        return name, int(number) if number.isdecimal() else 1

    for path in sorted((folder / HISTORY).glob("*.json"), key=order, reverse=True):
        if load(files, path)["version"] != version:
            return path
    return None


def earlier(files: Files, folder: Path) -> Iterator[dict[str, Any]]:
    """Every manifest in the folder: the present one and those of its history. An unreadable one is an error."""
    for path in (folder / NAME, *sorted((folder / HISTORY).glob("*.json"))):
        if path.is_file():
            yield load(files, path)


def artifact_to_json(artifact: Artifact) -> dict[str, Any]:
    """Every field, except those that this artifact has nothing to say of."""
    document = asdict(artifact)
    for name in ("notarization", "staple"):
        if document[name] is not None:
            document[name] = {key: value for key, value in document[name].items() if value is not None}
    document["slices"] = [
        {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in entry.items()
            if _told(name, value)
        }
        for entry in document["slices"]
    ]
    document["contents"] = list(document["contents"])
    document["not_run"] = list(document["not_run"])
    always = ("product", "path", "kind", "debug", "sha256", "size", "slices")
    return {name: value for name, value in document.items() if name in always or value not in (None, [])}


def artifact_from_json(document: Mapping[str, Any]) -> Artifact:
    """Raises ValueError, KeyError or TypeError for what is not an artifact; unknown keys are passed over."""
    notarization, staple = document.get("notarization"), document.get("staple")
    return Artifact(
        product=_typed(document, "product", str),
        path=_inside(_typed(document, "path", str)),
        kind=Kind(document["kind"]),
        debug=_typed(document, "debug", bool),
        sha256=_sha256(document["sha256"]),
        size=_typed(document, "size", int),
        unsigned_sha256=_optional(document, "unsigned_sha256"),
        slices=tuple(_slice_from_json(entry) for entry in _typed(document, "slices", list)),
        notarization=None
        if notarization is None
        else Notarization(
            status=NotarizationStatus(notarization["status"]),
            submission=_optional(notarization, "submission"),
            archive=_optional_path(notarization, "archive"),
            reason=_optional(notarization, "reason"),
        ),
        staple=None
        if staple is None
        else Staple(
            status=StapleStatus(staple["status"]),
            reason=_optional(staple, "reason"),
            ticket=_optional_path(staple, "ticket"),
        ),
        contents=tuple(map(_inside, _texts(document.get("contents", [])))),
        not_run=_texts(document.get("not_run", [])),
    )


def _told(name: str, value: object) -> bool:
    """A slice always says whether it has a team; what else is None, nobody looked for."""
    return name == "team" or value is not None


def built_to_json(built: Built) -> dict[str, Any]:
    return asdict(built)


def built_from_json(document: Mapping[str, Any]) -> Built:
    """Raises ValueError, KeyError or TypeError for what is not a build's output."""
    return Built(
        product=_typed(document, "product", str),
        arch=_typed(document, "arch", str),
        debug=_typed(document, "debug", bool),
        path=_inside(_typed(document, "path", str)),
        sha256=_sha256(document["sha256"]),
        size=_typed(document, "size", int),
    )


def _slice_from_json(document: Mapping[str, Any]) -> Slice:
    return Slice(
        arch=_typed(document, "arch", str),
        cdhash=_typed(document, "cdhash", str),
        identifier=_typed(document, "identifier", str),
        team=_optional(document, "team"),
        flags=_texts(document["flags"]),
        entitlements=_optional_texts(document, "entitlements"),
        libraries=_optional_texts(document, "libraries"),
    )


def _inside(path: str) -> str:
    """A path that cannot leave the output folder, nor pass for a line of ours, whoever wrote it."""
    unfit = any(part in ("", ".", "..") or len(part.encode()) > _LONGEST_NAME for part in path.split("/"))
    if unfit or _NO_LINE.search(path):
        raise ValueError(f"{path[:_LONGEST_NAME]!r} is not a path under the output folder")
    return path


def _optional_path(document: Mapping[str, Any], key: str) -> str | None:
    return None if document.get(key) is None else _inside(_typed(document, key, str))


def _sha256(value: object) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError("a SHA-256 is not 64 hex digits")
    return value


def _texts_by_name(document: Mapping[str, Any], key: str) -> dict[str, str]:
    values = document.get(key) or {}
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise TypeError(f"{key} is not a table of texts")
    return values


def _typed(document: Mapping[str, Any], key: str, kind: type[Any]) -> Any:
    value = document[key]
    if type(value) is not kind:
        raise TypeError(f"{key} is {type(value).__name__} instead of {kind.__name__}")
    return value


def _optional(document: Mapping[str, Any], key: str) -> str | None:
    return None if document.get(key) is None else str(_typed(document, key, str))


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("is not a list of texts")
    return tuple(values)


def _optional_texts(document: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    return None if document.get(key) is None else _texts(document[key])


def _read(files: Files, path: Path) -> bytes | None:
    return files.read(path, limit=LARGEST) if path.is_file() else None
