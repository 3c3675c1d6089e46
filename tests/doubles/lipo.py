"""lipo(1) of cctools: joins, and tells architectures."""

from __future__ import annotations

import sys
from pathlib import Path

from doubles.bench import Job, option
from pipeline import disk
from pipeline.errors import ReleaseError
from pipeline.macho import read_slices


def act(job: Job) -> int:
    words = job.words
    if words[:1] == ["-create"]:
        return _create(job)
    if words[:1] == ["-archs"]:
        found = _archs(job, words[1])
        if found:
            job.tell(" ".join(found))
        return 0 if found else 1
    if words[1:2] == ["-verify_arch"]:
        return 0 if set(words[2:]) <= set(_archs(job, words[0])) else 1
    return _fatal(job, f"unknown flag: {words[0] if words else ''}")


def _create(job: Job) -> int:
    output = option(job.words, "-output")
    inputs = [word for word in job.words[1:] if word not in ("-output", output)]
    if output is None or not inputs:
        return _fatal(job, "no output file specified")
    seen: dict[str, str] = {}
    for path in inputs:
        for arch in _archs(job, path) or ():
            if arch in seen:
                return _fatal(
                    job,
                    f"{seen[arch]} and {path} have the same architectures ({arch}) "
                    "and can't be in the same fat output file",
                )
            seen[arch] = path
    disk.join(job.host.files, [Path(path) for path in inputs], Path(output))
    if job.bench.lever("lipo-damages"):
        data = bytearray(Path(output).read_bytes())
        data[len(data) // 2] ^= 1
        Path(output).write_bytes(data)
    return 0


def _archs(job: Job, path: str) -> list[str]:
    try:
        with disk.open_source(Path(path)) as source:
            return [one.arch for one in read_slices(source)]
    except ReleaseError:
        _fatal(job, f"can't figure out the architecture type of: {path}")
        return []


def _fatal(job: Job, words: str) -> int:
    job.say(f"fatal error: {Path(sys.argv[0]).absolute()}: {words}")
    return 1
