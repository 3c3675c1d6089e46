"""`xattr`: takes from a copy what codesign refuses to sign beside: Finder's information, resource forks, quarantine."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.errors import SigningError
from pipeline.toolchain.apple.texts import refusal
from pipeline.toolchain.apple.tools import Tools, text_of

# com.apple.provenance stays whatever is asked, and xattr says so of files that their owner may not write. codesign
# refuses what does harm.
_STAYS = re.compile(r"xattr: \[Errno (?:1|13)\] (?:Operation not permitted|Permission denied): .*")


def clear(tools: Tools, copy: Path, where: str) -> None:
    """Remove all extended attributes of a file or a bundle; only ever of a copy. Raises SigningError."""
    completed = tools.run("xattr", "-cr", copy)
    said = [line for line in text_of(completed).splitlines() if line.strip()]
    if completed.timed_out or (completed.returncode != 0 and not (said and all(map(_STAYS.fullmatch, said)))):
        raise refusal("xattr", completed, SigningError, where).error
