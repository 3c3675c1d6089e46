"""The .msh file beside the binary: `Key=Value` lines, read as agentcore.c reads them. An id in it: `service_id`.

On a Mac it stays a file of its own: appended to the binary, as MeshAgent does elsewhere, it would break the signature.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.errors import ConfigurationError, MalformedFile

LARGEST = 1024 * 1024


def parse_msh(data: bytes) -> dict[str, str]:
    """Keys and values in order; blanks around a line and lines that begin with `#` do not count, the last key wins.

    Raises MalformedFile for a line without a key, and for what is not text.
    """
    if len(data) > LARGEST:
        raise MalformedFile(f"{len(data)} bytes; the most that is read of a .msh is {LARGEST}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedFile("is not UTF-8", where=f"line {data.count(10, 0, error.start) + 1}") from error
    values: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        key, sign, value = line.partition("=")
        if not sign or not key.strip():
            raise MalformedFile("is not Key=Value", where=f"line {number}")
        if "\0" in line:
            raise MalformedFile("holds a NUL character", where=f"line {number}")
        values[key.strip()] = value.strip()
    return values


def build_msh(values: Mapping[str, str]) -> bytes:
    """The file of these values. Raises ConfigurationError for what would not come back as it is."""
    data = "".join(f"{key}={value}\n" for key, value in values.items()).encode()
    try:
        same = parse_msh(data) == dict(values)
    except MalformedFile:
        same = False
    if not same:
        raise ConfigurationError(
            "a key or a value holds what a .msh cannot: a line break, blanks around it, = in a key"
        )
    return data
