"""Reading jobs where they lie: a folder of strangers' files, of which none may stop the others from being read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pipeline import launchd
from pipeline.errors import MalformedFile, ReleaseError
from pipeline.host import Host
from pipeline.host.files import refusals

_SUFFIX = ".plist"


def job_paths(where: Path) -> list[Path]:
    """`where` itself, or every file in and under it whose name ends as launchd demands; sorted."""
    if not where.is_dir():
        return [where]
    return sorted(Path(here, name) for here, _, names in os.walk(where) for name in names if name.endswith(_SUFFIX))


def read_job(host: Host, path: Path) -> launchd.JobFile:
    """Raises MalformedFile for what is no job: a link to nowhere, a pipe, a giant, no property list."""
    is_link = path.is_symlink()
    try:
        with refusals(path):
            found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise MalformedFile("is not a regular file")
        if found.st_size > launchd.LARGEST:
            raise MalformedFile(f"{found.st_size} bytes; the most that is read of a job is {launchd.LARGEST}")
        data = host.files.read(path)
    except MalformedFile:
        raise
    except ReleaseError as error:
        raise MalformedFile(f"is a symbolic link: {error.message}" if is_link else error.message) from error
    return launchd.JobFile(
        path=str(path.absolute()),
        job=launchd.parse_job(data),
        mode=stat.S_IMODE(found.st_mode),
        owner=found.st_uid,
        is_link=is_link,
    )


def readable_jobs(host: Host, where: Path) -> list[tuple[Path, launchd.JobFile]]:
    """The jobs of a folder; files that are none are passed over, as the agent does that looks for its own."""
    jobs = []
    for path in job_paths(where) if where.is_dir() else []:
        try:
            jobs.append((path, read_job(host, path)))
        except MalformedFile:
            continue
    return jobs
