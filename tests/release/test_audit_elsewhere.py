"""An audit on another machine, years later, by somebody who has nothing but a copy of the folder and may not write."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from builders.clients import need
from builders.workshop import ROOT, VERSION, Workshop

FAKES = Path(__file__).parents[1] / "fakes"


@pytest.fixture(scope="module")
def copy(finished: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder elsewhere, without keys, records and caches, with nobody's permission to write."""
    folder = tmp_path_factory.mktemp("another machine") / "kept"
    dropped = shutil.ignore_patterns("records", "zig", ".lock", ".work", "report.html")
    shutil.copytree(finished.outputs, folder, symlinks=True, ignore=dropped)
    for entry in (folder / "rehearsal").iterdir():
        if entry.name != "anchors":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    return folder


def look(folder: Path, *words: str, lever: str | None = None, prefix: tuple[str, ...] = (), **environment: str) -> str:
    """What `invoke audit` prints in an empty home, far from any configuration; it has to succeed."""
    program = [sys.executable, str(FAKES / lever)] if lever else [sys.executable, "-m", "invoke"]
    empty = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment}
    argv = [*prefix, *program, "--search-root", str(ROOT), "audit", "--folder", str(folder), *words]
    ran = subprocess.run(argv, cwd=ROOT, env=empty, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_it_asks_nobody_and_changes_nothing(copy: Path) -> None:
    """With every socket and every change refused by the interpreter, the audit proves all that it proves elsewhere."""
    told = look(copy, lever="looking.py")
    for words in (
        VERSION,
        "proves x86_64, arm64 offline",
        "accepted as submission",
        "Everything is as it was recorded",
    ):
        assert words in told
    assert look(copy) == told


def test_the_interpreter_does_refuse(copy: Path) -> None:
    """The same program cannot write a page there."""
    argv = [sys.executable, str(FAKES / "looking.py"), "report", "--folder", str(copy)]
    ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 14
    assert "report.html: PermissionError" in ran.stderr
    assert not (copy / "report.html").exists()


def test_without_permission_to_write(copy: Path) -> None:
    """A folder that cannot be written is judged as any other; root has to give up its privileges first."""
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        prefix = (str(need("setpriv")), "--bounding-set", "-dac_override,-dac_read_search,-fowner", "--")
        touched = subprocess.run([*prefix, "touch", str(copy / "x")], capture_output=True, check=False)
        assert touched.returncode != 0
    assert VERSION in look(copy, prefix=prefix)


def test_years_later(copy: Path) -> None:
    """With every certificate expired, what was signed in time holds: it is judged at its time stamp."""
    now = look(copy)
    assert look(copy, lever="standing_clock.py", NOW="2076-01-01T00:00:00+00:00") == now
    # Tickets and signatures tell their own moments; the clock of the machine that looks tells nothing.
    assert look(copy, lever="standing_clock.py", NOW="2001-01-01T00:00:00+00:00") == now
