"""Versions and what git says of a checkout, on real repositories made for each test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.checkout import Facts, checkout_facts, source_key
from pipeline.errors import ConfigurationError, HostRefused, ToolMissing
from pipeline.host import Host, system_host
from pipeline.version import version_of

DAY = 1_762_378_718  # 2025-11-05T21:38:38Z


def host(**environment: str) -> Host:
    known = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    return replace(system_host(), environment=known | environment)


def git(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Author",
        "GIT_AUTHOR_EMAIL": "author@example.org",
        "GIT_COMMITTER_NAME": "Committer",
        "GIT_COMMITTER_EMAIL": "committer@example.org",
        "GIT_AUTHOR_DATE": f"{DAY - 86400} -0700",
        "GIT_COMMITTER_DATE": f"{DAY} +0000",
    }
    completed = subprocess.run(
        ["git", *arguments], cwd=folder, env=variables | dict(environment or {}), capture_output=True, check=True
    )
    return completed.stdout.decode().strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One commit: src/main.c, src/sub/x, README, and build/ ignored."""
    top = tmp_path / "a repo"
    (top / "src" / "sub").mkdir(parents=True)
    (top / "src" / "main.c").write_text("int main;\n")
    (top / "src" / "sub" / "x").write_text("x\n")
    (top / "README").write_text("read\n")
    (top / ".gitignore").write_text("/build/\n*.o\n")
    git(top, "init", "-q")
    git(top, "add", ".")
    git(top, "commit", "-qm", "first")
    return top


@pytest.mark.parametrize(
    ("seconds", "version"),
    [
        (0, "70.0101.0000"),
        (946_684_799, "99.1231.2359"),
        (946_684_800, "00.0101.0000"),
        (1_709_251_199, "24.0229.2359"),
        (DAY, "25.1105.2138"),
        (1_795_248_959, "26.1121.0815"),
        (4_102_444_800, "00.0101.0000"),
    ],
)
def test_a_version_is_the_moment_in_utc(seconds: int, version: str) -> None:
    """The version is what `date -u +%y.%m%d.%H%M` prints of the same moment, midnights and leap days included."""
    said = subprocess.run(
        ["date", "-u", "-d", f"@{seconds}", "+%y.%m%d.%H%M"], capture_output=True, check=True, text=True
    )
    assert version_of(seconds) == version == said.stdout.strip()


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)), st.integers(-14 * 60, 14 * 60))
def test_the_writers_time_zone_does_not_matter(moment: datetime, minutes: int) -> None:
    """The same moment written in any zone has one version, and later moments of a century have greater versions."""
    there = moment.replace(tzinfo=UTC, microsecond=0).astimezone(timezone(timedelta(minutes=minutes)))
    version = version_of(int(there.timestamp()))
    assert version == f"{moment.year % 100:02}.{moment.month:02}{moment.day:02}.{moment.hour:02}{moment.minute:02}"


@pytest.mark.parametrize("seconds", [-1, 253_402_300_800, 10**30])
def test_a_moment_outside_the_calendar_is_refused(seconds: int) -> None:
    """No version is made up for a date that the calendar does not hold."""
    with pytest.raises(ConfigurationError):
        version_of(seconds)


@pytest.mark.parametrize("zone", ["+0000", "-0700", "+1345", "-1200"])
def test_the_date_is_the_committers(repository: Path, zone: str) -> None:
    """The author's date, the committer's zone and "Date:" lines in the message have no part in it."""
    message = "subject\n\nDate: Thu Jan 1 00:00:00 1970 +0000\ncommitter Else <e@e> 1 +0000\n"
    (repository / "README").write_text(zone)
    git(
        repository,
        *("commit", "-qam", message),
        environment={"GIT_COMMITTER_DATE": f"{DAY + 61} {zone}", "GIT_AUTHOR_DATE": f"{DAY + 5000} +0900"},
    )
    facts = checkout_facts(host(), repository / "src")
    assert facts.epoch == facts.commit_epoch == DAY + 61
    assert facts.commit == git(repository, "rev-parse", "HEAD")
    assert not facts.dirty
    assert version_of(facts.epoch) == "25.1105.2139"


def test_an_annotated_tag_is_read_as_its_commit(repository: Path) -> None:
    """A checkout of a tag that was made later has the date of the commit that it names."""
    git(repository, "tag", "-a", "v1", "-m", "tag", environment={"GIT_COMMITTER_DATE": f"{DAY + 9999} +0000"})
    git(repository, "checkout", "-q", "v1")
    assert checkout_facts(host(), repository).epoch == DAY


