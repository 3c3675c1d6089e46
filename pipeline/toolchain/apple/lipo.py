"""`lipo`: thin files to a universal one (cctools, lipo.c)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import SigningError
from pipeline.toolchain.apple.texts import refusal
from pipeline.toolchain.apple.tools import Tools, text_of

_ARCHITECTURE = re.compile(r"[a-z0-9_]+")


def create(tools: Tools, thins: Sequence[Path], output: Path, where: str) -> None:
    """Join thin files. Raises SigningError where lipo refuses, or left anything but one file."""
    completed = tools.run("lipo", "-create", *thins, "-output", output)
    if completed.returncode != 0 or completed.timed_out or not output.is_file():
        raise refusal("lipo", completed, SigningError, where).error


def archs(tools: Tools, path: Path, where: str) -> tuple[str, ...]:
    """The architectures that lipo finds: by `-archs`, since `-verify_arch` wants its input elsewhere with Xcode 27."""
    completed = tools.run("lipo", "-archs", path)
    if completed.returncode != 0 or completed.timed_out:
        raise refusal("lipo", completed, SigningError, where).error
    found = parse_archs(completed.stdout.decode("utf-8", "replace"))
    if not found:
        raise SigningError(f"lipo -archs tells no architectures: {text_of(completed).strip()[:200]!r}", where=where)
    return found


def parse_archs(text: str) -> tuple[str, ...]:
    """ "x86_64 arm64" → the two; nothing for any other text."""
    lines = [line for line in text.splitlines() if line.strip()]
    words = lines[0].split() if len(lines) == 1 else []
    return tuple(words) if all(map(_ARCHITECTURE.fullmatch, words)) else ()
