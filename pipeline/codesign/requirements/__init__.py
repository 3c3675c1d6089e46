"""Code requirements: the text language, its bytes, the text of bytes, and whether a signature satisfies them."""

from pipeline.codesign.requirements.defaults import default_requirements
from pipeline.codesign.requirements.program import (
    RequirementType,
    build_requirement_set,
    designated,
    parse_requirement,
    parse_requirement_set,
)

__all__ = [
    "RequirementType",
    "build_requirement_set",
    "default_requirements",
    "designated",
    "parse_requirement",
    "parse_requirement_set",
]
