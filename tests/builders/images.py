"""Disk images as far as a ticket goes: data, and the trailer behind them (UDIF, "koly")."""

from __future__ import annotations

import hashlib
import struct

DATA = bytes(range(256)) * 4


def trailer(signature_at: int, signature_length: int) -> bytes:
    """The last 512 bytes of an image, with the place of its signature."""
    fields = bytearray(512)
    struct.pack_into(">4sIIIQQQ", fields, 0, b"koly", 4, 512, 1, 0, 0, 1024)
    struct.pack_into(">QQ", fields, 216, 1000, 24)  # the property list of an image ends where its signature begins
    struct.pack_into(">QQ", fields, 296, signature_at, signature_length)
    return bytes(fields)


def unsigned() -> bytes:
    """An image without a signature."""
    return DATA + trailer(0, 0)


def unsigned_cdhash() -> bytes:
    """Of the ad-hoc signature "ADHOC" that macOS makes for it in passing; of real images a ticket names the same."""
    requirements = hashlib.sha256(struct.pack(">3I", 0xFADE0C01, 12, 0)).digest()
    special = [hashlib.sha256(trailer(len(DATA), 0)).digest(), *[bytes(32)] * 3, requirements, bytes(32)]
    identifier = b"ADHOC\0"
    hashes = 48 + len(identifier) + 6 * 32
    counts = (hashes, 48, 6, 1, len(DATA))
    directory = struct.pack(">9I4BII", 0xFADE0C02, hashes + 32, 0x20100, 2, *counts, 32, 2, 0, 0, 0, 0)
    directory += identifier + b"".join(special) + hashlib.sha256(DATA).digest()
    return hashlib.sha256(directory).digest()[:20]
