"""Where each key of a TOML text stands: one scan that makes an index of key path → line.

The standard parser gives values without lines; this gives lines without values. It expects a text that `tomllib` has
accepted, and checks nothing. Syntax: https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import re
import tomllib

KeyPath = tuple[str | int, ...]
"""Keys and, in arrays, positions from 0: ("product", 1, "name")."""

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
# A multi-line text may end in up to two quotes of its own before the three that close it.
_QUOTED = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'",
    re.DOTALL,
)
_PLAIN = re.compile(r"[^,\]}\r\n#]+")


def line_index(text: str) -> dict[KeyPath, int]:
    """The line, from 1, of every table, key and array element of a valid TOML text."""
    return _Scan(text).run()


class _Scan:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._counted = 0
        self._line = 1
        self._lines: dict[KeyPath, int] = {}
        self._repeated: dict[KeyPath, int] = {}

    def run(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._next("[["):
                table = self._repeat(self._resolve(self._key()))
                self._next("]]")
            elif self._next("["):
                table = self._resolve(self._key())
                self._note(table)
                self._next("]")
            else:
                self._pair(table)
            self._skip(_BLANK)
        return self._lines

    def _repeat(self, path: KeyPath) -> KeyPath:
        position = self._repeated.get(path, 0)
        self._repeated[path] = position + 1
        self._note((*path, position))
        return (*path, position)

    def _resolve(self, key: tuple[str, ...]) -> KeyPath:
        """A header's key names the last element of every repeated table that it passes through."""
        path: KeyPath = ()
        for name in key[:-1]:
            path = (*path, name)
            if path in self._repeated:
                path = (*path, self._repeated[path] - 1)
        return (*path, key[-1])

    def _pair(self, table: KeyPath) -> None:
        path = (*table, *self._key())
        self._note(path)
        self._skip(_SPACE)
        self._next("=")
        self._skip(_SPACE)
        self._value(path)

    def _key(self) -> tuple[str, ...]:
        names: list[str] = []
        while True:
            self._skip(_SPACE)
            if bare := _BARE.match(self._text, self._at):
                names.append(bare[0])
                self._at = bare.end()
            else:
                start = self._at
                self._skip(_QUOTED)
                names.extend(tomllib.loads(self._text[start : self._at] + "=0"))
            self._skip(_SPACE)
            if not self._next("."):
                return tuple(names)

    def _value(self, path: KeyPath) -> None:
        if self._next("["):
            position = 0
            self._skip(_BLANK)
            while not self._next("]"):
                self._note((*path, position))
                self._value((*path, position))
                position += 1
                self._skip(_BLANK)
                self._next(",")
                self._skip(_BLANK)
        elif self._next("{"):
            self._skip(_SPACE)
            while not self._next("}"):
                self._pair(path)
                self._skip(_SPACE)
                self._next(",")
                self._skip(_SPACE)
        elif _QUOTED.match(self._text, self._at):
            self._skip(_QUOTED)
        else:
            self._skip(_PLAIN)

    def _note(self, path: KeyPath) -> None:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], self._line)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if found := pattern.match(self._text, self._at):
            self._at = found.end()

    def _next(self, word: str) -> bool:
        if self._text.startswith(word, self._at):
            self._at += len(word)
            return True
        return False
