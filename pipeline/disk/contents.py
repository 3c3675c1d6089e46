"""SHA-256 of whole files from blocks that are read for another reason, so that no file is read twice to know both."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from threading import Lock

Identity = tuple[int, ...]
"""What tells one state of a file from another: device, inode, size, time of modification. A rename keeps it."""


@dataclass(slots=True)
class Content:
    """The SHA-256 of one file's bytes [0, at), taken further by every block that follows on.

    Several threads may read one file, under several names.
    """

    at: int = 0
    _hasher: hashlib._Hash = field(default_factory=hashlib.sha256, repr=False)
    _taking: Lock = field(default_factory=Lock, repr=False)

    def take(self, offset: int, block: bytes | memoryview) -> None:
        """Bytes that the digest has already are passed over; a block beyond `at` is left out, to be read again."""
        with self._taking:
            known = self.at - offset
            if 0 <= known < len(block):
                self._hasher.update(block[known:])
                self.at = offset + len(block)

    def digest(self) -> bytes:
        return self._hasher.digest()


class Contents:
    """What has been read so far of files that were opened with it. A file that changes meanwhile begins anew."""

    def __init__(self) -> None:
        self._of: dict[Identity, Content] = {}

    def of(self, identity: Identity) -> Content:
        return self._of.setdefault(identity, Content())
