"""The CodeDirectory: what is signed. Hashes of every page and of every part, identifier, team, flags (`cs_blobs.h`).

Which values go into it is the signer's matter; whether they hold is the verifier's.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum, IntFlag

from pipeline.codesign.superblob import Magic, build_blob, parse_blob
from pipeline.errors import ConfigurationError, MalformedFile
from pipeline.macho.fields import c_string, unpack

_HEADER_SIZE = 8
_BASE = struct.Struct(">7I4BI")
_SCATTER = struct.Struct(">I")
_TEAM = struct.Struct(">I")
_LIMIT_64 = struct.Struct(">IQ")
_EXEC_SEGMENT = struct.Struct(">3Q")
_RUNTIME = struct.Struct(">2I")

CDHASH_SIZE = 20
# A page size is a power of two; 2^31 is far above any real one (2^14) and keeps arithmetic small.
LARGEST_PAGE_EXPONENT = 31
_LIMIT_32 = 0xFFFFFFFF


class Version(IntEnum):
    """Each adds fields to the one before; a CodeDirectory is written as the least version that holds its values."""

    EARLIEST = 0x20001
    SCATTER = 0x20100
    TEAM = 0x20200
    LIMIT_64 = 0x20300
    EXEC_SEGMENT = 0x20400
    RUNTIME = 0x20500
    LINKAGE = 0x20600


# Size of the fixed part, header included.
FIXED_SIZE = {
    Version.EARLIEST: 44,
    Version.SCATTER: 48,
    Version.TEAM: 52,
    Version.LIMIT_64: 64,
    Version.EXEC_SEGMENT: 88,
    Version.RUNTIME: 96,
    Version.LINKAGE: 108,
}


class HashType(IntEnum):
    """`cs_blobs.h`, CS_HASHTYPE_*."""

    SHA1 = 1
    SHA256 = 2
    SHA256_TRUNCATED = 3
    SHA384 = 4

    @property
    def algorithm(self) -> str:
        """The name that hashlib knows."""
        return {1: "sha1", 2: "sha256", 3: "sha256", 4: "sha384"}[self]

    @property
    def size(self) -> int:
        """Of one hash in the CodeDirectory, in bytes."""
        return {1: 20, 2: 32, 3: 20, 4: 48}[self]

    @property
    def label(self) -> str:
        return {1: "sha1", 2: "sha256", 3: "sha256-truncated", 4: "sha384"}[self]

    def digest(self, data: bytes) -> bytes:
        """Of `size` bytes, as a slot holds it."""
        return hashlib.new(self.algorithm, data, usedforsecurity=False).digest()[: self.size]

    def full_digest(self, data: bytes) -> bytes:
        """Not cut: what a CMS says of a CodeDirectory."""
        return hashlib.new(self.algorithm, data, usedforsecurity=False).digest()


class Flags(IntFlag):
    """What the signature asks of the system (CSCommon.h, kSecCodeSignature*)."""

    HOST = 0x1
    ADHOC = 0x2
    HARD = 0x100
    KILL = 0x200
    EXPIRES = 0x400
    RESTRICT = 0x800
    ENFORCEMENT = 0x1000
    LIBRARY_VALIDATION = 0x2000
    RUNTIME = 0x10000
    LINKER_SIGNED = 0x20000


_FLAG_NAMES = {flag: (flag.name or "").lower().replace("_", "-") for flag in Flags}


def flag_names(flags: int) -> tuple[str, ...]:
    """The flags by codesign's names, in ascending order; bits without a name as hexadecimal numbers."""
    names = [name for flag, name in _FLAG_NAMES.items() if flags & flag]
    rest = flags & ~sum(_FLAG_NAMES)
    return (*names, *([f"{rest:#x}"] if rest else []))


