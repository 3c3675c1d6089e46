"""GitHub's workflow commands: lines that its runner takes for orders, and texts that it must not take for one.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions; the runner reads an order at a line's
beginning (`::error::…`), and its older form (`##[error]…`) anywhere in a line.
"""

from __future__ import annotations

import re

_ORDER = re.compile(r"^(\s*):(?=:)", re.MULTILINE)
# What ends a line for the runner or for Python, besides the line feed.
_ENDINGS = re.compile("[\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def inert(text: str) -> str:
    """A text in which the runner finds no order. A JSON document keeps its meaning."""
    if text.startswith(("{", "[")):
        return text.replace("##[", "\\u0023\\u0023[")
    return _ORDER.sub(r"\1: ", _ENDINGS.sub(" ", text)).replace("##[", "# #[")


def order(name: str, text: str, **properties: str) -> str:
    """A workflow command on one line, everything in it escaped."""
    shown = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name}{f' {shown}' if shown else ''}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
