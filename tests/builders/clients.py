"""Programs written by others that some tests read our output with; skipped, with the reason, where one is absent."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


def need(*names: str) -> Path:
    """The first of these programs that is on PATH; skips the test if none is."""
    for name in names:
        found = shutil.which(name)
        if found:
            return Path(found)
    pytest.skip(f"needs {' or '.join(names)}, which this machine does not have")
