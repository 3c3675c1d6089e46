"""Reading tables of a configuration: types checked, unknown keys refused, every error with its key and line.

What the keys mean is not here (`products`, and the package itself).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from pipeline.config.lines import KeyPath
from pipeline.errors import ConfigurationError

_Choice = TypeVar("_Choice", bound=StrEnum)
_TYPES = {
    bool: "true or false",
    str: "a text",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The file that is read: its name in messages, the folder its paths are relative to, and where its keys stand."""

    name: str
    folder: Path
    lines: Mapping[KeyPath, int]
    unready: list[ConfigurationError] = field(default_factory=list)
    """What a whole release lacks on this machine, and a build does not need: errors raised where it is needed."""

    def error(self, path: KeyPath, message: str, remedy: str | None = None) -> ConfigurationError:
        """An error at a key; a key that is not there is placed where its table begins."""
        known = [self.lines[path[:length]] for length in range(len(path), 0, -1) if path[:length] in self.lines]
        line = f" line {known[0]}" if known else ""
        return ConfigurationError(message, where=f"{self.name}{line}, key {key_text(path)}", remedy=remedy)


def key_text(path: KeyPath) -> str:
    """A key as a person finds it in the file: "[sign].era", "[product #2.build].command #3"."""
    names = [""]
    for part in path:
        if isinstance(part, int):
            names[-1] += f" #{part + 1}"
        else:
            names.append(part)
    table = ".".join(names[1:-1])
    return f"[{table}].{names[-1]}" if table else f"[{names[-1]}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A table, over the tables that give its defaults: the first layer that has a key decides it."""

    document: Document
    layers: tuple[tuple[KeyPath, Mapping[str, object]], ...]

    def require_known(self, *known: str) -> Section:
        """Refuse every key but these."""
        for path, values in self.layers:
            for key in values:
                if key not in known:
                    raise self.document.error((*path, key), "unknown key", suggestion(key, known))
        return self

    def path(self, key: str) -> KeyPath:
        """Where a key stands, or would stand."""
        table = next((path for path, values in self.layers if key in values), self.layers[0][0])
        return (*table, key)

    def error(self, key: str, message: str, remedy: str | None = None) -> ConfigurationError:
        return self.document.error(self.path(key), message, remedy)

    def __contains__(self, key: str) -> bool:
        return any(key in values for _, values in self.layers)

    def _find(self, key: str) -> object | None:
        return next((values[key] for _, values in self.layers if key in values), None)

    def table(self, key: str, *, over: Section | None = None) -> Section:
        """A table under this one; absent is empty. `over`: the table that gives its defaults."""
        value = self._find(key)
        if value is not None and not isinstance(value, dict):
            raise self.wrong_type(self.path(key), value, "a table")
        defaults = over.layers if over else ()
        if value is None and defaults:
            return Section(document=self.document, layers=defaults)
        return Section(document=self.document, layers=((self.path(key), value or {}), *defaults))

    def names(self) -> Iterator[str]:
        """Every key that is there, for a table whose keys are the user's."""
        yield from dict.fromkeys(key for _, values in self.layers for key in values)

    def text(self, key: str) -> str | None:
        value = self._find(key)
        return None if value is None else self._text(self.path(key), value)

    def required_text(self, key: str, remedy: str | None = None) -> str:
        text = self.text(key)
        if text is None:
            raise self.error(key, "missing", remedy)
        return text

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; absent is empty."""
        value = self._find(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.wrong_type(self.path(key), value, "a list of texts")
        return tuple(self._text((*self.path(key), position), item) for position, item in enumerate(value))

    def boolean(self, key: str) -> bool:
        """Absent is false."""
        value = self._find(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong_type(self.path(key), value, "true or false")
        return bool(value)

    def choice(self, key: str, choices: type[_Choice], default: _Choice | None = None) -> _Choice:
        text = self.text(key)
        if text is None and default is not None:
            return default
        names = [member.value for member in choices]
        if text is None:
            raise self.error(key, "missing", f"one of {', '.join(names)}")
        if text not in names:
            raise self.error(key, f'"{text}" is none of {", ".join(names)}', suggestion(text, names))
        return choices(text)

    def file(self, key: str) -> Path | None:
        """A path relative to the configuration's folder, of a file that is there."""
        path = self.place(key)
        if path is not None and not is_there(path.is_file):
            raise self.error(key, f"no such file: {path}")
        return path

    def key_file(self, key: str) -> Path | None:
        """As `file`, of a file with a key: that it is missing is an error where the key is needed."""
        try:
            return self.file(key)
        except ConfigurationError as error:
            self.document.unready.append(error)
            return self.place(key)

    def folder(self, key: str) -> Path | None:
        path = self.place(key)
        if path is not None and not is_there(path.is_dir):
            raise self.error(key, f"no such folder: {path}")
        return path

    def place(self, key: str) -> Path | None:
        """A path relative to the configuration's folder, of something that need not be there."""
        text = self.text(key)
        return None if text is None else self.document.folder / text

    def wrong_type(self, path: KeyPath, value: object, expected: str) -> ConfigurationError:
        found = next((name for kind, name in _TYPES.items() if isinstance(value, kind)), "a date or time")
        remedy = "put it in quotes" if expected == "a text" and not isinstance(value, list | dict) else None
        return self.document.error(path, f"must be {expected}, not {found}", remedy)

    def _text(self, path: KeyPath, value: object) -> str:
        if not isinstance(value, str):
            raise self.wrong_type(path, value, "a text")
        if not value:
            raise self.document.error(path, "is empty")
        if "\0" in value:
            raise self.document.error(path, "holds a NUL character")
        return value


def is_there(question: Callable[[], bool]) -> bool:
    """What a Path says of itself; one that cannot be asked (no permission, a name too long) is not there."""
    try:
        return question()
    except OSError:
        return False


def suggestion(word: str, known: Sequence[str]) -> str:
    """What the writer of an unknown word probably meant; else everything that is known."""
    close = get_close_matches(word, known, n=1)
    return f'did you mean "{close[0]}"?' if close else f"known here: {', '.join(known)}"
