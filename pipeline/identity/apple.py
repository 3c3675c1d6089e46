"""Apple's public certificates, carried as DER in `certificates/`: where signatures, time stamps and tickets must lead.

What each one is, its digest, its expiry and where it was found stands in `certificates/certificates.md`; a test holds
that table against the files.
"""

from __future__ import annotations

from importlib.resources import files

from pipeline.codesign.certificates import Anchors

_FOLDER = files("pipeline.identity") / "certificates"


def _load(*names: str) -> tuple[bytes, ...]:
    return tuple((_FOLDER / f"{name}.cer").read_bytes() for name in names)


APPLE_ROOTS = _load("AppleRootCA", "AppleRootCA-G2", "AppleRootCA-G3")

APPLE_INTERMEDIATES = _load(
    "DeveloperIDCA-G1",
    "DeveloperIDCA-G2",
    "AppleWWDRCA-G2",
    "AppleWWDRCA-G3",
    "AppleWWDRCA-G4",
    "AppleWWDRCA-G5",
    "AppleWWDRCA-G6",
)
"""What completes a chain of which only the leaf was given."""

# A token must lead to a root, not to the authority of today: that one ends on 2027-04-05 and will have a successor.
APPLE_ANCHORS = Anchors(
    roots=APPLE_ROOTS,
    timestamp_roots=APPLE_ROOTS,
    ticket_roots=APPLE_ROOTS,
    intermediates=APPLE_INTERMEDIATES,
)
