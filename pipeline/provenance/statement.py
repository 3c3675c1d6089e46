"""The statement itself: a function of the manifest, the log and the files of the bundles, and of nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline import disk, manifest
from pipeline.errors import VerificationError
from pipeline.host import Files
from pipeline.journal import Entry
from pipeline.model import STAPLED_TICKET, Artifact, Built, Kind
from pipeline.provenance.signing import Signer, verify_envelope

STATEMENT = "provenance.json"
ENVELOPE = "provenance.intoto.jsonl"

_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://slsa.dev/provenance/v1"
# What external parameters mean, and who built: a package URL, since a release has no address of its own.
_BUILD_TYPE = "pkg:pypi/macos-release-pipeline#docs/provenance.md@v1"
_BUILDER = "pkg:pypi/macos-release-pipeline"
# Tools that no registry has: the host's own.
_NO_PACKAGES = frozenset({"python", "macos", "xcode", "sdk", "codesign", "notarytool"})


def statement(files: Files, folder: Path, data: bytes, entries: Sequence[Entry]) -> bytes:
    """The statement of the release that a manifest's bytes describe. Raises VerificationError where the log lacks it.

    Of the folder, bundles are read: each file of a bundle ships, so each is a subject.
    """
    digest = hashlib.sha256(data).hexdigest()
    document = manifest.from_bytes(data)
    finished = next((one for one in reversed(entries) if one.facts.get("manifest") == digest), None)
    if finished is None:
        raise VerificationError("no line of the log records it", where=manifest.NAME)
    artifacts = [manifest.artifact_from_json(one) for one in document["artifacts"]]
    links = _Links(document, artifacts)
    subjects = [one for artifact in artifacts if _ships(artifact) for one in _subjects(files, folder, artifact, links)]
    return _to_bytes(
        {
            "_type": _TYPE,
            "subject": subjects,
            "predicateType": _PREDICATE,
            "predicate": {
                "buildDefinition": _definition(document),
                "runDetails": {
                    "builder": {"id": _BUILDER},
                    "metadata": {
                        "invocationId": finished.run,
                        "startedOn": _began(entries, finished),
                        "finishedOn": finished.time,
                    },
                    "byproducts": list(_byproducts(document, artifacts, digest, finished)),
                },
            },
        }
    )


def write(files: Files, folder: Path, payload: bytes, signer: Signer | None) -> None:
    """Write the statement and, with a signer, its envelope; what is there already and holds stays as it is."""
    path, envelope = folder / STATEMENT, folder / ENVELOPE
    if not path.is_file() or files.read(path) != payload:
        files.write(path, payload)
    if signer is None:
        files.remove(envelope)
    elif not _is_signed(files, envelope, payload, signer):
        files.write(envelope, signer.envelope(payload))


def retire(files: Files, folder: Path) -> None:
    """Take away what would speak for outputs that are about to change."""
    files.remove(folder / STATEMENT)
    files.remove(folder / ENVELOPE)


def _is_signed(files: Files, path: Path, payload: bytes, signer: Signer) -> bool:
    if not path.is_file():
        return False
    try:
        verify_envelope(files.read(path), payload, signer.public_key, signer.key_id, path.name)
    except VerificationError:
        return False
    return True


class _Links:
    """From a slice back to the unsigned file it was made of, and on to the submission and the ticket that prove it."""

    def __init__(self, document: Mapping[str, Any], artifacts: Sequence[Artifact]) -> None:
        builds = [manifest.built_from_json(one) for one in document.get("builds", [])]
        self._unsigned: dict[tuple[str, str, bool], Built] = {(one.product, one.arch, one.debug): one for one in builds}
        self._digests = {artifact.path: artifact.sha256 for artifact in artifacts}

    def of(self, artifact: Artifact, ticket: str | None) -> dict[str, Any]:
        """What an artifact's annotations say; `ticket`: the digest of the one that it carries itself."""
        slices = []
        for entry in artifact.slices:
            built = self._unsigned.get((artifact.product, entry.arch, artifact.debug))
            unsigned = {"unsigned": {"name": built.path, "sha256": built.sha256}} if built else {}
            slices.append({"arch": entry.arch, "cdhash": entry.cdhash, "identifier": entry.identifier} | unsigned)
        said: dict[str, Any] = {"product": artifact.product, "kind": str(artifact.kind)}
        if slices:
            said["slices"] = slices
        if artifact.notarization is not None:
            said["notarization"] = {
                "status": str(artifact.notarization.status),
                "submission": artifact.notarization.submission,
                "archive": self._named(artifact.notarization.archive),
            }
        if artifact.staple is not None:
            beside = self._named(artifact.staple.ticket)
            own = {"name": STAPLED_TICKET, "sha256": ticket} if ticket else None
            said["ticket"] = {"status": str(artifact.staple.status)} | (own or beside or {})
        if artifact.contents:
            said["contents"] = list(artifact.contents)
        return said

    def _named(self, path: str | None) -> dict[str, str] | None:
        return None if path is None else {"name": path, "sha256": self._digests.get(path, "")}


