"""Defects made in the bytes of signed images: found by magic numbers and object identifiers, changed in place."""

from __future__ import annotations

import struct

SUPERBLOB = bytes.fromhex("fade0cc0")
CODE_DIRECTORY = bytes.fromhex("fade0c02")
REQUIREMENTS = bytes.fromhex("fade0c01")
ENTITLEMENTS = bytes.fromhex("fade7171")
ENTITLEMENTS_DER = bytes.fromhex("fade7172")
CMS = bytes.fromhex("fade0b01")
TOKEN_OID = bytes.fromhex("060b2a864886f70d010910020e")
"""1.2.840.113549.1.9.16.2.14, with its tag and length."""
DEVELOPER_ID_OID = bytes.fromhex("060a2a864886f7636406010d")
"""1.2.840.113635.100.6.1.13, likewise."""
MESSAGE_DIGEST_OID = bytes.fromhex("06092a864886f70d010904")


CODE_SIGNATURE_COMMAND, BUILD_VERSION_COMMAND = 0x1D, 0x32


def put(data: bytes, offset: int, new: bytes) -> bytes:
    """The same length with other bytes at `offset`."""
    assert 0 <= offset <= len(data) - len(new)
    assert data[offset : offset + len(new)] != new
    return data[:offset] + new + data[offset + len(new) :]


def flip(data: bytes, offset: int) -> bytes:
    """One bit of one byte."""
    return put(data, offset, bytes([data[offset] ^ 1]))


def find(data: bytes, what: bytes, start: int = 0) -> int:
    """Where these bytes are; an error if they are not there."""
    return data.index(what, start)


def replaced(data: bytes, old: bytes, new: bytes, *, start: int = 0) -> bytes:
    """The first `old` from `start` on becomes `new`, of the same length."""
    assert len(old) == len(new)
    return put(data, find(data, old, start), new)


def blob(data: bytes, magic: bytes) -> tuple[int, int]:
    """Offset and length of the first blob with this magic in the signature of a thin image."""
    at = find(data, magic, find(data, SUPERBLOB) + 12)
    return at, int.from_bytes(data[at + 4 : at + 8])


def command(data: bytes, number: int) -> int:
    """Offset of a load command in a thin 64-bit image."""
    at = 32
    for _ in range(struct.unpack_from("<I", data, 16)[0]):
        found, size = struct.unpack_from("<2I", data, at)
        if found == number:
            return at
        at += size
    raise AssertionError(f"no load command {number:#x}")


def renamed(data: bytes, number: int, other: int = 0x29) -> bytes:
    """The load command becomes another one that says nothing here (LC_DATA_IN_CODE)."""
    return put(data, command(data, number), struct.pack("<I", other))


def spoilt_in_every_way(tool: bytes) -> dict[str, bytes]:
    """Name → bytes; `tool` is thin, signed, and has entitlements in which something is false."""
    cms, _ = blob(tool, CMS)
    token = find(tool, TOKEN_OID, cms)
    return {
        "unsigned": renamed(tool, CODE_SIGNATURE_COMMAND),
        "changed": flip(tool, 0x1000),
        "adhoc": put(tool, cms + 4, struct.pack(">I", 8)),
        "unstamped": flip(tool, token + len(TOKEN_OID) - 1),
        "debuggable": replaced(tool, b"<false/>", b"<true/> "),
        "old": put(tool, command(tool, BUILD_VERSION_COMMAND) + 16, b"\x00\x08\x0a\x00"),
    }
