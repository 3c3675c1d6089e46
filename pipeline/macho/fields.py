"""Numbers and texts at an offset, with the bounds checked: a short file is a MalformedFile, never a `struct.error`."""

from __future__ import annotations

import struct
from enum import StrEnum
from functools import lru_cache
from typing import Any

from pipeline.errors import MalformedFile


class ByteOrder(StrEnum):
    """Of the numbers in an image; PowerPC's are big-endian, all others' little-endian."""

    LITTLE = "<"
    BIG = ">"


@lru_cache
def layout(order: ByteOrder, fields: str) -> struct.Struct:
    """How these fields (characters as in `struct`) lie in an image of this byte order."""
    return struct.Struct(order + fields)


def unpack(layout: struct.Struct, data: bytes, offset: int, what: str) -> tuple[Any, ...]:
    """The fields of `layout` at `offset`; `what` names them in the error if `data` ends before they do."""
    if offset < 0 or offset + layout.size > len(data):
        raise MalformedFile(f"{what} at {offset:#x} ends past the {len(data):#x} bytes that hold it")
    return layout.unpack_from(data, offset)


def c_string(data: bytes, offset: int, what: str) -> str:
    """The text from `offset` to its zero byte, UTF-8; bytes that are not UTF-8 are kept as surrogates."""
    end = data.find(b"\0", offset) if 0 <= offset < len(data) else -1
    if end < 0:
        raise MalformedFile(f"{what} at {offset:#x} has no end")
    return data[offset:end].decode("utf-8", "surrogateescape")


def padded_name(raw: bytes) -> str:
    """A name in a field of fixed size, such as a segment's 16 bytes."""
    return raw.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def shown(name: str) -> str:
    """A name out of a file as a message can hold it: with escapes where it has characters that do not print."""
    return name if name.isprintable() else ascii(name)


def align(value: int, boundary: int) -> int:
    """The least multiple of `boundary` that is not below `value`."""
    return -(-value // boundary) * boundary