def parse_flags(names: Iterable[str]) -> Flags:
    """Flags from their names (`runtime`, `library`); ConfigurationError for an unknown one."""
    known = {name: flag for flag, name in _FLAG_NAMES.items()}
    # What codesign's manual calls it, beside Security's own name.
    known["library"] = Flags.LIBRARY_VALIDATION
    flags = Flags(0)
    for name in names:
        if name not in known:
            raise ConfigurationError(f"unknown code signing flag {name!r}", remedy=f"one of {', '.join(known)}")
        flags |= known[name]
    return flags


def parse_hash_types(names: Iterable[str]) -> tuple[HashType, ...]:
    """Hash types from their names (`sha1`, `sha256`), the weakest first, as slots hold them; ConfigurationError for an
    unknown one."""
    known = {one.label: one for one in HashType}
    for name in names:
        if name not in known:
            raise ConfigurationError(f"unknown digest algorithm {name!r}", remedy=f"one of {', '.join(known)}")
    return tuple(sorted({known[name] for name in names}))


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeDirectory:
    """Its values. `blob` is the whole blob it was parsed from or built into; the CDHash is the hash of that.

    `special` are the hashes of slots 1, 2, 3 …, all zeros where a slot is empty; `code` the hashes of all pages, one
    after the other. A page size of 0 means one hash of everything.
    """

    version: int
    flags: int
    identifier: str
    team: str | None = None
    hash_type: HashType
    page_size: int
    code_limit: int
    platform: int = 0
    special: tuple[bytes, ...] = ()
    code: bytes = field(repr=False)
    exec_segment_base: int = 0
    exec_segment_limit: int = 0
    exec_segment_flags: int = 0
    runtime: int = 0
    blob: bytes = field(default=b"", repr=False)

    @property
    def cdhash(self) -> bytes:
        """The 20 bytes that name this code."""
        return self.full_cdhash[:CDHASH_SIZE]

    @property
    def full_cdhash(self) -> bytes:
        return self.hash_type.full_digest(self.blob)

    @property
    def code_slots(self) -> int:
        return len(self.code) // self.hash_type.size

    def code_hash(self, page: int) -> bytes:
        return self.code[page * self.hash_type.size : (page + 1) * self.hash_type.size]

    def special_hash(self, slot: int) -> bytes | None:
        """The hash of a special slot; None where the slot is empty."""
        if not 1 <= slot <= len(self.special) or not any(self.special[slot - 1]):
            return None
        return self.special[slot - 1]

    @property
    def flag_names(self) -> tuple[str, ...]:
        return flag_names(self.flags)


def least_version(
    newest: Version, *, runtime: int, exec_segment_limit: int, code_limit: int, team: str | None
) -> Version:
    """The version that Apple's builder chooses (`CodeDirectory::Builder::build`), of those up to `newest`."""
    if newest < Version.SCATTER:
        return newest
    if runtime:
        return Version.RUNTIME
    if exec_segment_limit:
        return Version.EXEC_SEGMENT
    if code_limit > _LIMIT_32:
        return Version.LIMIT_64
    return Version.TEAM if team else Version.SCATTER


def directory_size(version: Version, directory: CodeDirectory) -> int:
    """Length of the blob if it were written as `version`."""
    names = len(_text(directory.identifier)) + (len(_text(directory.team)) if directory.team else 0)
    hashes = len(directory.special) * directory.hash_type.size + len(directory.code)
    return FIXED_SIZE[version] + names + hashes


