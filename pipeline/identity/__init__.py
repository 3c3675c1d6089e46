"""Who signs: identities out of .p12 files and PEM texts, and the certificates of Apple that close their chains."""

from pipeline.identity.anchors import load_anchors
from pipeline.identity.apple import APPLE_ANCHORS, APPLE_INTERMEDIATES, APPLE_ROOTS
from pipeline.identity.load import is_closed, load_identity, load_p12, load_pem, validity_warnings

__all__ = [
    "APPLE_ANCHORS",
    "APPLE_INTERMEDIATES",
    "APPLE_ROOTS",
    "is_closed",
    "load_anchors",
    "load_identity",
    "load_p12",
    "load_pem",
    "validity_warnings",
]
