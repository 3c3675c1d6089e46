"""Launch and library constraints: the property list a developer writes, and the DER that goes into slots 8 to 11.

The list holds the requirements alone (team-identifier, signing-identifier, $or …); codesign wraps it with its category,
comparison and version, in the DER form of entitlements. Source: developer.apple.com "Defining launch environment and
library constraints"; the wrapper as rcodesign writes it, which Apple's tools read. Whether a constraint holds on a Mac
is judged there, not here.
"""

from __future__ import annotations

from typing import Any

from pipeline.codesign.entitlements import entitlements_der, parse_entitlements_der, parse_property_list
from pipeline.errors import MalformedFile

_CATEGORY, _COMPARISON, _VERSION, _REQUIREMENTS = "ccat", "comp", "vers", "reqs"


def constraint_der(plist: bytes) -> bytes:
    """The DER of a constraint, from its property list in XML. Raises MalformedFile, SigningError for a kind of value
    that DER has not."""
    values = parse_property_list(plist, what="the constraint")
    wrapped = {_CATEGORY: 0, _COMPARISON: 1, _REQUIREMENTS: values, _VERSION: 1}
    # A constraint may name a CDHash, which is data (`TLE.mm` of Security 61439: allow_data_elements).
    return entitlements_der(wrapped, data_allowed=True)


def parse_constraint_der(data: bytes) -> dict[str, Any]:
    """The requirements of a constraint. Raises MalformedFile where it is not wrapped as one."""
    values = parse_entitlements_der(data, data_allowed=True)
    requirements = values.get(_REQUIREMENTS)
    if not isinstance(requirements, dict):
        raise MalformedFile("a constraint without requirements")
    return requirements
