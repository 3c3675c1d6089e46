"""A checkout in a folder of its own, with a release.toml, in which the real `invoke release` runs as a process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LEVERED = ROOT / "tests" / "fakes" / "levered.py"
COMMITTED = "2026-11-21T06:15:30+00:00"
VERSION = "26.1121.0615"

# The binaries are compiled once for all tests; a "build" is mostly a copy, so that each can afford a whole release.
_MAKEFILE = """\
macos:
\tcp prebuilt/$(ARCH)/tool "$(OUTPUT)"
\tcp prebuilt/$(ARCH)/DEBUG_tool "$(DEBUG_OUTPUT)"
"""

_RELEASE = """\
[release]
world = "{world}"
{toolchain}
{body}
{more}
"""
BODY = """\
[product]
name = "meshagent"
identifier = "com.example.meshagent"
source = "source"
architectures = ["x86_64", "arm64"]
debug = true

[build]
command = {command}
minimum-macos = { x86_64 = "10.13", arm64 = "11.0" }

[app]
display-name = "Mesh Agent"
background = true
"""
COPY = ["make", "macos", "ARCH={arch}", "OUTPUT={output}", "DEBUG_OUTPUT={debug_output}"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a process left."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    folder: Path

    @property
    def outputs(self) -> Path:
        return self.folder / "build" / "macos"

    @property
    def configuration(self) -> Path:
        return self.folder / "release.toml"

    def configure(
        self,
        *,
        world: str = "rehearsal",
        command: list[str] | None = None,
        body: str = BODY,
        more: str = "",
        tools: Path | None = None,
    ) -> None:
        """Write release.toml and commit everything, at the moment that VERSION tells.

        `body`: products, build and apps, `{command}` for the command; `more` stands behind it. With `tools`, a folder
        of doubles, Apple's toolchain makes the release.
        """
        toolchain = "" if tools is None else 'toolchain = "apple"\n'
        more += "" if tools is None else f"\n[toolchain]\npath = {json.dumps(os.path.relpath(tools, self.folder))}\n"
        body = body.replace("{command}", json.dumps(command or COPY))
        text = _RELEASE.format(world=world, toolchain=toolchain, body=body, more=more)
        self.configuration.write_text(text)
        self.commit()

    def commit(self, date: str = COMMITTED) -> None:
        def git(*words: str) -> None:
            # The author's moment is another one, in another zone: it must not matter.
            moments = {"GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": "2001-01-01T00:00:00-0700"}
            names = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
            subprocess.run(
                ["git", *names, *words], cwd=self.folder, check=True, capture_output=True, env={**os.environ, **moments}
            )

        if not (self.folder / ".git").exists():
            git("init", "-q")
        git("add", "-A")
        git("commit", "-q", "--allow-empty", "-m", "A state of the source")

    def invoke(self, *words: str, lever: Path | None = None, environment: dict[str, str] | None = None) -> Ran:
        """Run `invoke WORDS --config release.toml` as a user would; `lever` is a program that stands in for invoke."""
        return self.invoke_plain(*words, "--config", str(self.configuration), lever=lever, environment=environment)

    def invoke_plain(self, *words: str, lever: Path | None = None, environment: dict[str, str] | None = None) -> Ran:
        """Run `invoke WORDS` and nothing more."""
        program = [sys.executable, "-m", "invoke"] if lever is None else [sys.executable, str(lever)]
        done = subprocess.run(
            [*program, *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env=os.environ | (environment or {}),
            start_new_session=True,
            check=False,
        )
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)

    def manifest(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.outputs / "release.json").read_text())
        return document

    def copy(self, to: Path) -> Workshop:
        """The same checkout and outputs in another folder, times kept."""
        shutil.copytree(self.folder, to, symlinks=True)
        return Workshop(folder=to)


def new_workshop(folder: Path, prebuilt: Path) -> Workshop:
    """A fresh checkout whose build copies from `prebuilt/<arch>/{tool,DEBUG_tool}`."""
    source = folder / "source"
    source.mkdir(parents=True)
    (source / "Makefile").write_text(_MAKEFILE)
    shutil.copytree(prebuilt, source / "prebuilt")
    (folder / ".gitignore").write_text("/build/\n")
    workshop = Workshop(folder=folder)
    workshop.configure()
    return workshop
