"""What the tests of release.toml stand on."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A source folder and the files that a release.toml may name."""
    (tmp_path / "src").mkdir()
    (tmp_path / "id.p12").write_bytes(b"0")
    (tmp_path / "entitlements.plist").write_bytes(b"<plist/>")
    return tmp_path
