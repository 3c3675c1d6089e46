"""Secrets as a type, and the redactor that everything printed or logged passes through.

A `Secret` shows nothing of itself: not in `repr`, not in an f-string, not in an exception that carries it.
`reveal()` and `reveal_bytes()` are the ways to its text, so that every use of it can be found. Whoever receives a
secret from outside (a service, a file, a prompt) wraps it on arrival and registers it with the `Redactor` of the host.
"""

from __future__ import annotations

import re
from urllib.parse import quote

_MARK = "[redacted]"
# A shorter text would be replaced inside ordinary words; nothing so short is accepted as a secret to begin with.
_SHORTEST = 4


class Secret:
    """A text that never prints itself."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def reveal_bytes(self) -> bytes:
        """Its text in UTF-8; what was no UTF-8 where it was typed, as it was typed."""
        return self._text.encode("utf-8", "surrogateescape")

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


class Redactor:
    """Replaces every registered secret, and its percent-encoded form, in a text."""

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def register(self, secret: Secret) -> Secret:
        text = secret.reveal()
        # A multi-line secret (a PEM key) can be printed line by line.
        for form in {text, quote(text, safe="", errors="surrogateescape"), *text.splitlines()}:
            if len(form.strip()) >= _SHORTEST and not form.startswith("-----"):
                self._texts.add(form.strip())
        longest_first = sorted(self._texts, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        return secret

    def __call__(self, text: str) -> str:
        return self._pattern.sub(_MARK, text) if self._pattern else text
