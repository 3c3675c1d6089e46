"""The designated requirement that codesign gives where it is given none.

Source: `drmaker.cpp` of Security 61901; compared with the requirement of Developer ID signatures that codesign made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cryptography.x509.oid import NameOID, ObjectIdentifier

from pipeline.codesign import der
from pipeline.codesign.certificates import (
    DEVELOPER_ID_INTERMEDIATE,
    DEVELOPER_ID_LEAF,
    WWDR_INTERMEDIATE,
    Anchors,
    common_name,
    has_extension,
    load_certificate,
    subject_value,
)
from pipeline.codesign.requirements.program import (
    Instruction,
    Match,
    MatchOp,
    Op,
    RequirementType,
    build_requirement,
    build_requirement_set,
)
from pipeline.errors import SigningError

_LEAF, _INTERMEDIATE, _ROOT = 0, 1, -1
_EXISTS = Match(op=MatchOp.EXISTS)
_AND = Instruction(op=Op.AND)
_GENERIC = Instruction(op=Op.ANCHOR_APPLE_GENERIC)


def default_requirements(identifier: str, chain: Sequence[bytes], anchors: Anchors) -> bytes:
    """The set blob that codesign writes when no requirements are given.

    `chain` is DER, leaf first, root last; empty for an ad-hoc signature, which gets an empty set. Raises SigningError
    where the leaf lacks the name that its kind of requirement is made of.
    """
    if not chain:
        return build_requirement_set({})
    program = (_AND, Instruction(op=Op.IDENTIFIER, data=identifier.encode()), *_authority(chain, anchors))
    return build_requirement_set({RequirementType.DESIGNATED: build_requirement(program)})


def _authority(chain: Sequence[bytes], anchors: Anchors) -> tuple[Instruction, ...]:
    if chain[-1] not in anchors.roots:
        return _nearest_of_same_organization(chain)
    intermediate = load_certificate(chain[1]) if len(chain) == 3 else None
    if intermediate and has_extension(intermediate, WWDR_INTERMEDIATE):
        return (
            *(_AND, _GENERIC),
            *(_AND, _subject("subject.CN", chain[0], NameOID.COMMON_NAME)),
            _field(_INTERMEDIATE, WWDR_INTERMEDIATE),
        )
    if intermediate and has_extension(intermediate, DEVELOPER_ID_INTERMEDIATE):
        return (
            *(_AND, _GENERIC),
            *(_AND, _field(_INTERMEDIATE, DEVELOPER_ID_INTERMEDIATE)),
            *(_AND, _field(_LEAF, DEVELOPER_ID_LEAF)),
            _subject("subject.OU", chain[0], NameOID.ORGANIZATIONAL_UNIT_NAME),
        )
    return (Instruction(op=Op.ANCHOR_APPLE),)


def _nearest_of_same_organization(chain: Sequence[bytes]) -> tuple[Instruction, ...]:
    """Somebody else's authority: nail the last certificate up the chain that is of the leaf's own organization."""
    organizations = [subject_value(load_certificate(each), NameOID.ORGANIZATION_NAME) for each in chain]
    slot = 0
    if organizations[0] is not None:
        while slot + 1 < len(chain) and organizations[slot + 1] == organizations[0]:
            slot += 1
        if slot == len(chain) - 1:
            slot = _ROOT
    digest = hashlib.sha1(chain[slot], usedforsecurity=False).digest()
    return (Instruction(op=Op.ANCHOR_HASH, number=slot, data=digest),)


def _field(slot: int, oid: str) -> Instruction:
    return Instruction(op=Op.CERTIFICATE_FIELD, number=slot, data=der.build_oid(oid), match=_EXISTS)


def _subject(key: str, leaf: bytes, attribute: ObjectIdentifier) -> Instruction:
    certificate = load_certificate(leaf)
    value = subject_value(certificate, attribute)
    if value is None:
        raise SigningError(f"certificate {common_name(certificate)!r} has no {key}, which its requirement is made of")
    match = Match(op=MatchOp.EQUAL, text=value.encode())
    return Instruction(op=Op.CERTIFICATE_SUBJECT, number=_LEAF, data=key.encode(), match=match)
