"""Chance: nonces, run ids, jitter."""

from __future__ import annotations

import os
from typing import Protocol


class Entropy(Protocol):
    def bytes(self, count: int) -> bytes: ...


class SystemEntropy:
    def bytes(self, count: int) -> bytes:
        return os.urandom(count)
