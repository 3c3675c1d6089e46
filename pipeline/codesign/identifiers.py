"""The identifier that codesign gives code when the caller names none.

From an Info.plist, or from the file's name; ad hoc, a name without a dot is made unique by the image's UUID. Rules:
Security `diskrep.cpp` (canonicalIdentifier), `machorep.cpp`, `signer.cpp` (prepare).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from pipeline.codesign.eras import Era
from pipeline.codesign.property_list import parse_plist
from pipeline.errors import MalformedFile, SigningError
from pipeline.macho import Image

_MACH_HEADER_32 = 28
_DIGITS = "0123456789"


def default_identifier(
    *, file_name: str, info: Mapping[str, Any] | None, native: Image, ad_hoc: bool, prefix: str, era: Era
) -> str:
    """The identifier of a file: CFBundleIdentifier of its embedded Info.plist or else its name, made canonical.

    `prefix` stands before a name without a dot. Raises SigningError for an Info.plist whose identifier is no text.
    """
    given = (info or {}).get("CFBundleIdentifier")
    if given is not None and not isinstance(given, str):
        raise SigningError("CFBundleIdentifier in the Info.plist is not a text")
    identifier = given or canonical_identifier(file_name)
    if "." not in identifier:
        identifier = prefix + identifier
    if "." not in identifier and ad_hoc and (not given or era.unique_despite_plist):
        identifier = f"{identifier}-{unique_name(native)}"
    return identifier


def canonical_identifier(name: str) -> str:
    """A file's name without folders, without its extension and without trailing version numbers.

    An extension that begins with a digit is a version: `libfoo7.3.5.dylib` gives `libfoo7`, `foo.2.3` gives `foo.2`.
    """
    base = name.rsplit("/", 1)[-1]
    stem, dot, extension = base.rpartition(".")
    # A last dot with nothing behind it stays, as it does at Apple's.
    if dot and extension[:1] not in _DIGITS:
        base = stem
    if base[:1] in _DIGITS + ".":
        return base
    kept = base.rstrip(_DIGITS + ".")
    version = re.match(r"\.?[0-9]*", base[len(kept) :])
    return kept + (version.group() if version else "")


def unique_name(image: Image) -> str:
    """What makes an ad-hoc identifier unique, in hex: the image's UUID, or a SHA-1 of header and load commands."""
    if image.uuid is not None:
        return (b"UUID" + image.uuid).hex()
    # The header as far as the 32-bit one goes, whatever the image's word size: that is what is hashed.
    digest = hashlib.sha1(image.head[:_MACH_HEADER_32] + image.head[image.header_size :], usedforsecurity=False)
    return digest.hexdigest()


def parse_info_plist(data: bytes) -> dict[str, Any]:
    """The dictionary of an Info.plist, XML or binary; SigningError if it is none."""
    try:
        return parse_plist(data, "the Info.plist")
    except MalformedFile as error:
        raise SigningError(error.message) from error
