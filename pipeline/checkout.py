"""What git says of a source folder: commit, date, and whether anything differs from it.

Read with plumbing commands alone, whose output no user's configuration changes; nothing in the repository is written.
The version that the date becomes is not here (`version`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigurationError, HostRefused
from pipeline.host import Completed, Host
from pipeline.host.files import refusals

# A repository's own configuration may name programs to run (a file system monitor) and hide files; ours may not write.
_GIT = ("git", "--no-optional-locks", "-c", "core.fsmonitor=false")
# Messages are read below; replaced objects are not what was committed.
_ENVIRONMENT = {"LC_ALL": "C", "GIT_NO_REPLACE_OBJECTS": "1"}
_DATE = "SOURCE_DATE_EPOCH"
_SUBMODULE = "160000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A file that differs from the commit, or that the commit does not know."""

    path: str
    """Relative to the repository, or to the source where there is none."""
    mode: str | None
    """As git writes it: 100644, 100755, 120000, 160000. None where the file is gone."""
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A source folder as git sees it."""

    commit: str | None
    """None where there is no repository."""
    dirty: bool
    """Is anything in the repository changed or untracked? True where there is no commit to compare with."""
    epoch: int
    """Seconds since 1970 UTC that the version is made of: SOURCE_DATE_EPOCH, or HEAD's committer date."""
    commit_epoch: int | None
    tree: str | None
    """Git's id of the source folder in the commit; None where the commit has no such folder."""
    changes: tuple[Change, ...]
    """Under the source folder alone, sorted by path; every file where there is no tree."""


def checkout_facts(host: Host, source: Path, *, outputs: Path | None = None) -> Facts:
    """Ask git about a source folder. `outputs`, where our own files lie, is passed over.

    Raises ToolMissing without git, HostRefused where git refuses the folder, ConfigurationError where neither a commit
    nor SOURCE_DATE_EPOCH gives a date.
    """
    source = source.resolve()
    outputs = outputs.resolve() if outputs else None
    given = _given_date(host)
    top = _top(host, source)
    head = _head(host, top) if top else None
    if given is None and head is None:
        raise ConfigurationError(
            "the repository has no commit yet" if top else "is not in a git repository",
            where=str(source),
            remedy=f"commit, or set {_DATE} to the seconds since 1970 that the version is made of",
        )
    if top is None or head is None:
        changes = tuple(_everything(host, source, source, outputs))
        return Facts(commit=None, dirty=True, epoch=given or 0, commit_epoch=None, tree=None, changes=changes)
    commit, commit_epoch = head
    tree = _tree(host, top, source)
    changed = {path for path in _changed(host, top) if not _is_under(top / os.fsdecode(path), outputs)}
    if tree is None and _is_ignored(host, top, source):
        changes = tuple(_everything(host, top, source, outputs))
    else:
        under = sorted(path for path in changed if _is_under(top / os.fsdecode(path), source))
        changes = tuple(_change(host, top, top / os.fsdecode(path)) for path in under)
    return Facts(
        commit=commit,
        dirty=bool(changed),
        epoch=commit_epoch if given is None else given,
        commit_epoch=commit_epoch,
        tree=tree,
        changes=changes,
    )


