"""The placeholders of [build] command, collect and clean: `{name}`; a brace itself is written twice.

And those of others, which nobody here fills in: Xcode's in a property list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.errors import ConfigurationError

FACTS = ("arch", "version", "minimum")
"""Known in every text that is expanded."""
OUTPUTS = ("output", "debug_output")
"""Known in `command` alone: where it must leave its binaries."""

_TOKEN = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|[{}]")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Xcode's build settings, $(NAME) and ${NAME}, with :modifiers; and the {{NAME}} that scripts replace.
_UNFILLED = re.compile(rb"\$\([A-Za-z_][\w:=./-]*\)|\$\{[A-Za-z_][\w:=./-]*\}|\{\{ *[A-Z_]+ *\}\}")


def names_in(text: str) -> tuple[str, ...]:
    """The names that a text holds, in order. Raises ConfigurationError, without a place, for a lone brace."""
    found = []
    for token in _TOKEN.finditer(text):
        if token[1]:
            found.append(token[1])
        elif len(token[0]) == 1:
            raise ConfigurationError(
                f'a lone "{token[0]}" in "{text}"',
                remedy=f'a placeholder is {{name}}; write "{token[0] * 2}" for a brace',
            )
    return tuple(found)


def expand(text: str, values: Mapping[str, str]) -> str:
    """The text with every placeholder replaced. All its names must be in `values`: `config.load` has checked them."""
    return _TOKEN.sub(lambda token: values[token[1]] if token[1] else token[0][0], text)


def demand_filled(plist: bytes, where: str) -> bytes:
    """The property list itself. Raises ConfigurationError where it holds what Xcode or a script was to fill in."""
    found = _UNFILLED.search(plist)
    if found is not None:
        raise ConfigurationError(
            f"holds {found[0].decode()}, which Xcode or a script fills in, and nobody here",
            where=where,
            remedy="take the file that was made of it, or write the value",
        )
    return plist
