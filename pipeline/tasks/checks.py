"""The project's own tests and checks."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from invoke import Context as InvokeContext
from invoke import Exit, task

from pipeline.tasks.places import ROOT
from pipeline.tasks.session import command, is_dry

# Side by side, file by file: the tests of one file share what its fixtures have made.
_PYTEST = ("-m", "pytest", "--numprocesses", str(max(2, os.cpu_count() or 2)), "--dist", "loadfile")
_CHECKS = (
    ("-m", "ruff", "format", "--check", "."),
    ("-m", "ruff", "check", "."),
    ("-m", "mypy"),
    # Its modules do nothing when run with -m, and exit 0: the script that its package installs is its only entrance.
    (str(Path(sys.executable).with_name("lint-imports")),),
)


def _run(argv: tuple[str, ...], *, dry: bool) -> None:
    """Run one check in our own terminal; its exit code becomes ours."""
    line = shlex.join(("python", *argv))
    print(f"$ {line}", file=sys.stderr, flush=True)
    if not dry and (code := subprocess.call([sys.executable, *argv], cwd=ROOT)):
        raise Exit(f"{line} failed", code=1 if code > 1 else code)


@task(auto_shortflags=False)
def test(context: InvokeContext) -> None:
    """Run the tests; `invoke test -- ARGS` hands ARGS to pytest."""
    with command(context):
        # Invoke joins what stands behind the dashes with spaces: -k "this or that" would be four words.
        words = sys.argv[sys.argv.index("--") + 1 :] if context.remainder else []
        _run((*_PYTEST, *words), dry=is_dry(context))


@task(auto_shortflags=False)
def check(context: InvokeContext) -> None:
    """Format, lint, types, import contract, tests."""
    with command(context):
        for argv in (*_CHECKS, _PYTEST):
            _run(argv, dry=is_dry(context))
