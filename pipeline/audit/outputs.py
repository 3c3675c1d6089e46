"""The files of an output folder against its manifest: each one there, none besides, every byte as recorded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from pipeline import manifest
from pipeline.audit.evidence import SUBMISSIONS, Evidence, plain
from pipeline.audit.proof import Nested, Proof
from pipeline.audit.story import Told
from pipeline.audit.submissions import judge_submissions
from pipeline.codesign.certificates import Anchors
from pipeline.disk import Contents, tree_digest
from pipeline.disk.archive import demand_members
from pipeline.errors import HostRefused, MalformedFile, VerificationError
from pipeline.host import Host
from pipeline.journal import LOG
from pipeline.model import STAPLED_TICKET, Artifact, Built, Kind
from pipeline.provenance import ENVELOPE, STATEMENT

# Where a release puts what it makes: every file in there is known to the manifest.
_PLACES = ("unsigned", "x86_64", "arm64", "universal", "archives", "dist", "launchd")
# What tells of it is judged for itself.
_EVIDENCE = (LOG, manifest.NAME, manifest.REPORT, manifest.HISTORY, STATEMENT, ENVELOPE, SUBMISSIONS)
# The pipeline's own state, of which nothing is concluded.
_STATE = ("records", "rehearsal", "zig", ".lock", ".work")
_SUMS = "SHA256SUMS"


def judge_outputs(
    host: Host, folder: Path, evidence: Evidence, anchors: Anchors
) -> tuple[tuple[Told, ...], list[VerificationError]]:
    """What is to be told of each artifact that holds, and every finding; nothing stops at the first."""
    told: list[Told] = []
    findings: list[VerificationError] = []

    def attempt(judge: Callable[[], Told | None], where: str) -> None:
        try:
            if (words := judge()) is not None:
                told.append(words)
        except VerificationError as error:
            findings.append(_placed(error, folder, where))
        except (MalformedFile, HostRefused) as error:
            refused = VerificationError(error.message, where=error.where, remedy=error.remedy)
            findings.append(_placed(refused, folder, where))

    proof = Proof(host=host, folder=folder, evidence=evidence, anchors=anchors)
    builds = [manifest.built_from_json(entry) for entry in evidence.manifest.get("builds", [])]
    for built in builds:
        attempt(partial(_judge_built, host, folder, built), built.path)
    for path, digest in (evidence.manifest.get("build_records") or {}).items():
        attempt(partial(_judge_record, host, folder, str(path), str(digest)), str(path))
    for artifact in evidence.artifacts:
        attempt(partial(_judge, host, folder, proof, artifact), artifact.path)
    findings += [
        VerificationError("is not part of the release: no line of the manifest knows it", where=_on_one_line(path))
        for path in _strangers(folder, evidence.artifacts, builds)
    ]
    findings += judge_submissions(host, folder, evidence)
    return tuple(told), findings


def _judge_built(host: Host, folder: Path, built: Built) -> None:
    path = plain(folder, built.path)
    _demand(host.files.sha256(path), built.sha256)


def _judge_record(host: Host, folder: Path, path: str, digest: str) -> None:
    _demand(host.files.sha256(plain(folder, path)), digest)


def _judge(host: Host, folder: Path, proof: Proof, artifact: Artifact) -> Told:
    path = plain(folder, artifact.path)
    words: tuple[str, ...] = ()
    not_judged: tuple[str, ...] = ()
    nested: Nested = {}
    contents = Contents()
    # The digest comes last: what is found before it says more precisely what is wrong.
    if artifact.kind in (Kind.THIN, Kind.UNIVERSAL, Kind.APP):
        words, not_judged, nested = proof.of_code(artifact, path, contents)
    elif artifact.kind is Kind.TICKET:
        words = proof.of_ticket(artifact, path)
    elif artifact.kind is Kind.ARCHIVE:
        words = proof.of_archive(artifact)
        # Bundles were stapled after they had been archived.
        stapled = frozenset(f"{one.rpartition('/')[2]}/{STAPLED_TICKET}" for one in artifact.contents)
        demand_members(path, _members(folder, artifact), artifact.path, without=stapled)
    elif artifact.path.endswith(".zip"):
        demand_members(path, _members(folder, artifact), artifact.path)
        words = (f"holds {', '.join(artifact.contents)}, byte for byte",)
    if artifact.kind is Kind.APP:
        if not path.is_dir():
            raise VerificationError("is not a bundle")
        _demand(tree_digest(path, frozenset({STAPLED_TICKET}), contents), artifact.sha256)
    else:
        if not path.is_file():
            raise VerificationError("is not a file")
        _demand(tree_digest(path, contents=contents), artifact.sha256)
        if path.stat().st_size != artifact.size:
            raise VerificationError(f"has {path.stat().st_size} bytes, and {artifact.size} are recorded")
    if path.name == _SUMS:
        words = _judge_sums(host, path, proof)
    return Told(
        path=artifact.path,
        kind=str(artifact.kind),
        sha256=artifact.sha256,
        words=words,
        nested=nested,
        not_judged=not_judged,
    )


def _members(folder: Path, archive: Artifact) -> dict[str, Path]:
    return {one.rpartition("/")[2]: plain(folder, one) for one in archive.contents}


def _judge_sums(host: Host, path: Path, proof: Proof) -> tuple[str, ...]:
    """Every distribution is listed with its digest, and nothing else is."""
    folder = path.parent.name
    lines = host.files.read(path).decode("utf-8", "replace").splitlines()
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    expected = {
        artifact.path.removeprefix(f"{folder}/"): artifact.sha256
        for artifact in proof.evidence.artifacts
        if artifact.kind is Kind.DISTRIBUTION and not artifact.path.endswith(_SUMS)
    }
    if listed != expected:
        names = sorted(name for name in listed.keys() | expected.keys() if listed.get(name) != expected.get(name))
        raise VerificationError(f"does not list {names[0]} as it is")
    return (f"lists {', '.join(sorted(listed))}",)


def _demand(found: str, recorded: str) -> None:
    if found != recorded:
        raise VerificationError(f"SHA-256 {found} differs from the recorded {recorded}")


def _strangers(folder: Path, artifacts: tuple[Artifact, ...], builds: list[Built]) -> Iterator[str]:
    """Everything in the release's places that the manifest does not know; inside of bundles the seal decides."""
    known = {artifact.path for artifact in artifacts} | {built.path for built in builds}
    known |= {f"unsigned/{built.arch}/build.json" for built in builds}
    bundles = {artifact.path for artifact in artifacts if artifact.kind is Kind.APP}
    places = {*_PLACES, *(path.partition("/")[0] for path in known)}
    yield from sorted({path.name for path in folder.iterdir()} - places - {*_EVIDENCE, *_STATE})
    for place in sorted(places):
        if (folder / place).is_symlink() or not (folder / place).is_dir():
            if place not in known and os.path.lexists(folder / place):
                yield place
            continue
        for here, names, files in os.walk(folder / place):
            inside = Path(here).relative_to(folder)
            links = [name for name in names if (Path(here) / name).is_symlink()]
            yield from sorted(path for name in files + links if (path := (inside / name).as_posix()) not in known)
            names[:] = sorted(name for name in names if (inside / name).as_posix() not in bundles)


def _on_one_line(path: str) -> str:
    """A stranger's name, in which no line end can begin a line of our own."""
    return path if path.isprintable() else path.encode("unicode_escape").decode()


def _placed(error: VerificationError, folder: Path, where: str) -> VerificationError:
    """The error with its place under the folder, and the artifact's path in it."""
    place = (error.where or "").replace(f"{folder}{os.sep}", "")
    if where not in place:
        place = f"{where}: {place}" if place else where
    return VerificationError(error.message, where=place, remedy=error.remedy)
