"""A keyring in memory: a real backend of the `keyring` library, with a lever for a host that has none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import keyring
from keyring.backend import KeyringBackend
from keyring.errors import NoKeyringError, PasswordDeleteError


class MemoryKeyring(KeyringBackend):
    # Below the backend that only fails: nobody but `memory_keyring` ever chooses it.
    priority: ClassVar[float] = -1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # keyring's backends are not typed
        self.kept: dict[tuple[str, str], str] = {}
        self.is_absent = False

    def get_password(self, service: str, username: str) -> str | None:
        self._demand_there()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._demand_there()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._demand_there()
        if (service, username) not in self.kept:
            raise PasswordDeleteError(username)
        del self.kept[service, username]

    def _demand_there(self) -> None:
        if self.is_absent:
            raise NoKeyringError


@contextmanager
def memory_keyring() -> Iterator[MemoryKeyring]:
    """The keyring of this process for the block."""
    before, mine = keyring.get_keyring(), MemoryKeyring()
    keyring.set_keyring(mine)
    try:
        yield mine
    finally:
        keyring.set_keyring(before)
