"""The log and the manifest, held against each other: each names the other, so that neither can be changed alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import manifest
from pipeline.audit.story import Run
from pipeline.errors import VerificationError
from pipeline.host import Host
from pipeline.journal import LARGEST, LOG, MISSING, TORN, Entry, verify_chain
from pipeline.model import Artifact

SUBMISSIONS = "notary"
FINISHED = "finished"
BEGAN = "began"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A log that holds, and the manifest that its newest finished run left."""

    entries: tuple[Entry, ...]
    manifest: dict[str, Any]
    artifacts: tuple[Artifact, ...]
    runs: tuple[Run, ...]
    earlier: tuple[str, ...]
    """Names of the files in history/, each recorded by a run."""
    lost: tuple[str, ...]
    """Earlier manifests that are not here, and of which the log says so: removed, or kept back by a crash."""


def read_evidence(host: Host, folder: Path, head: str | None) -> Evidence:
    """Raises VerificationError, with the line or the file, where log, manifest and history do not fit together."""
    for name in (LOG, manifest.NAME, manifest.HISTORY, SUBMISSIONS):
        if (folder / name).is_symlink():
            raise VerificationError("a symbolic link stands in its place", where=name)
    if not (folder / LOG).is_file():
        raise VerificationError("is missing: nothing tells how this folder came to be", where=LOG)
    entries = verify_chain(host.files.read(folder / LOG, limit=LARGEST), LOG)
    if head is not None:
        _demand_head(entries, head)
    if not (folder / manifest.NAME).is_file():
        raise VerificationError("is missing: no release is finished here", where=manifest.NAME, remedy=_last(entries))
    data = host.files.read(folder / manifest.NAME, limit=manifest.LARGEST)
    document = manifest.from_bytes(data)
    _demand_recorded(entries, hashlib.sha256(data).hexdigest(), document)
    earlier, lost = _history(host, folder, entries)
    return Evidence(
        entries=entries,
        manifest=document,
        artifacts=tuple(manifest.artifact_from_json(artifact) for artifact in document["artifacts"]),
        runs=tuple(_runs(entries)),
        earlier=earlier,
        lost=lost,
    )


def plain(folder: Path, path: str) -> Path:
    """What lies at a path of the folder, which no link on the way leads elsewhere."""
    place = folder
    for part in path.split("/"):
        place = place / part
        if place.is_symlink():
            raise VerificationError("a symbolic link stands in its place", where=place.relative_to(folder).as_posix())
    if not place.exists():
        raise VerificationError("is missing", where=path)
    return place


def _demand_head(entries: tuple[Entry, ...], head: str) -> None:
    wanted = head.strip().lower()
    found = next((entry for entry in entries if entry.hash == wanted), None)
    if found is None:
        raise VerificationError(f"holds no line with the hash {wanted}: it was cut, or it is another log", where=LOG)
    if found is not entries[-1]:
        newer = len(entries) - found.seq
        raise VerificationError(f"the line with this hash is not the newest: {newer} were added", where=LOG)


def _demand_recorded(entries: tuple[Entry, ...], sha256: str, document: dict[str, Any]) -> None:
    """The manifest is the one that the newest finished run recorded, and no stage began after it."""
    named = document["log"]["head"]
    following = next((entry for entry in entries if entry.previous == named), None)
    finished = [entry for entry in entries if entry.event == FINISHED]
    if following is None or following.event != FINISHED:
        # The manifest names a line that is no longer followed by its own record; or the name itself was changed.
        end = "the line that records release.json" if any(e.hash == named for e in entries) else "the line it names"
        raise VerificationError(f"{end} is missing: the log was cut, or release.json was changed", where=LOG)
    if following.facts.get("manifest") != sha256:
        raise VerificationError(
            f"was changed after it was recorded in line {following.line} of {LOG}", where=manifest.NAME
        )
    if following is not finished[-1]:
        raise VerificationError(
            f"is an earlier one: line {finished[-1].line} of {LOG} records a newer", where=manifest.NAME
        )
    if following is not entries[-1]:
        after = entries[following.seq]
        what = "a stage began after it" if after.event == BEGAN else f"the log goes on after it with {after.event!r}"
        raise VerificationError(f"is not of what lies here: {what} (line {after.line} of {LOG})", where=manifest.NAME)


def _history(host: Host, folder: Path, entries: tuple[Entry, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the earlier manifests, and what the log itself tells to be missing; what it does not tell is refused."""
    finished = [entry for entry in entries if entry.event == FINISHED]
    recorded = {str(entry.facts.get("manifest")) for entry in finished[:-1]}
    place = folder / manifest.HISTORY
    here: dict[str, str] = {}
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        where = f"{manifest.HISTORY}/{path.name}"
        if path.is_symlink() or not path.is_file():
            raise VerificationError("is not a file", where=where)
        digest = host.files.sha256(path)
        if digest not in recorded:
            raise VerificationError("is not as any run recorded it", where=where, remedy="keep it elsewhere")
        if digest in here:
            raise VerificationError(f"is a copy of {here[digest]}", where=where, remedy="keep it elsewhere")
        here[digest] = path.name
    told = {str(entry.facts.get("manifest")) for entry in entries if entry.event == MISSING}
    gone = [entry for entry in finished[:-1] if str(entry.facts.get("manifest")) not in here]
    for entry in gone:
        if str(entry.facts.get("manifest")) not in told:
            raise VerificationError(
                f"the manifest of {entry.facts.get('version')} is missing: line {entry.line} of {LOG} records it",
                where=manifest.HISTORY,
                remedy="put it back; the next release that is made here tells in the log that it is gone",
            )
    return tuple(here.values()), tuple(f"{entry.facts.get('version')} (line {entry.line})" for entry in gone)


def _last(entries: tuple[Entry, ...]) -> str:
    return f"the log ends with: {entries[-1].event}" if entries else "the log is empty"


def _runs(entries: Iterable[Entry]) -> Iterable[Run]:
    """Each run with the stages it did and how it ended, in order."""
    by_run: dict[str, list[Entry]] = {}
    for entry in entries:
        by_run.setdefault(entry.run, []).append(entry)
    for run, lines in by_run.items():
        ended = next((entry for entry in reversed(lines) if entry.event in (FINISHED, "failed")), None)
        outcome = "did not finish"
        if ended is not None and ended.event == FINISHED:
            outcome = f"finished {ended.facts.get('version', '')}".rstrip()
        elif ended is not None:
            words = str(ended.facts.get("words", "")).partition("\n")[0]
            outcome = f"failed in {ended.stage}: {ended.facts.get('error')}: {words}"
        yield Run(
            id=run,
            began=lines[0].time,
            ended=lines[-1].time,
            stages=tuple(str(entry.stage) for entry in lines if entry.event == "done"),
            outcome=outcome,
            # Sealed by this run, torn by the one before it.
            sealed=sum(entry.event == TORN for entry in lines),
        )
