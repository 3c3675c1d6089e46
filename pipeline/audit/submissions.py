"""notary/: what the notary said is kept as it was when it accepted, and of every submission the log tells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.audit.evidence import SUBMISSIONS, Evidence
from pipeline.errors import VerificationError
from pipeline.host import Host
from pipeline.model import Kind

_NAME = re.compile(r"([0-9a-f]{64})(\.log)?\.json")


def judge_submissions(host: Host, folder: Path, evidence: Evidence) -> Iterator[VerificationError]:
    """Of this release's archives every record has to be here, as it was; of earlier ones what is here."""
    place = folder / SUBMISSIONS
    known: set[str] = set()
    kept: dict[str, str] = {}
    for entry in evidence.entries:
        if entry.event in ("submitting", "accepted"):
            known.add(str(entry.facts.get("sha256")))
        if entry.event == "accepted":
            records = entry.facts.get("records")
            kept |= (
                {Path(name).name: str(digest) for name, digest in records.items()} if isinstance(records, dict) else {}
            )
    archives = {artifact.sha256 for artifact in evidence.artifacts if artifact.kind is Kind.ARCHIVE}
    here = {path.name for path in place.iterdir()} if place.is_dir() else set()
    for name in sorted(here | kept.keys()):
        where, found = f"{SUBMISSIONS}/{name}", _NAME.fullmatch(name)
        if found is None or found[1] not in known:
            message = "is no record of a submission that the log tells of"
            yield VerificationError(message, where=where, remedy="keep it elsewhere")
        elif name not in here:
            if found[1] in archives:
                yield VerificationError("is missing: the log tells what the notary said of this archive", where=where)
        elif (place / name).is_symlink() or not (place / name).is_file():
            yield VerificationError("is not a file", where=where)
        elif name in kept and host.files.sha256(place / name) != kept[name]:
            yield VerificationError("is not as it was when the notary accepted", where=where)
