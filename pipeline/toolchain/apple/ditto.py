"""`ditto`: unpacks an archive as the notary's service does."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import VerificationError
from pipeline.toolchain.apple.texts import refusal
from pipeline.toolchain.apple.tools import Tools


def unpack(tools: Tools, archive: Path, folder: Path) -> tuple[Path, ...]:
    """What lies at the archive's top, unpacked into a new folder. Raises VerificationError; also for nothing at all."""
    completed = tools.run("ditto", "-x", "-k", archive, folder)
    if completed.returncode != 0 or completed.timed_out:
        raise refusal("ditto", completed, VerificationError, str(archive)).error
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    if not entries:
        raise VerificationError("ditto unpacks nothing from it", where=str(archive))
    return tuple(entries)
