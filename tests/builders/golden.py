"""Golden text: what a program said once, read by a person, and kept. GOLDEN=write writes it anew, for its diff."""

from __future__ import annotations

import os
from pathlib import Path


def agree(path: Path, text: str) -> None:
    """`text` is what `path` holds."""
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
