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
# What these mean is a key that is not there, or not within reach: by `says` in explain.toml.
CREDENTIALS = frozenset(
    {
        "unable to build chain to self-signed root",
        "errSecInternalComponent",
        "The specified item could not be found in the keychain.",
        "no identity found",
        "ambiguous (matches",
        "User interaction is not allowed.",
        "CSSMERR_TP_NOT_TRUSTED",
        "CSSMERR_TP_CERT_REVOKED",
        "CSSMERR_TP_CERT_EXPIRED",
        "MAC verification failed during PKCS12 import",
        "unknown error -1=ffffffffffffffff",
        "0 valid identities found",
        "Unable to decode the provided data",
    }
)
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
        late = ServiceUnavailable(f"{tool} did not end in time and was stopped; it said: {words}", where=where)
        return Refusal(error=late, passing=False)
    found = meaning(tool, completed)
    how = f"exited {completed.returncode}" if completed.returncode >= 0 else f"died of signal {-completed.returncode}"
    if found is None:
        return Refusal(error=kind(f"{tool} {how}, and said:\n{words}", where=where), passing=False)
    passing = found.retry is Retry.HELPS
    # A finished signature that does not hold is not mended by another key.
    if found.says in CREDENTIALS and kind is not VerificationError:
        kind = CredentialsError
    elif passing and tool == "codesign":
        kind = ServiceUnavailable
    error = kind(f"{tool} {how}: {found.meaning} It said:\n{words}", where=where, remedy=found.remedy)
    return Refusal(error=error, passing=passing)


def meaning(tool: str, completed: Completed) -> Explanation | None:
    """What is known of a tool's words or, where they say nothing, of its exit code."""
    family = _FAMILIES.get(tool, (tool,))
    said = explain(text_of(completed))
    coded = explain(f"{tool} exit {completed.returncode}") if completed.returncode > 0 else ()
    known = (one for one in (*said, *coded) if one.tool in family and one.says not in _REMARKS)
    return next(known, None)