def _ships(artifact: Artifact) -> bool:
    return not artifact.debug and artifact.kind not in (Kind.ARCHIVE, Kind.TICKET)


def _subjects(files: Files, folder: Path, artifact: Artifact, links: _Links) -> Iterator[dict[str, Any]]:
    if artifact.kind is not Kind.APP:
        yield _resource(artifact.path, artifact.sha256, links.of(artifact, None))
        return
    bundle = folder / artifact.path
    inside = sorted(path for path in bundle.rglob("*") if path.is_file() and not path.is_symlink())
    digests = {path.relative_to(bundle).as_posix(): files.sha256(path) for path in inside}
    code = disk.code_hashes(bundle)
    said = links.of(artifact, digests.get(STAPLED_TICKET))
    for name, digest in digests.items():
        # The chain of a bundle hangs on its executable; its other files ship with it, under its seal.
        of_code = name == f"Contents/MacOS/{artifact.product}"
        of_bundle: dict[str, Any] = {"bundle": artifact.path}
        if name in code:
            of_bundle["slices"] = [{"arch": arch, "cdhash": cdhash} for arch, cdhash in code[name].items()]
        yield _resource(f"{artifact.path}/{name}", digest, said if of_code else of_bundle)


def _definition(document: Mapping[str, Any]) -> dict[str, Any]:
    commit = document["commit"]
    source = [{"name": "source", "digest": {"gitCommit": commit}, "annotations": {"dirty": document["dirty"]}}]
    tools = document.get("tools") or {}
    return {
        "buildType": _BUILD_TYPE,
        "externalParameters": {
            "release": document["release"],
            "products": document["products"],
            "version": document["version"],
            "world": document["world"],
            "minimumMacos": document.get("minimum_macos") or {},
            "sourceDateEpoch": document.get("source_epoch"),
        },
        "internalParameters": {"toolchain": document["toolchain"], "doubles": document.get("doubles")},
        "resolvedDependencies": [
            *(source if commit else []),
            *(_tool(name, version) for name, version in sorted(tools.items()) if version != "absent"),
        ],
    }


def _tool(name: str, version: str) -> dict[str, Any]:
    """As a package URL: https://github.com/package-url/purl-spec."""
    kind = "generic" if name in _NO_PACKAGES else "pypi"
    return {"name": name, "uri": f"pkg:{kind}/{name}@{quote(version, safe='')}"}


def _began(entries: Sequence[Entry], finished: Entry) -> str:
    """When the first of the stages began that this release is made of, in whichever run."""
    began: dict[str | None, str] = {}
    done: dict[str | None, str] = {}
    for entry in entries[: finished.seq]:
        if entry.event == "began":
            began[entry.stage] = entry.time
        elif entry.event == "done" and entry.stage in began:
            done[entry.stage] = began[entry.stage]
    return min(done.values(), default=finished.time)


def _byproducts(
    document: Mapping[str, Any], artifacts: Sequence[Artifact], digest: str, finished: Entry
) -> Iterator[dict[str, Any]]:
    for one in document.get("builds", []):
        yield _resource(one["path"], one["sha256"], {"unsigned": True, "arch": one["arch"], "debug": one["debug"]})
    for artifact in artifacts:
        if not _ships(artifact) and artifact.kind is not Kind.APP:
            said = {"kind": str(artifact.kind), "debug": artifact.debug}
            notarized = artifact.notarization
            if notarized is not None and notarized.submission is not None:
                said["submission"] = notarized.submission
            yield _resource(artifact.path, artifact.sha256, said)
    yield _resource(manifest.NAME, digest, {})
    # The newest line stands for all before it; its hash is a digest of that line alone.
    yield {
        "name": "audit.jsonl",
        "annotations": {"head": finished.hash, "lines": finished.line},
    }


def _resource(name: str, sha256: str, annotations: Mapping[str, Any]) -> dict[str, Any]:
    said = {"annotations": dict(annotations)} if annotations else {}
    return {"name": name, "digest": {"sha256": sha256}, **said}


def _to_bytes(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