def test_a_users_configuration_changes_nothing(repository: Path) -> None:
    """Settings that rewrite git's output for people do not reach what is read here."""
    settings = {
        "log.date": "iso",
        "log.showSignature": "true",
        "status.showStash": "true",
        "status.branch": "true",
        "status.short": "true",
        "status.relativePaths": "true",
        "status.showUntrackedFiles": "no",
        "core.quotePath": "true",
        "core.fsmonitor": "false; touch RAN",
        "color.ui": "always",
    }
    for name, value in settings.items():
        git(repository, "config", name, value)
    (repository / "README").write_text("stashed\n")
    git(repository, "-c", "core.fsmonitor=false", "stash")
    (repository / "src" / "ü\nnew").write_text("1")
    facts = checkout_facts(host(), repository / "src")
    assert facts.epoch == DAY
    assert [change.path for change in facts.changes] == ["src/ü\nnew"]
    assert not (repository / "RAN").exists()


def test_source_date_epoch_takes_the_commits_place(repository: Path) -> None:
    """SOURCE_DATE_EPOCH gives the date, and the commit is still on record."""
    facts = checkout_facts(host(SOURCE_DATE_EPOCH="86400"), repository)
    assert (facts.epoch, facts.commit_epoch) == (86400, DAY)
    assert facts.commit is not None


@pytest.mark.parametrize("text", ["", "now", "-1", "1.5", "1e9", " 1", "٣", "9" * 13])
def test_a_wrong_source_date_epoch_is_refused(repository: Path, text: str) -> None:
    """What is not a plain number of seconds is an error, never ignored."""
    with pytest.raises(ConfigurationError, match="SOURCE_DATE_EPOCH"):
        checkout_facts(host(SOURCE_DATE_EPOCH=text), repository)


def test_without_a_repository_the_date_must_be_given(tmp_path: Path) -> None:
    """With neither git nor SOURCE_DATE_EPOCH there is no version; with the latter alone there is no commit."""
    (tmp_path / "main.c").write_text("1")
    with pytest.raises(ConfigurationError, match="SOURCE_DATE_EPOCH"):
        checkout_facts(host(), tmp_path)
    facts = checkout_facts(host(SOURCE_DATE_EPOCH="5"), tmp_path)
    assert (facts.commit, facts.tree, facts.dirty, facts.epoch) == (None, None, True, 5)
    assert [change.path for change in facts.changes] == ["main.c"]


def test_a_repository_without_a_commit_has_no_date(tmp_path: Path) -> None:
    """Before the first commit the date must be given, as without a repository."""
    git(tmp_path, "init", "-q")
    (tmp_path / "main.c").write_text("1")
    with pytest.raises(ConfigurationError, match="no commit yet"):
        checkout_facts(host(), tmp_path)
    facts = checkout_facts(host(SOURCE_DATE_EPOCH="5"), tmp_path)
    assert facts.commit is None
    assert [change.path for change in facts.changes] == ["main.c"]


