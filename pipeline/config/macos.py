"""Versions of macOS as a configuration writes them."""

from __future__ import annotations

import re

from pipeline.config.sections import Section

# Packed as xxxx.yy.zz in LC_BUILD_VERSION: 16 bits and twice 8 (mach-o/loader.h).
_MACOS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,2}){0,2}")


def require_macos(section: Section, key: str, text: str) -> None:
    if not _MACOS.fullmatch(text):
        raise section.error(key, f'"{text}" is not a macOS version', 'such as "10.13" or "11.0"')


def version_number(version: str) -> tuple[int, ...]:
    """Major, minor and patch of a version that `require_macos` accepts, to be compared."""
    parts = [int(part) for part in version.split(".")]
    return (*parts, *[0] * (3 - len(parts)))
