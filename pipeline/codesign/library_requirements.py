"""The library requirement that codesign adds where the linker recorded what the libraries were signed as.

LC_DYLIB_CODE_SIGN_DRS (linkers of OS X 10.8 to 10.10) points at a container of the libraries' designated requirements;
a signature then requires that a library satisfies one of them. Source: Security `machorep.cpp` (libraryRequirements).
"""

from __future__ import annotations

import struct

from pipeline.codesign.requirements import compile_requirement
from pipeline.codesign.superblob import Magic, blob_length, blob_magic, build_blob, parse_blob, parse_superblob
from pipeline.macho import MachSlice
from pipeline.macho import constants as c

_COMMAND_HEADER = 8
_KINDS = (Magic.REQUIREMENT, Magic.WRAPPER)
_KIND = struct.pack(">I", 1)
_OR = struct.pack(">I", 7)
# Some forty requirements of a hundred bytes each are the most that was seen.
_LARGEST = 1024 * 1024


def library_requirement(one: MachSlice) -> bytes | None:
    """The requirement's blob, None where the linker recorded nothing. Raises MalformedFile for a broken record."""
    command = next((command for command in one.image.commands if command.number == c.LC_DYLIB_CODE_SIGN_DRS), None)
    if command is None:
        return None
    offset, size = command.fields("2I", "LC_DYLIB_CODE_SIGN_DRS")
    if size < _COMMAND_HEADER or size > _LARGEST:
        return None
    data = one.source.read(offset, size)
    entries = parse_superblob(data[: blob_length(data)], Magic.LIBRARY_DEPENDENCIES, unused=True)
    expressions = [_expression(entry.data) for entry in entries if entry.magic in _KINDS]
    if not expressions:
        return None
    # Prefix form: each further alternative puts one more "or" in front of all.
    return build_blob(Magic.REQUIREMENT, _KIND + _OR * (len(expressions) - 1) + b"".join(expressions))


def _expression(blob: bytes) -> bytes:
    """The expression of a requirement that is given compiled, or as text in a wrapper."""
    if blob_magic(blob) == Magic.WRAPPER:
        blob = compile_requirement(parse_blob(blob, Magic.WRAPPER).decode("utf-8", "replace"))
    return parse_blob(blob, Magic.REQUIREMENT)[len(_KIND) :]