def test_without_git_the_tool_is_missing(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No git program is a missing tool, not a missing repository."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="git"):
        checkout_facts(host(), repository)


def test_a_broken_link_to_a_repository_is_not_its_absence(tmp_path: Path) -> None:
    """A .git file that leads nowhere is refused even where SOURCE_DATE_EPOCH would do without git."""
    (tmp_path / ".git").write_text("gitdir: /nowhere/at/all\n")
    with pytest.raises(HostRefused, match="git refused"):
        checkout_facts(host(SOURCE_DATE_EPOCH="5"), tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_another_users_repository_is_refused_with_the_remedy(repository: Path) -> None:
    """Git's distrust of a foreign repository is told with the command that ends it."""
    for path in (repository, repository / ".git"):
        os.chown(path, 12345, 12345)
    with pytest.raises(HostRefused, match=r"safe\.directory"):
        checkout_facts(host(SOURCE_DATE_EPOCH="5"), repository)


def changed(facts: Facts) -> list[tuple[str, str | None]]:
    return [(change.path, change.mode) for change in facts.changes]


def test_changes_under_the_source_are_listed_and_elsewhere_make_dirty(repository: Path) -> None:
    """Any change makes the checkout dirty; only those under the source are part of its content."""
    clean = checkout_facts(host(), repository / "src")
    (repository / "README").write_text("else\n")
    elsewhere = checkout_facts(host(), repository / "src")
    assert elsewhere.dirty
    assert source_key(elsewhere) == source_key(clean)
    (repository / "src" / "main.c").write_text("int other;\n")
    (repository / "src" / "sub" / "x").unlink()
    (repository / "src" / "new").symlink_to("nowhere")
    (repository / "src" / "junk.o").write_text("ignored")
    (repository / "src" / "run").write_text("x")
    (repository / "src" / "run").chmod(0o755)
    git(repository, "add", "src/run")
    facts = checkout_facts(host(), repository / "src")
    assert changed(facts) == [
        ("src/main.c", "100644"),
        ("src/new", "120000"),
        ("src/run", "100755"),
        ("src/sub/x", None),
    ]


def test_the_key_follows_the_content_and_nothing_else(repository: Path) -> None:
    """Content, mode and names change the key; a commit that leaves the folder alone does not."""
    seen = {source_key(checkout_facts(host(), repository / "src"))}
    (repository / "README").write_text("2")
    git(repository, "commit", "-qam", "second")
    assert source_key(checkout_facts(host(), repository / "src")) in seen
    file = repository / "src" / "new"
    for content, mode in (("a", 0o644), ("b", 0o644), ("b", 0o755)):
        file.write_text(content)
        file.chmod(mode)
        seen.add(source_key(checkout_facts(host(), repository / "src")))
    file.rename(repository / "src" / "newer")
    seen.add(source_key(checkout_facts(host(), repository / "src")))
    assert len(seen) == 5


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_change_that_the_index_hides_is_seen(repository: Path, flag: str) -> None:
    """A file that git was told to take for unchanged is read all the same, and only a real change counts."""
    git(repository, "update-index", flag, "src/main.c")
    assert not checkout_facts(host(), repository / "src").dirty
    (repository / "src" / "main.c").write_text("int hidden;\n")
    facts = checkout_facts(host(), repository / "src")
    assert facts.dirty
    assert changed(facts) == [("src/main.c", "100644")]


def test_odd_names_arrive_whole(repository: Path) -> None:
    """Spaces, quotes, arrows, newlines, leading dashes, pathspec magic and bytes that are no UTF-8 are only names."""
    names = [b" lead", b"a -> b", b'q"uote', b"new\nline", b"-dash", b":(glob)*", b"tab\t", b"\xff\xfe"]
    for name in names:
        (repository / "src" / os.fsdecode(name)).write_text("1")
    facts = checkout_facts(host(), repository / "src")
    expected = {b"src/" + name for name in names if name != b"\xff\xfe"} | {b"src/\\xff\\xfe"}
    assert {change.path.encode() for change in facts.changes} == expected


def test_a_source_folder_with_an_odd_name_has_its_tree(repository: Path) -> None:
    """The folder's tree is found whatever its name holds."""
    folder = repository / "-a b:*\n[x]"
    folder.mkdir()
    (folder / "f").write_text("1")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "odd")
    facts = checkout_facts(host(), folder)
    assert facts.tree is not None
    assert facts.tree in git(repository, "ls-tree", "-d", "HEAD")
    assert facts.changes == ()


def test_a_submodules_changes_are_changes(repository: Path, tmp_path: Path) -> None:
    """A submodule is part of the source: its commit through the tree, its changed files through their digests."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "lib.c").write_text("1")
    git(other, "init", "-q")
    git(other, "add", ".")
    git(other, "commit", "-qm", "lib")
    git(repository, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "src/lib")
    git(repository, "commit", "-qm", "submodule")
    keys = [source_key(checkout_facts(host(), repository / "src"))]
    for content in ("2", "3"):
        (repository / "src" / "lib" / "lib.c").write_text(content)
        facts = checkout_facts(host(), repository / "src")
        assert facts.dirty
        assert changed(facts) == [("src/lib", "160000")]
        keys.append(source_key(facts))
    assert len(set(keys)) == 3


def test_a_repository_inside_the_repository_is_untracked_content(repository: Path) -> None:
    """A clone that lies in the source, and is no submodule, counts with its files."""
    inner = repository / "src" / "inner"
    inner.mkdir()
    (inner / "f").write_text("1")
    git(inner, "init", "-q")
    before = source_key(checkout_facts(host(), repository / "src"))
    (inner / "f").write_text("2")
    assert source_key(checkout_facts(host(), repository / "src")) != before


def test_an_ignored_source_is_read_whole(repository: Path) -> None:
    """Where git ignores the source folder itself, every file in it is its content."""
    folder = repository / "build" / "fetched"
    folder.mkdir(parents=True)
    (folder / "f").write_text("1")
    facts = checkout_facts(host(), folder)
    assert changed(facts) == [("build/fetched/f", "100644")]
    assert not facts.dirty


def test_our_own_outputs_are_passed_over(repository: Path) -> None:
    """What a release leaves in its output folder changes neither the key nor the state of the checkout."""
    outputs = repository / "src" / "out" / "macos"
    outputs.mkdir(parents=True)
    before = checkout_facts(host(), repository / "src", outputs=outputs)
    (outputs / "made").write_text("1")
    assert checkout_facts(host(), repository / "src", outputs=outputs) == before
    assert checkout_facts(host(), repository / "src").dirty


def test_nothing_in_the_repository_is_written(repository: Path) -> None:
    """Asking leaves git's own files as they were, the index with its stale times included."""
    os.utime(repository / "README", (1, 1))
    before = {path: path.stat().st_mtime_ns for path in (repository / ".git").rglob("*")}
    checkout_facts(host(), repository)
    assert {path: path.stat().st_mtime_ns for path in (repository / ".git").rglob("*")} == before
