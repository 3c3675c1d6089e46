"""What Apple's tools say when they refuse, and which error that is; the table of meanings is `pipeline.explain`.

An exit code alone says little: codesign has 1 for almost everything, stapler's codes changed their meaning.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import CredentialsError, ReleaseError, ServiceUnavailable, VerificationError
from pipeline.explain import Explanation, Retry, explain
from pipeline.host import Completed
from pipeline.toolchain.apple.tools import text_of

# Who else's words a tool can repeat.
_FAMILIES = {
    "spctl": ("spctl", "codesign", "stapler"),
    "codesign": ("codesign", "security"),
    "security": ("security", "codesign"),
}
# What stands in front of every tool: the developer tools that were selected, the disk.
_IN_FRONT = ("xcrun", "macOS")
# A tool that does not end: where it waits for a server, that one cannot be reached; codesign and security wait for a
# prompt as well, which a machine without a person never answers.
_ASK_SERVERS = ("codesign", "stapler", "spctl")
_PROMPT = (
    "mostly a prompt that nobody sees: unlock the keychain and let codesign use the key (`invoke keychain.create` does "
    "both)"
)
_HANGING = {
    "codesign": f"{_PROMPT}; or timestamp.apple.com does not answer",
    "security": _PROMPT,
    "stapler": "look whether api.apple-cloudkit.com can be reached",
    "spctl": "look whether Apple's servers can be reached",
}
_REMARKS = frozenset({"replacing existing signature"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A tool that did not do what was asked."""

    error: ReleaseError
    passing: bool
    """Does the same call help, made again?"""


def refusal(tool: str, completed: Completed, kind: type[ReleaseError], where: str) -> Refusal:
    """What a failed call means; `kind` is the error for everything that has none of its own.

    The error tells the tool's words, what they mean and what to do; a text that is not known here is told as it is.
    """
    words = completed.last_lines(8) or "nothing"
    if completed.timed_out:
        kind = ServiceUnavailable if tool in _ASK_SERVERS else kind
        said = f"{tool} did not end in time and was stopped, with all that it had started; it said: {words}"
        return Refusal(error=kind(said, where=where, remedy=_HANGING.get(tool)), passing=False)
    found = meaning(tool, completed)
    how = f"exited {completed.returncode}" if completed.returncode >= 0 else f"died of signal {-completed.returncode}"
    if found is None:
        return Refusal(error=kind(f"{tool} {how}, and said:\n{words}", where=where), passing=False)
    # A finished signature that does not hold is not mended by another key.
    if found.error is not None and (found.error, kind) != (CredentialsError, VerificationError):
        kind = found.error
    error = kind(f"{tool} {how}: {found.meaning} It said:\n{words}", where=where, remedy=found.remedy)
    return Refusal(error=error, passing=found.retry is Retry.HELPS)


def meaning(tool: str, completed: Completed) -> Explanation | None:
    """What is known of a tool's words or, where they say nothing, of its exit code."""
    family = (*_FAMILIES.get(tool, (tool,)), *_IN_FRONT)
    said = explain(text_of(completed))
    coded = explain(f"{tool} exit {completed.returncode}") if completed.returncode > 0 else ()
    known = (one for one in (*said, *coded) if one.tool in family and one.says not in _REMARKS)
    return next(known, None)
