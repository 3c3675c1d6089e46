"""`xcrun stapler`: what its exit codes and words mean, which changed over the years.

On a bare Mach-O file older tools end with 73 (they tried to write below it), those of 2026 with 66: both mean that this
kind of file cannot be stapled. On a bundle the same numbers are failures. https://keith.github.io/xcode-man-pages/stapler.1.html
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pipeline.errors import StapleError
from pipeline.host import Completed
from pipeline.toolchain import NotStapleable
from pipeline.toolchain.apple.texts import Refusal, refusal
from pipeline.toolchain.apple.tools import Tools, text_of

STAPLED = "The staple and validate action worked!"
VALID = "The validate action worked!"
_INCAPABLE = "Stapler is incapable of working with"
_NOT_FOR_THIS_KIND = (66, 73)
_TICKET_TROUBLE = ("does not have a ticket stapled to it", _INCAPABLE)
# Apple publishes a ticket minutes after it accepted.
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (15, 30, 60, 120))


def staple(tools: Tools, path: Path, pauses: tuple[timedelta, ...], where: str) -> None:
    """Staple in place, one path a call. Raises NotStapleable for a bare file, StapleError for everything else."""
    for pause in (*pauses, None):
        completed = tools.run("xcrun", "stapler", "staple", path)
        found = verdict(completed, STAPLED, where, bare=path.is_file())
        if found is None:
            return
        if not found.passing or pause is None:
            raise found.error
        tools.host.console.say(f"stapler: no ticket for {where} yet; trying again in {pause.total_seconds():g} s")
        tools.host.clock.sleep(pause)


def validate(tools: Tools, path: Path, where: str) -> None:
    completed = tools.run("xcrun", "stapler", "validate", path)
    found = verdict(completed, VALID, where, bare=path.is_file())
    if found is not None:
        raise found.error


def verdict(completed: Completed, success: str, where: str, *, bare: bool) -> Refusal | None:
    """None if it worked: its words and exit 0 together say so. `bare`: it was asked of a bare Mach-O file."""
    text = text_of(completed)
    if (
        completed.returncode == 0
        and not completed.timed_out
        and success in [line.strip() for line in text.splitlines()]
        and not any(words in text for words in _TICKET_TROUBLE)
    ):
        return None
    if bare and (completed.returncode in _NOT_FOR_THIS_KIND or _INCAPABLE in text):
        kind = f"a bare file cannot carry a ticket (stapler ended with {completed.returncode})"
        return Refusal(error=NotStapleable(kind, where=where), passing=False)
    if completed.returncode == 0 and not completed.timed_out:
        error = StapleError(f'exited 0 without saying "{success}"; it said:\n{completed.last_lines(4)}', where=where)
        return Refusal(error=error, passing=False)
    return refusal("stapler", completed, StapleError, where)
