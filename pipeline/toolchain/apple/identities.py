"""The identities in the keychains: `security find-identity`, and the one that a name means.

Files are signed by the certificate's SHA-1, which no second certificate matches: a name often matches a renewed one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import CredentialsError
from pipeline.toolchain.apple.texts import refusal
from pipeline.toolchain.apple.tools import Tools

# SecurityTool, identity_find.m
_LINE = re.compile(r' *[0-9]+\) (?P<sha1>[0-9A-F]{40}) "(?P<name>.*)"(?: \((?P<problem>CSSMERR_[A-Z_]+)\))?')
_COUNT = re.compile(r" *(?P<count>[0-9]+) valid identities found")
_SHA1 = re.compile(r"[0-9A-Fa-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeychainIdentity:
    sha1: str
    """Of the certificate, in 40 capital hex digits."""
    name: str
    problem: str | None
    """CSSMERR_…: listed and counted as valid, and unusable all the same."""


def parse_identities(text: str) -> tuple[KeychainIdentity, ...]:
    """What `find-identity -v` lists. Raises CredentialsError unless its last line counts exactly what it listed."""
    listed, count = [], None
    for line in text.splitlines():
        if found := _LINE.fullmatch(line.rstrip()):
            listed.append(KeychainIdentity(sha1=found["sha1"], name=found["name"], problem=found["problem"]))
        elif counted := _COUNT.fullmatch(line.rstrip()):
            count = int(counted["count"])
    if count != len(listed):
        raise CredentialsError(f"security's list of identities is not understood: {text.strip()[:400]!r}")
    return tuple(listed)


def find_identities(tools: Tools, keychain: Path | None = None) -> tuple[KeychainIdentity, ...]:
    """Of the keychains on the search list, or of one keychain."""
    completed = tools.run("security", "find-identity", "-v", "-p", "codesigning", *([keychain] if keychain else []))
    if completed.returncode != 0 or completed.timed_out:
        raise refusal("security", completed, CredentialsError, "security find-identity").error
    return parse_identities(completed.stdout.decode("utf-8", "replace"))


def choose(identities: Sequence[KeychainIdentity], wanted: str | None) -> KeychainIdentity:
    """The one that a SHA-1, a whole name or a part of a name means; None means the only one there is."""
    if wanted is None:
        matching = tuple(identities)
    elif _SHA1.fullmatch(wanted):
        matching = tuple(one for one in identities if one.sha1 == wanted.upper())
    else:
        matching = tuple(one for one in identities if one.name == wanted) or tuple(
            one for one in identities if wanted in one.name
        )
    # One certificate in two keychains is one identity.
    unique = tuple({one.sha1: one for one in matching}.values())
    usable = tuple(one for one in unique if one.problem is None)
    place = f"identity {wanted}" if wanted else "identity"
    if len(usable) == 1:
        return usable[0]
    if usable:
        named = "\n".join(f"  {one.sha1} {one.name}" for one in usable)
        raise CredentialsError(f"several match:\n{named}", where=place, remedy="set [sign] identity to one SHA-1")
    if unique:
        raise CredentialsError(
            f"{unique[0].sha1} {unique[0].name} cannot be used: {unique[0].problem}",
            where=place,
            remedy="sign with another Developer ID certificate",
        )
    raise CredentialsError(
        "no such identity in the keychains on the search list",
        where=place,
        remedy="`security find-identity -v -p codesigning` shows what there is; `invoke keychain.create` is for CI",
    )
