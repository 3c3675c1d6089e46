"""A fresh clone of this checkout's files, as a user has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from builders.workshop import ROOT

_GIT = ("git", "-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
_NEEDLESS = ("tests/", "docs/", "fuzz/", "benchmarks/")


def fresh_clone(folder: Path, zig: Path) -> Path:
    """Committed, with this interpreter for its .venv; what zig compiles for itself lies in `zig`, shared by clones."""
    folder.mkdir(parents=True)
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    for name in (os.fsdecode(name) for name in names if name):
        if not name.startswith(_NEEDLESS) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
            (folder / name).chmod((ROOT / name).stat().st_mode)
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "A clone")):
        subprocess.run([*_GIT, *words], cwd=folder, check=True, capture_output=True)
    return equipped(folder, zig)


def clone_of(clone: Path, folder: Path, zig: Path) -> Path:
    """What `git clone` makes of a clone, on another machine."""
    subprocess.run(["git", "clone", "-q", str(clone), str(folder)], check=True, capture_output=True)
    return equipped(folder, zig)


def equipped(folder: Path, zig: Path) -> Path:
    invoke = folder / ".venv" / "bin" / "invoke"
    invoke.parent.mkdir(parents=True)
    invoke.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m invoke "$@"\n')
    invoke.chmod(0o755)
    cache = folder / "build" / "macos" / "zig"
    cache.parent.mkdir(parents=True, exist_ok=True)
    zig.mkdir(parents=True, exist_ok=True)
    cache.symlink_to(zig)
    return folder


def run(cwd: Path, *argv: str | Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A process as a user of the clone starts it."""
    environment = os.environ | (environment or {})
    return subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
