"""What a signature says once it holds: the result of signing and of verification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.codesign.certificates import common_name, load_certificate
from pipeline.codesign.cms import TIMESTAMP_TOKEN, Identity, parse_cms
from pipeline.codesign.entitlements import parse_entitlements
from pipeline.codesign.requirements import designated, requirement_text
from pipeline.codesign.signature import Signature, parse_signature
from pipeline.codesign.signed_data import single_value
from pipeline.codesign.signer import SignedSlice
from pipeline.codesign.superblob import Slot
from pipeline.codesign.timestamp_token import parse_token


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedSlice:
    arch: str
    cdhash: str
    """40 hex digits of the best CodeDirectory: SHA-256's where there are two."""
    cdhashes: tuple[str, ...]
    """Of every CodeDirectory, that of slot 0 first."""
    identifier: str
    team: str | None
    flags: tuple[str, ...]
    """By codesign's names: adhoc, runtime, …"""
    authorities: tuple[str, ...]
    """Names of the certificates, the leaf's first; none where it is ad hoc."""
    timestamp: datetime | None
    """Of a time-stamp authority."""
    signing_time: datetime | None
    """As the signer said."""
    entitlements: Mapping[str, Any] | None
    requirement: str | None
    """The designated requirement as text; None where the signature holds none."""
    residue: bool
    """Are bytes behind the signature not zero? An earlier signature's, which nothing covers."""
    not_judged: tuple[str, ...]


def verified_slice(signed: SignedSlice, identity: Identity | None, signing_time: datetime | None) -> VerifiedSlice:
    """What a signature just made says, taken from the plan that made it; its bytes are not read again."""
    return said(signed.arch, parse_signature(signed.superblob), identity, signing_time)


def said(arch: str, signature: Signature, identity: Identity | None, signing_time: datetime | None) -> VerifiedSlice:
    """What a signature says that this identity has just made."""
    best = signature.best
    requirement = designated(signature.blob(Slot.REQUIREMENTS) or b"")
    xml = signature.payload(Slot.ENTITLEMENTS)
    return VerifiedSlice(
        arch=arch,
        cdhash=best.cdhash.hex(),
        cdhashes=tuple(directory.cdhash.hex() for directory in signature.directories),
        identifier=best.identifier,
        team=best.team,
        flags=best.flag_names,
        authorities=tuple(common_name(load_certificate(each)) for each in identity.chain) if identity else (),
        timestamp=_timestamp(signature),
        signing_time=signing_time if identity else None,
        entitlements=parse_entitlements(xml) if xml is not None else None,
        requirement=requirement_text(requirement) if requirement is not None else None,
        residue=False,
        not_judged=(),
    )


def _timestamp(signature: Signature) -> datetime | None:
    if not signature.cms:
        return None
    token = single_value(parse_cms(signature.cms).signer.unsigned, TIMESTAMP_TOKEN)
    return parse_token(token).time if token is not None else None
