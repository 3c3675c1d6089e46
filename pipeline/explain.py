"""Apple's codes and texts: what they mean, whether trying again helps, what to do.

The knowledge is data, `explain.toml` beside this file, and stands there with its public sources. Here is how a text is
held against it: words in any place, OSStatus numbers, HTTP statuses, exit codes.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

from pipeline import errors
from pipeline.errors import ReleaseError

# What a person pastes; more than this holds no answer that is not in its beginning.
_LONGEST_TEXT = 64 * 1024
_TYPOGRAPHY = str.maketrans(
    {"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2212": "-", "\u2013": "-", "\u00a0": " "}
)
_OSSTATUS = re.compile(r"(?<![\w.-])-[0-9]{3,5}(?![0-9]|\.[0-9])", re.ASCII)
# The same number as an unsigned 32-bit word, as some logs write it.
_UNSIGNED = re.compile(r"(?<![\w.])(?:4294[0-9]{6}|0x[fF]{3}[0-9a-fA-F]{5})(?![\w.])", re.ASCII)
_HTTP = re.compile(r"\b(?:HTTP|status ?code)\b[^0-9\n]{0,14}([1-5][0-9]{2})\b", re.ASCII | re.IGNORECASE)
_EXIT = re.compile(
    r"\b(?:exit(?:ed)?|status|code|error|return(?:ed|s)?)\b[^0-9\n-]{0,12}([0-9]{1,3})(?![0-9]|\.[0-9])",
    re.ASCII | re.IGNORECASE,
)
_BARE = re.compile(r"\s*([0-9]{1,4})\s*", re.ASCII)


class Retry(StrEnum):
    """A retry …"""

    HELPS = "helps"
    AFTER_REMEDY = "helps only after the remedy"
    NEEDLESS = "is needless: nothing failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    tool: str
    """Who says it: a tool of Apple's, the notary's log ("notary") or its service, the upload, macOS."""
    says: str
    """In Apple's words, or the code's name."""
    meaning: str
    retry: Retry
    error: type[ReleaseError] | None
    """What it is wherever it is met; None: an error of the stage that met it."""
    remedy: str
    source: str
    words: tuple[str, ...]
    """Texts that show it; `*` stands for anything on the same line. Case does not matter."""
    osstatus: tuple[int, ...]
    http: tuple[int, ...]
    exits: tuple[int, ...]
    """Exit codes of the tool, or the notary's statusCode."""


def explain(text: str) -> tuple[Explanation, ...]:
    """All that is known about a code or a message, what names itself in words before what only shows a number."""
    plain = text[:_LONGEST_TEXT].translate(_TYPOGRAPHY)
    said = [one for one in known() if any(pattern.search(plain) for pattern in _patterns(one))]
    return tuple(dict.fromkeys([*said, *_by_number(plain)]))


@cache
def known() -> tuple[Explanation, ...]:
    """Everything in `explain.toml`, in its order: the special before the general."""
    document = tomllib.loads(files("pipeline").joinpath("explain.toml").read_text("utf-8"))
    return tuple(_entry(tool, entry) for tool, entries in document.items() for entry in entries)


def _entry(tool: str, entry: dict[str, Any]) -> Explanation:
    return Explanation(
        tool=tool,
        says=entry["says"],
        meaning=entry["meaning"],
        retry=Retry[entry["retry"]],
        error=getattr(errors, entry["error"]) if "error" in entry else None,
        remedy=entry["remedy"],
        source=entry["source"],
        words=tuple(entry.get("words", [entry["says"]])),
        osstatus=tuple(entry.get("osstatus", ())),
        http=tuple(entry.get("http", ())),
        exits=tuple(entry.get("exits", ())),
    )


@cache
def _patterns(entry: Explanation) -> tuple[re.Pattern[str], ...]:
    return tuple(
        re.compile(r"(?<!\w)" + re.escape(words).replace(r"\*", "[^\n]{0,200}"), re.IGNORECASE) for words in entry.words
    )


def _by_number(text: str) -> Iterator[Explanation]:
    numbers = {int(one) for one in _OSSTATUS.findall(text)}
    numbers |= {int(one, 0) - 2**32 for one in _UNSIGNED.findall(text)}
    statuses = {int(one) for one in _HTTP.findall(text)}
    exits = {int(one) for one in _EXIT.findall(text)} - statuses
    if bare := _BARE.fullmatch(text):
        statuses.add(int(bare[1]))
        exits.add(int(bare[1]))
    named = {tool for tool in _TOOLS if re.search(rf"\b{tool}\b", text, re.IGNORECASE)}
    for entry in known():
        by_exit = exits.intersection(entry.exits) and (not named or entry.tool in named)
        if numbers.intersection(entry.osstatus) or statuses.intersection(entry.http) or by_exit:
            yield entry


_TOOLS = ("codesign", "notarytool", "stapler", "spctl", "security", "lipo", "ditto", "xattr", "xcrun")
