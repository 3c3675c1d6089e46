"""The words and signs of the requirement language (the lexer in `requirements.grammar` of Security 61901)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from pipeline.codesign.requirements.program import LARGEST
from pipeline.codesign.requirements.words import RESERVED_WORDS
from pipeline.errors import ConfigurationError


class Kind(Enum):
    NAME = "a name"
    WORD = "a reserved word"
    PATH = "a path"
    HASH = "a hash"
    HEX = "a hexadecimal value"
    STRING = "a text in quotes"
    INTEGER = "a number"
    SIGN = "a sign"
    END = "the end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    kind: Kind
    text: str
    position: int


_NAME = r"[A-Za-z][A-Za-z0-9]*"
_DOTTED = rf"{_NAME}(?:\.(?:{_NAME}|[0-9]+))*"
_TOKENS = re.compile(
    rf"""
    (?P<skip> [ \t\n]+ | \#[^\n]* | //[^\n]* | /\*.*?\*/ )
    | H"(?P<HASH> [0-9A-Fa-f]+ )"
    | 0x(?P<HEX> [0-9A-Fa-f]+ )
    | "(?P<STRING> (?: [^"\\] | \\["\\] )* )"
    | (?P<NAME> {_DOTTED} )
    | (?P<PATH> (?: / {_NAME} ){{2,}} )
    | (?P<INTEGER> [0-9]+ )
    | (?P<SIGN> => | <= | >= | == | [;()\[\]<>=~!*-] )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


def is_name(text: str, *, dots: bool) -> bool:
    """Can a text stand without quotes where a name does, with names and numbers behind dots if `dots` is set?"""
    return text not in RESERVED_WORDS and re.fullmatch(_DOTTED if dots else _NAME, text, re.ASCII) is not None


def tokens(text: str) -> list[Token]:
    """All of a text, white space and comments left out, END last. Raises ConfigurationError."""
    if len(text) > LARGEST:
        raise ConfigurationError(f"a requirement text of {len(text)} characters; the most that is read is {LARGEST}")
    read = []
    position = 0
    while position < len(text):
        found = _TOKENS.match(text, position)
        if found is None:
            raise mistake(text, position, f"{text[position : position + 12]!r} begins nothing that is known")
        name = str(found.lastgroup)
        if name != "skip":
            content = found[name]
            kind = Kind.WORD if name == "NAME" and content in RESERVED_WORDS else Kind[name]
            if kind is Kind.STRING:
                content = re.sub(r"\\(.)", r"\1", content)
            read.append(Token(kind=kind, text=content, position=position))
        position = found.end()
    read.append(Token(kind=Kind.END, text="", position=len(text)))
    return read


def mistake(text: str, position: int, message: str) -> ConfigurationError:
    """The error that names this place by line and column."""
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return ConfigurationError(message, where=f"requirement, line {line}, column {column}")