def build_code_directory(directory: CodeDirectory) -> CodeDirectory:
    """The same CodeDirectory with its blob, laid out as Apple's builder does: fixed part, identifier, team, hashes."""
    version = Version(directory.version)
    identifier = _text(directory.identifier)
    team = _text(directory.team) if directory.team else b""
    fixed = FIXED_SIZE[version]
    special = b"".join(reversed(directory.special))
    hash_offset = fixed + len(identifier) + len(team) + len(special)
    limit = directory.code_limit
    body = _BASE.pack(
        version,
        directory.flags,
        hash_offset,
        fixed,
        len(directory.special),
        directory.code_slots,
        min(limit, _LIMIT_32),
        directory.hash_type.size,
        directory.hash_type,
        directory.platform,
        directory.page_size.bit_length() - 1 if directory.page_size else 0,
        0,
    )
    if version >= Version.SCATTER:
        body += _SCATTER.pack(0)
    if version >= Version.TEAM:
        body += _TEAM.pack(fixed + len(identifier) if team else 0)
    if version >= Version.LIMIT_64:
        body += _LIMIT_64.pack(0, limit if limit > _LIMIT_32 else 0)
    if version >= Version.EXEC_SEGMENT:
        body += _EXEC_SEGMENT.pack(
            directory.exec_segment_base, directory.exec_segment_limit, directory.exec_segment_flags
        )
    if version >= Version.RUNTIME:
        body += _RUNTIME.pack(directory.runtime, 0)
    blob = build_blob(Magic.CODE_DIRECTORY, b"".join((body, identifier, team, special, directory.code)))
    return replace(directory, blob=blob)


def parse_code_directory(blob: bytes) -> CodeDirectory:
    """Read a CodeDirectory of any version, wherever it keeps its parts.

    Raises MalformedFile where it contradicts itself or uses what no signer for the Mac writes (scatter vectors,
    pre-encryption hashes).
    """
    parse_blob(blob, Magic.CODE_DIRECTORY)
    fields = unpack(_BASE, blob, _HEADER_SIZE, "CodeDirectory")
    version, flags, hash_offset, ident_offset, special_count, code_count, limit = fields[:7]
    hash_size, hash_number, platform, page_exponent, _spare = fields[7:]
    if not Version.EARLIEST <= version < 0x30000:
        raise MalformedFile(f"a CodeDirectory of the unknown version {version:#x}")
    hash_type = next((known for known in HashType if known == hash_number), None)
    if hash_type is None:
        raise MalformedFile(f"a CodeDirectory of the unknown hash type {hash_number}")
    if hash_size != hash_type.size:
        raise MalformedFile(f"a CodeDirectory with hashes of {hash_size} bytes, {hash_type.label} has {hash_type.size}")
    if page_exponent > LARGEST_PAGE_EXPONENT:
        raise MalformedFile(f"a page size of 2^{page_exponent}")
    first = hash_offset - special_count * hash_size
    end = hash_offset + code_count * hash_size
    if first < _HEADER_SIZE + _BASE.size or end > len(blob):
        raise MalformedFile("the hashes of the CodeDirectory lie outside it")
    if version >= Version.SCATTER and unpack(_SCATTER, blob, 44, "CodeDirectory")[0]:
        raise MalformedFile("a CodeDirectory with a scatter vector")
    team_offset = unpack(_TEAM, blob, 48, "CodeDirectory")[0] if version >= Version.TEAM else 0
    limit_64 = unpack(_LIMIT_64, blob, 52, "CodeDirectory")[1] if version >= Version.LIMIT_64 else 0
    exec_segment = unpack(_EXEC_SEGMENT, blob, 64, "CodeDirectory") if version >= Version.EXEC_SEGMENT else (0, 0, 0)
    runtime, encrypted = unpack(_RUNTIME, blob, 88, "CodeDirectory") if version >= Version.RUNTIME else (0, 0)
    if encrypted:
        raise MalformedFile("a CodeDirectory with hashes of encrypted pages")
    special = blob[first:hash_offset]
    return CodeDirectory(
        version=version,
        flags=flags,
        identifier=c_string(blob, ident_offset, "identifier"),
        team=c_string(blob, team_offset, "team identifier") if team_offset else None,
        hash_type=hash_type,
        page_size=1 << page_exponent if page_exponent else 0,
        code_limit=limit_64 or limit,
        platform=platform,
        special=tuple(special[at : at + hash_size] for at in range(len(special) - hash_size, -1, -hash_size)),
        code=blob[hash_offset:end],
        exec_segment_base=exec_segment[0],
        exec_segment_limit=exec_segment[1],
        exec_segment_flags=exec_segment[2],
        runtime=runtime,
        blob=blob,
    )


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape") + b"\0"
