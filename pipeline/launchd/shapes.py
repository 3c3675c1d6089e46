"""Shapes of property list values: what a key may hold, and what is wrong with what it holds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum


class Type(StrEnum):
    """The type of a plain value, as messages say it."""

    BOOLEAN = "true or false"
    TEXT = "a text"
    INTEGER = "a whole number"
    DICTIONARY = "a dictionary"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these texts."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """A whole number, both ends included."""

    lowest: int
    highest: int


@dataclass(frozen=True, slots=True)
class Many:
    """A list, each element of one of these shapes."""

    of: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """A dictionary whose keys are the job's own, each value of one of these shapes."""

    of: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Fields:
    """A dictionary whose keys are known."""

    keys: Mapping[str, tuple[Shape, ...]]


Shape = Type | Choice | Range | Many | Named | Fields

_PLURALS = {
    Type.BOOLEAN: "values that are true or false",
    Type.TEXT: "texts",
    Type.INTEGER: "whole numbers",
    Type.DICTIONARY: "dictionaries",
}


def problems(value: object, shapes: tuple[Shape, ...], path: str) -> Iterator[tuple[str, str]]:
    """(Path of a key, what is wrong there) for a value that may have one of these shapes.

    Of the shapes no two begin with the same type: the first that the value's own type fits is the one that is meant.
    """
    shape = next((shape for shape in shapes if _begins(value, shape)), None)
    if shape is None:
        yield path, f"must be {' or '.join(map(_said, shapes))}"
    elif isinstance(shape, Choice) and value not in shape.values:
        yield path, f'"{value}" is none of {", ".join(shape.values)}'
    elif isinstance(shape, Range) and isinstance(value, int) and not shape.lowest <= value <= shape.highest:
        yield path, f"{value} is not between {shape.lowest} and {shape.highest}"
    elif isinstance(shape, Many) and isinstance(value, list):
        for position, one in enumerate(value):
            yield from problems(one, shape.of, f"{path}[{position}]")
    elif isinstance(value, dict):
        for key, one in value.items():
            inside = f"{path}.{key}" if path else key
            if isinstance(shape, Named):
                yield from problems(one, shape.of, inside)
            elif isinstance(shape, Fields):
                yield from _of_field(key, one, shape.keys, inside)


def unknown(key: str, known: Collection[str]) -> str:
    """What is said of a key that nobody knows."""
    near = get_close_matches(key.lower(), [one.lower() for one in known], 1)
    meant = next((one for one in known if [one.lower()] == near), None)
    return f"unknown key; did you mean {meant}?" if meant else "unknown key"


def _of_field(key: str, value: object, known: Mapping[str, tuple[Shape, ...]], path: str) -> Iterator[tuple[str, str]]:
    if key in known:
        yield from problems(value, known[key], path)
    else:
        yield path, unknown(key, known)


def _begins(value: object, shape: Shape) -> bool:
    match shape:
        case Type.BOOLEAN:
            return isinstance(value, bool)
        case Type.TEXT | Choice():
            return isinstance(value, str)
        case Type.INTEGER | Range():
            return isinstance(value, int) and not isinstance(value, bool)
        case Many():
            return isinstance(value, list)
        case Type.DICTIONARY | Named() | Fields():
            return isinstance(value, dict)


def _said(shape: Shape) -> str:
    match shape:
        case Type():
            return shape.value
        case Choice():
            return Type.TEXT.value
        case Range():
            return Type.INTEGER.value
        case Many():
            return f"a list of {_plural(shape.of)}"
        case Named():
            return f"a dictionary of {_plural(shape.of)}"
        case Fields():
            return Type.DICTIONARY.value


def _plural(shapes: tuple[Shape, ...]) -> str:
    found = []
    for shape in shapes:
        match shape:
            case Type():
                found.append(_PLURALS[shape])
            case Many():
                found.append("lists")
            case Choice() | Range():
                found.append(_PLURALS[Type.TEXT if isinstance(shape, Choice) else Type.INTEGER])
            case Named() | Fields():
                found.append(_PLURALS[Type.DICTIONARY])
    return " or ".join(found)
