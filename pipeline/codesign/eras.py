"""Eras of codesign as data: what each generation of macOS writes differently, one row an era, one field a rule.

The work is done by Security.framework, so the macOS of the signing machine decides the bytes, not the Xcode. Rules come
from the published sources (github.com/apple-oss-distributions/Security, the project version beside each era) and were
tried on binaries that Apple's codesign signed; 10.14 stands for the last update of 10.13 too, 10.12 for 10.11.5 and
later, 10.11 for 10.10 and for 10.11 up to 10.11.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from pipeline.codesign.code_directory import Version
from pipeline.codesign.entitlements import DerForm
from pipeline.errors import ConfigurationError
from pipeline.macho import Platform


def _packed(major: int, minor: int = 0, patch: int = 0) -> int:
    return major << 16 | minor << 8 | patch


ALWAYS = 0xFFFFFFFF

# The first release of each system that takes SHA-256 alone; below it a signature also carries SHA-1.
_SINCE_26: dict[int, int] = {
    Platform.MACOS: _packed(10, 11, 4),
    Platform.IOS: _packed(11),
    Platform.TVOS: _packed(11),
    Platform.WATCHOS: _packed(12),
}
_SINCE_10_15 = _SINCE_26 | {Platform.WATCHOS: ALWAYS}
_SINCE_10_13 = _SINCE_10_15 | {Platform.IOS: ALWAYS, Platform.TVOS: ALWAYS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Era:
    name: str
    security: str
    """Version of Apple's Security project that the rules were read in."""
    arm64_page_size: int
    """Bytes of code under one hash on 64-bit ARM (tvOS apart); everything else has 4096."""
    recomputes_linkedit: bool
    """Is the memory size of __LINKEDIT always set, to whole 16 KiB? If not it only grows, to whole pages of the
    processor, as the tool codesign_allocate does it."""
    uniform_alignment: bool
    """Do all slices of a universal file lie at multiples of 16 KiB? If not, of the processor's page."""
    cms_room: int
    """Bytes set aside for the CMS signature, for an ad-hoc one too."""
    newest_directory: Version
    """The newest CodeDirectory that is written; its fixed part enters the size estimate whatever is written."""
    sha1_only: bool
    sha1_below: Mapping[int, int]
    """Platform → deployment target below which SHA-1 is added; a platform that is not named never has it."""
    sha1_without_platform: bool
    sha1_by_native_slice: bool
    """Does the signing machine's native slice alone decide for all? If not, one slice that needs SHA-1 is enough."""
    entitlements_on_libraries: bool
    """Is the XML (never the DER) of entitlements written into what is no executable?"""
    entitlements_der: DerForm | None
    exec_segment_on_macos: bool
    exec_segment_since: Mapping[int, int] | None
    """Platform → deployment target from which code for it has its executable segment named; a platform that is not
    here never has it. None: whatever the target, on every platform that is known."""
    lists_slots: bool
    """Does a signature say in slot 4 which slots it has?"""
    unique_despite_plist: bool
    """Does an ad-hoc identifier without a dot gain the UUID even if an Info.plist gave it?"""
    trims_string_table: bool
    """Does removing a signature also remove up to 12 bytes of padding behind the string table?"""
    rsa_with_sha256: bool
    """Is the CMS signature algorithm sha256WithRSAEncryption? If not, plain rsaEncryption."""
    cms_cdhashes: bool
    """Does the CMS carry the property list of CDHashes (1.2.840.113635.100.9.1)?"""
    cms_digests: bool
    """Does the CMS carry every CodeDirectory's full digest (1.2.840.113635.100.9.2)?"""


_26 = Era(
    name="macos-26",
    security="61901",
    arm64_page_size=16384,
    recomputes_linkedit=True,
    uniform_alignment=True,
    cms_room=18000,
    newest_directory=Version.RUNTIME,
    sha1_only=False,
    sha1_below=MappingProxyType(_SINCE_26),
    sha1_without_platform=False,
    sha1_by_native_slice=False,
    entitlements_on_libraries=False,
    entitlements_der=DerForm.VERSIONED,
    exec_segment_on_macos=True,
    exec_segment_since=None,
    lists_slots=False,
    unique_despite_plist=False,
    trims_string_table=True,
    rsa_with_sha256=True,
    cms_cdhashes=True,
    cms_digests=True,
)
_15 = replace(
    _26,
    name="macos-15",
    security="61439",
    arm64_page_size=4096,
    sha1_below=MappingProxyType(_SINCE_10_15),
    sha1_without_platform=True,
    trims_string_table=False,
)
# 12.0 to 14.x; macOS 14 alone already gives an identifier from an Info.plist no UUID.
_12 = replace(_15, name="macos-12", security="60157", entitlements_on_libraries=True, unique_despite_plist=True)
_11 = replace(
    _12,
    name="macos-11",
    security="59754",
    recomputes_linkedit=False,
    uniform_alignment=False,
    sha1_by_native_slice=True,
    entitlements_der=DerForm.SET,
)
# `cmssiginfo.c` names the digest in the signature algorithm from 59754 on, not in 59306.
_10_15 = replace(
    _11,
    name="macos-10.15",
    security="59306",
    entitlements_der=None,
    exec_segment_on_macos=False,
    rsa_with_sha256=False,
)
_10_14 = replace(
    _10_15,
    name="macos-10.14",
    security="58286.70.7 to 58286.270",
    cms_room=9000,
    newest_directory=Version.EXEC_SEGMENT,
    sha1_below=MappingProxyType(_SINCE_10_13),
    cms_digests=False,
)
_10_13 = replace(
    _10_14,
    name="macos-10.13",
    security="58286.1 to 58286.60",
    exec_segment_since=MappingProxyType(
        {Platform.IOS: _packed(11), Platform.TVOS: _packed(11), Platform.WATCHOS: _packed(4)}
    ),
)
_10_12 = replace(_10_13, name="macos-10.12", security="57740", newest_directory=Version.LIMIT_64)
# Signatures of April 2016 have the list, those of June have it no more.
_10_11_4 = replace(_10_12, name="macos-10.11.4", lists_slots=True)
_10_11 = replace(
    _10_12,
    name="macos-10.11",
    security="57337",
    newest_directory=Version.TEAM,
    sha1_only=True,
    cms_cdhashes=False,
)
_10_9 = replace(_10_11, name="macos-10.9", security="55471", newest_directory=Version.SCATTER)
# Before time stamps the room was smaller. Its source is not published: two slices that codesign signed in 2011 show it.
_10_7 = replace(_10_9, name="macos-10.7", security="55148", cms_room=5000)
# The first with signatures, without scatter vectors yet: an Intel and PowerPC program of Apple's own shows it.
_10_5 = replace(_10_7, name="macos-10.5", security="not read", newest_directory=Version.EARLIEST)

ERAS = (_26, _15, _12, _11, _10_15, _10_14, _10_13, _10_12, _10_11_4, _10_11, _10_9, _10_7, _10_5)
"""Newest first."""
DEFAULT_ERA = _26


def era_named(name: str) -> Era:
    """The era of that name; ConfigurationError for an unknown one."""
    for era in ERAS:
        if era.name == name:
            return era
    raise ConfigurationError(f"unknown era {name!r}", remedy=f"one of {', '.join(era.name for era in ERAS)}")
