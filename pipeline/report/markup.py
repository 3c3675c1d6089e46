"""Elements of HTML, with every text inert: names and logs come from strangers.

A text becomes markup in one place, `_inert`. Characters that would change how the rest of a line reads (controls, the
directions of bidirectional text, halves of surrogate pairs) are shown as their code points.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

_MISLEADING = re.compile(
    "[\0-\b\v-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufff9-\ufffb]"
)


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Content = Markup | str | int | float | None


def _inert(text: str) -> Markup:
    shown = _MISLEADING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return Markup(html.escape(shown, quote=True))


def element(name: str, *children: Content, **attributes: str | None) -> Markup:
    """`<name …>children</name>`; a child that is no markup is a text. `class_` is class, `aria_label` aria-label."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_inert(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{shown}>{joined(children)}</{name}>")


def joined(children: Iterable[Content]) -> Markup:
    return Markup(
        "".join(child if isinstance(child, Markup) else _inert(str(child)) for child in children if child is not None)
    )


def section(name: str, title: str, *children: Content) -> Markup:
    """A part of the page under a heading that names it."""
    return element("section", element("h2", title, id=name), *children, aria_labelledby=name)


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Content]]) -> Markup:
    """A table whose first column heads its rows; the keyboard scrolls one that is wider than the page."""
    return framed(caption, columns, [element("tbody", *(row(one) for one in rows))])


def row(cells: Sequence[Content]) -> Markup:
    return element("tr", element("th", cells[0], scope="row"), *(element("td", cell) for cell in cells[1:]))


def framed(caption: str, columns: Sequence[str], bodies: Iterable[Markup]) -> Markup:
    """A table of several bodies, each a `tbody`: rows that belong together."""
    head = element("tr", *(element("th", column, scope="col") for column in columns))
    made = element("table", element("caption", caption), element("thead", head), *bodies)
    return element("div", made, class_="wide", role="group", aria_label=caption, tabindex="0")


def folded(summary: Content, *children: Content, class_: str | None = None) -> Markup:
    """Children behind a line that opens them; a browser's own search opens them too."""
    return element("details", element("summary", summary), *children, class_=class_)


def code(text: str) -> Markup:
    return element("code", text)


def lines(parts: Iterable[Content]) -> Markup:
    """Several contents of one cell, one below the other."""
    return joined(element("div", part) for part in parts)


def badge(text: str, kind: str) -> Markup:
    """A word with a colour; the word alone says it too."""
    return element("span", text, class_=f"badge {kind}")
