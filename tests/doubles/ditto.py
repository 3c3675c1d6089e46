"""ditto(1): unpacks zips, with links and modes."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

from doubles.bench import Job


def act(job: Job) -> int:
    if job.words[:2] != ["-x", "-k"] or len(job.words) != 4:
        job.say("Usage: ditto [ <options> ] src [ ... src ] dst")
        return 1
    target = Path(job.words[3])
    try:
        with zipfile.ZipFile(job.words[2]) as archive:
            for entry in archive.infolist():
                _unpack(archive, entry, target / entry.filename)
    except zipfile.BadZipFile:
        job.say(f"ditto: Couldn't read PKZip signature: {job.words[2]}")
        return 1
    if job.bench.lever("ditto-changes"):
        largest = max((path for path in target.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
        data = bytearray(largest.read_bytes())
        data[len(data) // 2] ^= 1
        largest.write_bytes(data)
    return 0


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, place: Path) -> None:
    mode = entry.external_attr >> 16
    if entry.is_dir():
        place.mkdir(parents=True, exist_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISLNK(mode):
        place.symlink_to(os.fsdecode(archive.read(entry)))
        return
    place.write_bytes(archive.read(entry))
    place.chmod(stat.S_IMODE(mode) or 0o644)
