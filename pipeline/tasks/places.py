"""Where the checkout lies, whatever folder its commands are called in."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The folder of tasks.py."""
CONFIGURATION = ROOT / "release.toml"
OUTPUTS = ROOT / "build" / "macos"
