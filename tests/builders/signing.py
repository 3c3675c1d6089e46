"""Signing and verifying bytes in memory, for tests that ask what is in a signature."""

from __future__ import annotations

from typing import Any

import pytest

from builders.chain import SIGNED_AT, Chain
from pipeline.codesign import Expectations, Identity, SigningOptions, VerifiedSlice, sign_slices, verify_slices
from pipeline.codesign.code_directory import CodeDirectory, Flags, HashType, Version, build_code_directory
from pipeline.codesign.signature import Signature, read_signature
from pipeline.errors import VerificationError
from pipeline.macho import BytesSource, Part, read_slices


def whole(parts: tuple[Part, ...]) -> bytes:
    return b"".join(part if isinstance(part, bytes) else part.read(0, part.size) for part in parts)


def sign(data: bytes, options: SigningOptions, chain: Chain | None = None, *, file_name: str = "tool") -> bytes:
    """The signed file; ad hoc without a chain."""
    identity: Identity | None = chain.identity if chain else None
    plan = sign_slices(
        read_slices(BytesSource(data)), options, file_name=file_name, identity=identity, signing_time=SIGNED_AT
    )
    return whole(plan.parts)


def signatures(data: bytes) -> list[Signature]:
    """The signature of every slice; each must have one."""
    found = [read_signature(one) for one in read_slices(BytesSource(data))]
    assert None not in found
    return [signature for signature in found if signature is not None]


def signature_with(data: bytes, **options: Any) -> Signature:
    """The first slice's, signed ad hoc with these options."""
    return signatures(sign(data, SigningOptions(**{"identifier": "com.example.tool", **options})))[0]


def directory_with(data: bytes, **options: Any) -> CodeDirectory:
    """Its best CodeDirectory."""
    return signature_with(data, **options).best


def one_page(
    hash_type: HashType = HashType.SHA256, *, page: bytes = bytes(4096), team: str | None = "ABCDE12345"
) -> bytes:
    """A CodeDirectory over one page, as a blob: what a CMS can be about without any code."""
    return build_code_directory(
        CodeDirectory(
            version=Version.TEAM,
            flags=Flags(0),
            identifier="com.example.tool",
            team=team,
            hash_type=hash_type,
            page_size=4096,
            code_limit=len(page),
            code=hash_type.digest(page),
        )
    ).blob


def verify(data: bytes, chain: Chain, *, strict_padding: bool = True) -> tuple[VerifiedSlice, ...]:
    return verify_slices(BytesSource(data), Expectations(anchors=chain.anchors, strict_padding=strict_padding))


def refused(data: bytes, chain: Chain, **expected: object) -> VerificationError:
    """What verification says of a file that does not hold; strict padding unless `expected` says otherwise."""
    known: dict[str, object] = {"anchors": chain.anchors, "strict_padding": True}
    with pytest.raises(VerificationError) as told:
        verify_slices(BytesSource(data), Expectations(**{**known, **expected}))  # type: ignore[arg-type]
    return told.value
