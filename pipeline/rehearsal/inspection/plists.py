"""Property lists from strangers: read by the standard library, every way in which it gives up turned into Broken."""

from __future__ import annotations

import plistlib
from typing import Any
from xml.parsers.expat import ExpatError

from pipeline.rehearsal.inspection.findings import Broken

_GIVES_UP = (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError, ExpatError)


def load_plist(data: bytes, *, only_xml: bool = False) -> dict[str, Any]:
    """The dictionary that a property list is. Raises Broken, from the parser's own error."""
    try:
        values = plistlib.loads(data, fmt=plistlib.FMT_XML if only_xml else None)
    except _GIVES_UP as error:
        raise Broken(f"a property list that cannot be read: {error!r}") from error
    if not isinstance(values, dict):
        raise Broken("a property list that is no dictionary")
    return values
