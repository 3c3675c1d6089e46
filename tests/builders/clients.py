"""Programs written by others that some tests read our output with; skipped, with the reason, where one is absent."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def need(*names: str) -> Path:
    """The first of these programs that is on PATH; skips the test if none is."""
    for name in names:
        found = shutil.which(name)
        if found:
            return Path(found)
    pytest.skip(f"needs {' or '.join(names)}, which this machine does not have")


def need_registry() -> None:
    """The Python package registry that pip is configured for; skips the test if pip cannot ask it for a package."""
    asked = subprocess.run([sys.executable, "-m", "pip", "index", "versions", "pip"], capture_output=True, check=False)
    if asked.returncode != 0:
        pytest.skip("needs the Python package registry, which pip cannot reach")
