"""The signing engine, pure: it is given bytes and Sources, and returns what to write; no file, no clock, no network."""

from pipeline.codesign.certificates import Anchors
from pipeline.codesign.cms import Identity
from pipeline.codesign.code_directory import Flags, HashType, parse_flags
from pipeline.codesign.eras import DEFAULT_ERA, ERAS, Era, era_named
from pipeline.codesign.options import SigningOptions
from pipeline.codesign.signer import SigningPlan, sign_slices
from pipeline.codesign.verified import VerifiedSlice
from pipeline.codesign.verifier import Expectations, verify_slices

__all__ = [
    "DEFAULT_ERA",
    "ERAS",
    "Anchors",
    "Era",
    "Expectations",
    "Flags",
    "HashType",
    "Identity",
    "SigningOptions",
    "SigningPlan",
    "VerifiedSlice",
    "era_named",
    "parse_flags",
    "sign_slices",
    "verify_slices",
]
