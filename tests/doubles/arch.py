"""arch(1): no Mach-O file runs here; what one would print is a lever."""

from __future__ import annotations

from pathlib import Path

from doubles.bench import Job
from pipeline import disk
from pipeline.macho import read_slices


def act(job: Job) -> int:
    arch, path = job.words[0].removeprefix("-"), Path(job.words[1])
    with disk.open_source(path) as source:
        there = [one.arch for one in read_slices(source)]
    if arch not in there or arch in (job.bench.lever("cannot-run") or ()):
        job.say(f"arch: posix_spawnp: {path}: Bad CPU type in executable")
        return 1
    job.tell(job.bench.lever("version") or "1")
    return 0
