"""An output folder with a log and a manifest, of plain files that need no signature: quick to make and to damage."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pipeline import manifest
from pipeline.host import system_host
from pipeline.journal import Journal
from pipeline.model import Artifact, Kind


def new_outputs(folder: Path, *, runs: int = 1) -> Path:
    """`runs` finished runs in world "local", each with its own version; the earlier manifests are in history/."""
    folder.mkdir(parents=True)
    for number in range(1, runs + 1):
        finish_run(folder, number, _write(folder, number))
    return folder


def _write(folder: Path, number: int) -> list[Artifact]:
    contents = {
        "dist/tool.tar": f"bytes of run {number}\n".encode(),
        "launchd/plain/tool.plist": b"<plist/>\n",
    }
    kinds = {"dist/tool.tar": Kind.DISTRIBUTION, "launchd/plain/tool.plist": Kind.LAUNCHD}
    tar = hashlib.sha256(contents["dist/tool.tar"]).hexdigest()
    contents["dist/SHA256SUMS"] = f"{tar}  tool.tar\n".encode()
    for path, data in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return [
        Artifact(
            product="tool",
            path=path,
            kind=kinds.get(path, Kind.DISTRIBUTION),
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
        )
        for path, data in contents.items()
    ]


def finish_run(folder: Path, number: int, artifacts: list[Artifact], **facts: Any) -> None:
    """Write the log and the manifest as a release does at its end."""
    host = system_host()
    log = Journal(host.files, host.clock, folder / "audit.jsonl", run=f"run{number}", redact=host.redact)
    manifest.retire(host.files, folder)
    log.record("began", stage="package", why="not done yet")
    log.record("done", stage="package", outputs=[artifact.path for artifact in artifacts])
    document = {
        "schema": 1,
        "release": "tool",
        "products": ["tool"],
        "version": f"26.1121.000{number}",
        "world": "local",
        "toolchain": "portable",
        "doubles": False,
        "commit": "c0ffee",
        "dirty": False,
        "log": {"head": log.head},
        "builds": [],
        "artifacts": [manifest.artifact_to_json(artifact) for artifact in artifacts],
    } | facts
    data = manifest.to_bytes(document)
    log.record("finished", manifest=hashlib.sha256(data).hexdigest(), version=document["version"])
    manifest.save(host.files, folder, data)


def manifest_of(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "release.json").read_text())
    return document
