"""The CodeDirectory: its bytes by the header file, reading and writing inverse, contradictions refused."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace

import pytest

from pipeline.codesign.code_directory import (
    FIXED_SIZE,
    CodeDirectory,
    Flags,
    HashType,
    Version,
    build_code_directory,
    flag_names,
    least_version,
    parse_code_directory,
    parse_flags,
)
from pipeline.errors import ConfigurationError, MalformedFile

PAGES = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(3))
FULL = CodeDirectory(
    version=Version.RUNTIME,
    flags=Flags.RUNTIME,
    identifier="com.example.tool",
    team="ABCDE12345",
    hash_type=HashType.SHA256,
    page_size=4096,
    code_limit=12_000,
    special=(bytes(32), hashlib.sha256(b"requirements").digest()),
    code=PAGES,
    exec_segment_base=0,
    exec_segment_limit=8192,
    exec_segment_flags=1,
    runtime=0x000E0500,
)


def test_the_fields_stand_where_cs_blobs_h_has_them() -> None:
    """A CodeDirectory taken apart with the offsets of Apple's header file."""
    blob = build_code_directory(FULL).blob
    names = b"com.example.tool\0ABCDE12345\0"
    hash_offset = 96 + len(names) + 2 * 32
    fixed = struct.pack(
        ">9I4BIIIIQQQQII",
        0xFADE0C02,
        hash_offset + 96,
        0x20500,
        0x10000,
        hash_offset,
        96,
        2,
        3,
        12_000,
        *(32, 2, 0, 12),
        *(0, 0, 96 + 17, 0),
        *(0, 0, 8192, 1),
        *(0x000E0500, 0),
    )
    assert blob == fixed + names + hashlib.sha256(b"requirements").digest() + bytes(32) + PAGES


@pytest.mark.parametrize("version", [version for version in Version if version != Version.LINKAGE])
@pytest.mark.parametrize("team", [None, "ABCDE12345"])
def test_a_code_directory_comes_back_as_it_was(version: Version, team: str | None) -> None:
    """For every version that codesign has written, as far as the version has the fields."""
    wanted = replace(FULL, version=version, team=team if version >= Version.TEAM else None)
    if version < Version.RUNTIME:
        wanted = replace(wanted, runtime=0)
    if version < Version.EXEC_SEGMENT:
        wanted = replace(wanted, exec_segment_limit=0, exec_segment_flags=0)
    built = build_code_directory(wanted)
    assert parse_code_directory(built.blob) == built
    assert len(built.blob) == FIXED_SIZE[version] + 17 + (11 if wanted.team else 0) + 5 * 32


def test_a_limit_above_4_gib_goes_into_the_wider_field() -> None:
    """The 32-bit field is all ones then."""
    built = build_code_directory(replace(FULL, code_limit=1 << 33))
    assert struct.unpack_from(">I", built.blob, 32) == (0xFFFFFFFF,)
    assert parse_code_directory(built.blob).code_limit == 1 << 33


@pytest.mark.parametrize(
    ("values", "version"),
    [
        ({"runtime": 1, "exec_segment_limit": 1, "team": "T"}, 0x20500),
        ({"exec_segment_limit": 1, "team": "T"}, 0x20400),
        ({"code_limit": 1 << 32, "team": "T"}, 0x20300),
        ({"team": "T"}, 0x20200),
        ({}, 0x20100),
    ],
    ids=repr,
)
def test_the_least_version_that_holds_the_values_is_written(values: dict[str, object], version: int) -> None:
    """As Apple's builder chooses it."""
    known: dict[str, object] = {"runtime": 0, "exec_segment_limit": 0, "code_limit": 1, "team": None}
    assert least_version(Version.RUNTIME, **{**known, **values}) == version  # type: ignore[arg-type]
    assert least_version(Version.EARLIEST, **known) == Version.EARLIEST  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hash_type", "expected"),
    [
        (HashType.SHA1, hashlib.sha1(b"x").digest()),
        (HashType.SHA256, hashlib.sha256(b"x").digest()),
        (HashType.SHA256_TRUNCATED, hashlib.sha256(b"x").digest()[:20]),
        (HashType.SHA384, hashlib.sha384(b"x").digest()),
    ],
)
def test_hash_types_are_those_of_the_header_file(hash_type: HashType, expected: bytes) -> None:
    """Their digests and sizes; the CDHash is 20 bytes whatever the type."""
    assert hash_type.digest(b"x") == expected
    assert hash_type.size == len(expected)
    directory = build_code_directory(replace(FULL, hash_type=hash_type, special=(), code=expected))
    assert len(directory.cdhash) == 20
    assert directory.full_cdhash.startswith(directory.cdhash)


BLOB = build_code_directory(FULL).blob


def _patched(offset: int, layout: str, value: int) -> bytes:
    raw = struct.pack(">" + layout, value)
    return BLOB[:offset] + raw + BLOB[offset + len(raw) :]


BROKEN = {
    "cut off": BLOB[:40],
    "a byte short": BLOB[:-1],
    "a version before the first": _patched(8, "I", 0x10000),
    "a version of the future": _patched(8, "I", 0x30000),
    "hashes past the end": _patched(16, "I", len(BLOB)),
    "hashes in the header": _patched(16, "I", 16),
    "an identifier past the end": _patched(20, "I", len(BLOB)),
    "an identifier without an end": _patched(20, "I", len(BLOB) - 1),
    "four thousand million special slots": _patched(24, "I", 0xFFFFFFFF),
    "four thousand million pages": _patched(28, "I", 0xFFFFFFFF),
    "hashes of another size": _patched(36, "B", 20),
    "an unknown hash": _patched(37, "B", 9),
    "no hash": _patched(37, "B", 0),
    "a page of 2^200": _patched(39, "B", 200),
    "a scatter vector": _patched(44, "I", 96),
    "a team past the end": _patched(48, "I", 0xFFFFFFF0),
    "hashes of encrypted pages": _patched(92, "I", 96),
    "the fixed part cut off": _patched(4, "I", 60)[:60],
}


@pytest.mark.parametrize("blob", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_code_directory_is_refused(blob: bytes) -> None:
    """Offsets outside of it, sizes that do not fit and what no signer writes are a MalformedFile."""
    with pytest.raises(MalformedFile):
        parse_code_directory(blob)


def test_flags_have_codesigns_names() -> None:
    """Names and numbers both ways; what has no name is a number."""
    assert flag_names(0x12002) == ("adhoc", "library-validation", "runtime")
    assert flag_names(0x80000001) == ("host", "0x80000000")
    assert parse_flags(["runtime", "library-validation"]) == parse_flags(["runtime", "library"]) == 0x12000
    with pytest.raises(ConfigurationError, match="unknown code signing flag 'hardened'"):
        parse_flags(["hardened"])