def source_key(facts: Facts) -> str:
    """A digest of the source folder's content: the same for the same files, whatever the commit."""
    content = [facts.tree, [[change.path, change.mode, change.sha256] for change in facts.changes]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _given_date(host: Host) -> int | None:
    text = host.environment.get(_DATE)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise ConfigurationError(f'"{text}" is not a number of seconds since 1970', where=_DATE)
    return int(text)


def _run(host: Host, folder: Path, *arguments: str, stdin: bytes = b"") -> Completed:
    return host.runner.run((*_GIT, *arguments), cwd=folder, environment=_ENVIRONMENT, stdin=stdin)


def _git(host: Host, folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    completed = _run(host, folder, *arguments, stdin=stdin)
    if completed.returncode != 0:
        raise _refused(completed, folder)
    return completed.stdout


def _refused(completed: Completed, folder: Path) -> HostRefused:
    words = completed.last_lines(4)
    if "dubious ownership" in words:
        return HostRefused(
            "git does not trust this repository: it belongs to another user",
            where=str(folder),
            remedy=f"git config --global --add safe.directory {folder}",
        )
    return HostRefused(f"git refused: {words}", where=str(folder))


def _top(host: Host, source: Path) -> Path | None:
    """The work tree that holds the source; None where there is none."""
    completed = _run(host, source, "rev-parse", "--show-toplevel")
    if completed.returncode == 0:
        return Path(os.fsdecode(completed.stdout.removesuffix(b"\n")))
    # The other form of these words names a broken link to a repository, which is not the absence of one.
    if completed.stderr.startswith(b"fatal: not a git repository (or any"):
        return None
    raise _refused(completed, source)


def _head(host: Host, top: Path) -> tuple[str, int] | None:
    """HEAD's commit and its committer date; None before the first commit."""
    if _run(host, top, "rev-parse", "--verify", "--quiet", "HEAD").returncode != 0:
        return None
    seconds, commit = _git(host, top, "rev-list", "--max-count=1", "--timestamp", "HEAD").decode().split()
    return commit, int(seconds)


def _tree(host: Host, top: Path, source: Path) -> str | None:
    name = f"HEAD:{os.fsdecode(source.relative_to(top))}" if source != top else "HEAD^{tree}"
    found = _run(host, top, "rev-parse", "--verify", "--quiet", name)
    return found.stdout.decode().strip() if found.returncode == 0 else None


def _changed(host: Host, top: Path) -> set[bytes]:
    """Paths, relative to the work tree, that differ from HEAD or are untracked and not ignored."""
    status = ("status", "--porcelain=v2", "-z", "--untracked-files=all", "--ignore-submodules=none", "--no-renames")
    # The fields before the path of each kind of line: git-status(1), "Porcelain Format Version 2".
    fields = {b"1": 8, b"u": 10, b"?": 1}
    changed = set()
    for line in _git(host, top, *status).split(b"\0"):
        # Headers appear where a user's configuration asks for them (status.showStash).
        if line and line[:1] != b"#":
            if line[:1] not in fields:
                raise HostRefused(f"git status wrote a line that is unknown here: {line[:80]!r}", where=str(top))
            changed.add(line.split(b" ", fields[line[:1]])[-1].rstrip(b"/"))
    return changed | _hidden(host, top)


def _hidden(host: Host, top: Path) -> set[bytes]:
    """Files that the index was told to take for unchanged, and that are not: a release must not believe it."""
    flagged = [line[2:] for line in _git(host, top, "ls-files", "-v", "-z").split(b"\0") if line[:1] in b"hsS" and line]
    present = [path for path in flagged if os.path.lexists(top / os.fsdecode(path))]
    if not present:
        return set()
    staged = _git(host, top, "ls-files", "--stage", "-z").split(b"\0")
    ids = {line.split(b"\t", 1)[1]: line.split(b" ", 2)[1] for line in staged if line}
    changed = set()
    for path in present:
        file = top / os.fsdecode(path)
        if stat.S_ISDIR(file.lstat().st_mode):
            changed.add(path)
            continue
        if file.is_symlink():
            now = _git(host, top, "hash-object", "--stdin", stdin=os.fsencode(file.readlink()))
        else:
            now = _git(host, top, "hash-object", "--", os.fsdecode(path))
        if now.strip() != ids[path]:
            changed.add(path)
    return changed


def _is_ignored(host: Host, top: Path, source: Path) -> bool:
    # The name goes in by standard input: as an argument it would be a pattern.
    completed = _run(host, top, "check-ignore", "--stdin", "-z", stdin=os.fsencode(source) + b"\0")
    if completed.returncode not in (0, 1):
        raise _refused(completed, source)
    return completed.returncode == 0


def _change(host: Host, root: Path, path: Path) -> Change:
    """A path's mode and digest as it lies there now."""
    name = os.fsencode(path.relative_to(root)).decode("utf-8", "backslashreplace")
    if not os.path.lexists(path):
        return Change(path=name, mode=None, sha256=None)
    with refusals(path):
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode):
            return Change(path=name, mode=_SUBMODULE, sha256=_nested(host, path))
        if stat.S_ISLNK(found.st_mode):
            return Change(path=name, mode="120000", sha256=hashlib.sha256(os.fsencode(path.readlink())).hexdigest())
    if not stat.S_ISREG(found.st_mode):
        raise HostRefused("is neither a file, a link nor a folder", where=str(path))
    mode = "100755" if found.st_mode & stat.S_IXUSR else "100644"
    return Change(path=name, mode=mode, sha256=host.files.sha256(path))


def _nested(host: Host, folder: Path) -> str:
    """The digest of a changed submodule, or of a repository inside the repository: its files that are not ignored."""
    listed = _git(host, folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    paths = sorted({path.rstrip(b"/") for path in listed.split(b"\0") if path})
    changes = [_change(host, folder, folder / os.fsdecode(path)) for path in paths]
    return hashlib.sha256(json.dumps([[one.path, one.mode, one.sha256] for one in changes]).encode()).hexdigest()


def _everything(host: Host, root: Path, source: Path, outputs: Path | None) -> Iterator[Change]:
    """Every file under a source that git does not know."""
    for folder, names, files in os.walk(source):
        here = Path(folder)
        names[:] = sorted(name for name in names if name != ".git" and not _is_under(here / name, outputs))
        links = [name for name in names if (here / name).is_symlink()]
        for name in sorted(files + links):
            yield _change(host, root, here / name)


def _is_under(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.is_relative_to(folder)
