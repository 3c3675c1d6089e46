"""Templates run from bin/ of a fresh clone; their copies are never lost; they hold no credential."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from builders.clients import need
from builders.clone import fresh_clone, run
from builders.workshop import ROOT
from fakes import launchctl

from pipeline import launchd

TEMPLATES = ROOT / "templates-for-bin"
SCRIPTS = ("sign-and-notarize", "test-meshagent")
FILES = sorted(path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*") if path.is_file())
COPIED = [name for name in FILES if name != "README.md"]
# PEM blocks, Apple IDs and app passwords, team and key identifiers, UUIDs, tokens, long runs of base64 or hex.
CREDENTIALS = re.compile(
    r"-----BEGIN|[\w.+-]+@[\w-]+\.\w+|\b[a-z]{4}(?:-[a-z]{4}){3}\b|\b(?=\w*[0-9])(?=\w*[A-Z])[A-Z0-9]{10}\b"
    r"|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}|gh[pousr]_\w+|eyJ\w+|[A-Za-z0-9+/]{40,}"
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone of this checkout's files in a path with spaces, its .venv this interpreter, templates copied."""
    folder = tmp_path_factory.mktemp("a fresh")
    clone = fresh_clone(folder / "clone of it", folder / "zig")
    done = run(clone, clone / ".venv/bin/invoke", "templates.copy")
    assert done.returncode == 0, done.stderr
    return clone


def test_every_template_is_copied_and_ignored_by_git(clone: Path) -> None:
    """bin/ holds every template with its mode, and git does not see it."""
    for name in COPIED:
        assert (clone / "bin" / name).read_bytes() == (TEMPLATES / name).read_bytes()
        assert (clone / "bin" / name).stat().st_mode == (TEMPLATES / name).stat().st_mode
    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert "bin" not in status.stdout


def test_they_run_in_rehearsal_from_another_folder(clone: Path, tmp_path: Path) -> None:
    """Dry first, then a whole rehearsal, then onto a machine below a root: all from elsewhere, spaces in the path."""
    dry = run(tmp_path, clone / "bin/sign-and-notarize", "--dry")
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout.startswith("build      would run")
    both = run(tmp_path, clone / "bin/test-meshagent", "--dry", "--git-pull")
    assert both.returncode == 0, both.stderr
    assert both.stdout.startswith("would run git -C ")
    assert [path.name for path in (clone / "build" / "macos").iterdir()] == ["zig"]
    whole = run(tmp_path, clone / "bin/sign-and-notarize")
    assert whole.returncode == 0, whole.stderr
    assert (clone / "build" / "macos" / "release.json").is_file()
    root = tmp_path / "a machine"
    launchctl.put(root, 502)
    words = ("--root", str(root), "--user", "502", "--refresh-plists")
    deployed = run(tmp_path, clone / "bin/test-meshagent", *words)
    assert deployed.returncode == 0, deployed.stderr
    assert "nothing to do" in deployed.stderr
    assert set(launchctl.loaded(root)) == {"system/meshagent", "gui/502/meshagent-agent"}
    assert list(tmp_path.iterdir()) == [root]


def test_a_changed_copy_is_never_written_over(clone: Path) -> None:
    """A copy not changed follows its template; a changed one stays, and the template's own change is printed."""
    template, copy = clone / "templates-for-bin" / SCRIPTS[0], clone / "bin" / SCRIPTS[0]
    other = clone / "templates-for-bin" / SCRIPTS[1]
    kept, kept_other = template.read_text(), other.read_text()
    copy.write_text(kept + "# mine\n")
    template.write_text(kept + "# a new line of the template\n")
    other.write_text(kept_other + "# newer\n")
    try:
        listed = run(clone, clone / ".venv/bin/invoke", "templates.list").stdout
        assert re.search(rf"{SCRIPTS[0]} +changed by you, and the template is newer", listed)
        done = run(clone, clone / ".venv/bin/invoke", "templates.copy")
        assert done.returncode == 0, done.stderr
        assert copy.read_text() == kept + "# mine\n"
        assert "+# a new line of the template" in done.stdout
        assert "# mine" not in done.stdout
        assert (clone / "bin" / SCRIPTS[1]).read_text() == kept_other + "# newer\n"
    finally:
        template.write_text(kept)
        other.write_text(kept_other)
        copy.write_text(kept)


def test_a_file_that_is_no_copy_is_left_alone(clone: Path, tmp_path: Path) -> None:
    """Another file or a link of a template's name stays as it is; an unknown name is refused."""
    (tmp_path / SCRIPTS[0]).write_text("mine")
    (tmp_path / SCRIPTS[1]).symlink_to("nowhere")
    done = run(clone, clone / ".venv/bin/invoke", "templates.copy", "--to", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / SCRIPTS[0]).read_text() == "mine"
    assert (tmp_path / SCRIPTS[1]).is_symlink()
    assert run(clone, clone / ".venv/bin/invoke", "templates.copy", "--only", "x").returncode == 2


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_at_most_twenty_lines(name: str) -> None:
    """A shell file is at most 20 lines, executable, and bash accepts it."""
    path = TEMPLATES / name
    assert len(path.read_text().splitlines()) <= 20
    assert stat.S_IMODE(path.stat().st_mode) & 0o111
    subprocess.run([str(need("bash")), "-n", str(path)], check=True)


@pytest.mark.parametrize("name", FILES)
def test_a_template_holds_no_credential_shape(name: str) -> None:
    """Nothing in a template looks like a key, a password, a team, an account or a token."""
    text = re.sub(r"https?://\S+", "", (TEMPLATES / name).read_text())
    assert CREDENTIALS.findall(text) == []


@pytest.mark.parametrize(
    "secret",
    [
        "-----BEGIN PRIVATE KEY-----",
        "someone@example.com",
        "abcd-efgh-ijkl-mnop",
        "A1B2C3D4E5",
        "69a6de70-03db-47e3-e053-5b8c7c11a4d1",
        "ghp_abcdef",
    ],
)
def test_a_credential_would_be_found(secret: str) -> None:
    """The pattern finds what it is there for."""
    assert CREDENTIALS.search(f'key = "{secret}"')


def test_the_launchd_set_is_what_is_rendered() -> None:
    """The templates' jobs are byte for byte what launchd.render makes of the defaults."""
    for layout, folder in launchd.LAYOUTS.items():
        rendered = launchd.render(launchd.Installation(service_id="meshagent", folder=folder))
        for name, data in rendered.items():
            assert (TEMPLATES / "launchd" / layout / name).read_bytes() == data


def test_the_workflow_uses_commands_that_exist() -> None:
    """Every option of every invoke command in the workflow is one that the command has."""
    text = (TEMPLATES / "github-release.yml").read_text().replace(">-\n          ", "")
    commands = re.findall(r"\.venv/bin/invoke (\w+)([^#\n]*(?:\n +--[^\n]*)*)", text)
    assert {name for name, _ in commands} == {"build", "release", "audit"}
    for name, words in commands:
        argv = [sys.executable, "-m", "invoke", "--help", name]
        shown = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for option in re.findall(r"--[a-z]+", words):
            assert option in shown
