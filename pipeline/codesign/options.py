"""What a caller decides about a signature; everything left open follows codesign's rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.codesign.certificates import Anchors
from pipeline.codesign.code_directory import Flags, HashType
from pipeline.codesign.eras import DEFAULT_ERA, Era
from pipeline.codesign.superblob import Slot

NO_ANCHORS = Anchors(roots=(), timestamp_roots=(), ticket_roots=())


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningOptions:
    identifier: str | None = None
    """None: CFBundleIdentifier of an embedded Info.plist, else from the file's name."""
    prefix: str = ""
    """Put before an identifier without a dot that codesign would have chosen."""
    flags: Flags | None = None
    """None: CSFlags of the Info.plist, else none. Ad hoc adds ADHOC by itself."""
    entitlements: bytes | None = None
    """The property list in XML, which goes into the signature verbatim."""
    preserve_entitlements: bool = False
    """Where none are given: those of the signature that is replaced."""
    requirements: bytes | None = None
    """A set of requirements, compiled. Without a designated one the identity's default is added."""
    era: Era = DEFAULT_ERA
    info_plist: bytes | None = None
    """Of a bundle. None: a bare file's embedded one."""
    code_resources: bytes | None = None
    """Of a bundle: its seal."""
    constraints: Mapping[Slot, bytes] = field(default_factory=dict)
    """Launch constraints (self, parent, responsible) and library constraint: property lists in XML."""
    anchors: Anchors = NO_ANCHORS
    """Roots that make a chain Apple's, for the team and the default requirement."""
    team: str | None = None
    """Only where the certificate names none; it must not contradict one that does."""
    runtime_version: int | None = None
    """Packed X.Y.Z for the hardened runtime. None: the SDK that the image was linked against."""
    hash_types: tuple[HashType, ...] | None = None
    """None: SHA-256, and SHA-1 beside it where the deployment target is too old. The weakest goes into slot 0."""
    page_size: int | None = None
    """A power of two. None: the era's."""
