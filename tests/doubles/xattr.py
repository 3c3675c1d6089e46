"""xattr(1): clears attributes, all but one of the system's."""

from __future__ import annotations

import os
from pathlib import Path

from doubles.bench import Job


def act(job: Job) -> int:
    if job.words[:1] != ["-cr"] or len(job.words) != 2:
        job.say("usage: xattr [-l] [-r] [-s] [-v] [-x] file [file ...]")
        return 64
    top = Path(job.words[1])
    for path in (top, *(top.rglob("*") if top.is_dir() else ())):
        for name in os.listxattr(path, follow_symlinks=False):
            if name != "user.com.apple.provenance":
                os.removexattr(path, name, follow_symlinks=False)
    return 0
