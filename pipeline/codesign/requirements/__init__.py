"""Code requirements: the text language, its bytes, the text of bytes, and whether a signature satisfies them."""

from pipeline.codesign.requirements.defaults import default_requirements
from pipeline.codesign.requirements.evaluator import SignatureFacts, satisfies
from pipeline.codesign.requirements.language import compile_requirement, compile_requirements
from pipeline.codesign.requirements.printer import requirement_text
from pipeline.codesign.requirements.program import (
    RequirementType,
    build_requirement_set,
    designated,
    parse_requirement,
    parse_requirement_set,
)

__all__ = [
    "RequirementType",
    "SignatureFacts",
    "build_requirement_set",
    "compile_requirement",
    "compile_requirements",
    "default_requirements",
    "designated",
    "parse_requirement",
    "parse_requirement_set",
    "requirement_text",
    "satisfies",
]
