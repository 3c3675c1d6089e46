"""Who is told of every operation at the door, before it happens."""

from __future__ import annotations

from collections.abc import Callable

Observer = Callable[[str, str], None]


def nobody(_kind: str, _subject: str) -> None:
    """The observer of an ordinary run."""
