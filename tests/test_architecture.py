"""The walls of the house stand: imports go down only, the engine touches nothing, `invoke --list` stays light."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Distributions that take a tenth of a second or more each to import; a command that needs one pays for it by itself.
HEAVY = ("asn1crypto", "botocore", "cryptography", "jwt", "keyring", "lief", "requests", "tqdm")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contract of the pyproject.toml in `folder` over the package beside it."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_imports_follow_the_table_of_levels() -> None:
    """The import contract of pyproject.toml is kept by every module."""
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("macho/image.py", "from pipeline.redact import Secret"),
        ("codesign/eras.py", "import os"),
        ("disk/archive.py", "from pipeline.stages import sign"),
        ("stages/sign.py", "from pipeline.stages import universal"),
        ("release/order.py", "import invoke"),
        ("notary/client.py", "import requests"),
        ("tickets/lookup.py", "from pipeline.timestamps import TimestampClient"),
        ("rehearsal/server.py", "from pipeline.notary import NotaryClient"),
    ],
)
def test_an_import_inside_a_function_breaks_the_contract(tmp_path: Path, module: str, line: str) -> None:
    """A forbidden import is found even where it hides in a function body."""
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    changed = tmp_path / "pipeline" / module
    changed.write_text(f"{changed.read_text()}\n\ndef hidden() -> None:\n    {line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert "BROKEN" in done.stdout


def test_the_list_of_tasks_imports_nothing_heavy() -> None:
    """What `invoke --list` imports contains none of the heavy libraries."""
    program = "import json, sys, pipeline.tasks; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert "invoke" in loaded
    assert not loaded & set(HEAVY)


def test_the_engine_opens_no_file() -> None:
    """No module of macho, codesign or launchd calls open() or asks a clock; imports alone would not show it."""
    functions = {"open", "print", "input"}
    methods = {"now", "utcnow", "today", "read_bytes", "read_text", "write_bytes", "write_text"}
    for room in ("macho", "codesign", "launchd"):
        for path in sorted((ROOT / "pipeline" / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call):
                    place = f"{path.relative_to(ROOT)}:{node.lineno}"
                    assert not (isinstance(node.func, ast.Name) and node.func.id in functions), place
                    assert not (isinstance(node.func, ast.Attribute) and node.func.attr in methods), place
