"""Does a signature satisfy a requirement. Three answers: yes, no, and that it cannot be known here.

Not known away from a Mac are trust settings (`trusted`), Apple's named fragments, and whether the system has seen a
ticket (`notarized`, `legacy`) unless the caller knows. Where such a part decides, evaluation is an error, never a yes.

Source: `reqinterp.cpp` and `csutilities.cpp` of Security 61901.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from pipeline.codesign import der
from pipeline.codesign.certificates import Anchors, has_extension, load_certificate, subject_value
from pipeline.codesign.requirements.program import Instruction, Match, MatchOp, Op, parse_requirement
from pipeline.errors import MalformedFile, VerificationError

_EPOCH = datetime(2001, 1, 1, tzinfo=UTC)

# The subject's parts that the language knows (Apple's table of certFields).
_SUBJECT_KEYS = {
    b"subject.C": NameOID.COUNTRY_NAME,
    b"subject.CN": NameOID.COMMON_NAME,
    b"subject.D": ObjectIdentifier("2.5.4.13"),
    b"subject.L": NameOID.LOCALITY_NAME,
    b"subject.O": NameOID.ORGANIZATION_NAME,
    b"subject.C-O": ObjectIdentifier("2.5.4.10.1"),
    b"subject.OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    b"subject.C-OU": ObjectIdentifier("2.5.4.11.1"),
    b"subject.ST": NameOID.STATE_OR_PROVINCE_NAME,
    b"subject.C-ST": ObjectIdentifier("2.5.4.8.1"),
    b"subject.STREET": NameOID.STREET_ADDRESS,
    b"subject.C-STREET": ObjectIdentifier("2.5.4.9.1"),
    b"subject.UID": NameOID.USER_ID,
}

# What Apple's own software bears: `anchor apple`.
_APPLE_INTERMEDIATE = "Apple Code Signing Certification Authority"
_APPLE_ORGANIZATION = "Apple Inc."
_APPLE_SOFTWARE_LEAF = "1.2.840.113635.100.6.22"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureFacts:
    """What a requirement is judged against."""

    identifier: str
    chain: Sequence[bytes]
    """DER, leaf first, root last, verified; empty for an ad-hoc signature."""
    anchors: Anchors
    cdhash: bytes
    """20 bytes, of the best CodeDirectory."""
    info: Mapping[str, Any] | None = None
    entitlements: Mapping[str, Any] | None = None
    platform: int = 0
    notarized: bool | None = None
    """None: not known."""


def satisfies(requirement: bytes, facts: SignatureFacts) -> bool:
    """Does a signature with these facts satisfy the requirement's blob.

    Raises VerificationError where the answer hangs on what cannot be known here, MalformedFile for no requirement.
    """
    answers: list[bool | None] = []
    unknown: list[str] = []
    for instruction in reversed(parse_requirement(requirement)):
        operands = [answers.pop() for _ in range(instruction.operands)]
        answer = _combine(instruction, operands, facts)
        if answer is None and not operands:
            unknown.append(instruction.op.name.lower().replace("_", " ") if instruction.op is not None else "")
        answers.append(answer)
    if answers[0] is None:
        raise VerificationError(f"whether the requirement holds cannot be known here: {', '.join(unknown)}")
    return answers[0]


def _combine(instruction: Instruction, operands: list[bool | None], facts: SignatureFacts) -> bool | None:
    match instruction.op:
        case Op.AND:
            return False if False in operands else None if None in operands else True
        case Op.OR:
            return True if True in operands else None if None in operands else False
        case Op.NOT:
            return None if operands[0] is None else not operands[0]
        case None:
            # Of unknown opcodes that say how to pass over them, one kind counts as false, the other as its operand.
            return operands[0] if operands else False
        case _:
            return _primary(instruction, facts)


def _primary(instruction: Instruction, facts: SignatureFacts) -> bool | None:
    data = instruction.data
    match instruction.op:
        case Op.TRUE:
            return True
        case Op.FALSE:
            return False
        case Op.IDENTIFIER:
            return data == facts.identifier.encode("utf-8", "surrogateescape")
        case Op.CDHASH:
            return data == facts.cdhash
        case Op.PLATFORM:
            return instruction.number == facts.platform
        case Op.NOTARIZED:
            return facts.notarized
        case Op.INFO_VALUE:
            return _matches(Match(op=MatchOp.EQUAL, text=instruction.second), _entry(facts.info, data))
        case Op.INFO:
            return _matches(instruction.match, _entry(facts.info, data))
        case Op.ENTITLEMENT:
            return _matches(instruction.match, _entry(facts.entitlements, data))
        case Op.ANCHOR_APPLE_GENERIC:
            return bool(facts.chain) and facts.chain[-1] in facts.anchors.roots
        case Op.ANCHOR_APPLE:
            return _is_apple_software(facts)
        case Op.LEGACY | Op.ANCHOR_TRUSTED | Op.CERTIFICATE_TRUSTED | Op.ANCHOR_NAMED | Op.NAMED_CODE:
            return None
        case _:
            return _certificate(instruction, facts)


def _certificate(instruction: Instruction, facts: SignatureFacts) -> bool:
    encoded = _certificate_at(facts, instruction.number)
    data, match = instruction.data, instruction.match
    certificate = load_certificate(encoded) if encoded is not None else None
    if instruction.op is Op.CERTIFICATE_TIMESTAMP:
        return _matches(match, _extension_time(certificate, data) if certificate is not None else None)
    if encoded is None or certificate is None:
        return False
    match instruction.op:
        case Op.ANCHOR_HASH:
            return data == hashlib.sha1(encoded, usedforsecurity=False).digest()
        case Op.CERTIFICATE_FIELD:
            return _matches(match, True if has_extension(certificate, der.parse_oid(data)) else None)
        case Op.CERTIFICATE_POLICY:
            return _matches(match, True if _has_policy(certificate, der.parse_oid(data)) else None)
        case Op.CERTIFICATE_SUBJECT if data == b"email":
            return _matches(match, _emails(certificate))
        case Op.CERTIFICATE_SUBJECT:
            attribute = _SUBJECT_KEYS.get(data)
            value = subject_value(certificate, attribute) if attribute is not None else None
            # No such part: nothing is compared, not even with `absent`.
            return value is not None and _matches(match, value)
        case _:
            raise MalformedFile(f"a requirement with opcode {instruction.op}, which is not evaluated")


def _certificate_at(facts: SignatureFacts, slot: int) -> bytes | None:
    """Slots count from the leaf, negative ones from behind the root."""
    index = slot if slot >= 0 else len(facts.chain) + slot
    return facts.chain[index] if 0 <= index < len(facts.chain) else None


def _is_apple_software(facts: SignatureFacts) -> bool:
    if len(facts.chain) < 2 or facts.chain[-1] not in facts.anchors.roots:
        return False
    intermediate = load_certificate(facts.chain[-2])
    return (
        subject_value(intermediate, NameOID.COMMON_NAME) == _APPLE_INTERMEDIATE
        and subject_value(intermediate, NameOID.ORGANIZATION_NAME) == _APPLE_ORGANIZATION
        and has_extension(load_certificate(facts.chain[0]), _APPLE_SOFTWARE_LEAF)
    )


def _extension_time(certificate: x509.Certificate, oid: bytes) -> datetime | None:
    """The moment that an extension holds: a UTF8String with the text of a GeneralizedTime."""
    dotted = der.parse_oid(oid)
    for extension in certificate.extensions:
        if extension.oid.dotted_string == dotted and isinstance(extension.value, x509.UnrecognizedExtension):
            try:
                text = der.parse(extension.value.value)
                if text.tag == der.UTF8_STRING:
                    return der.parse_time(der.parse(der.build(der.GENERALIZED_TIME, text.content)))
            except MalformedFile:
                return None
    return None


def _has_policy(certificate: x509.Certificate, oid: str) -> bool:
    try:
        policies = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    except x509.ExtensionNotFound:
        return False
    return any(policy.policy_identifier.dotted_string == oid for policy in policies)


def _emails(certificate: x509.Certificate) -> list[str]:
    emails = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)]
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return emails
    return [*names.get_values_for_type(x509.RFC822Name), *emails]


def _entry(values: Mapping[str, Any] | None, key: bytes) -> Any:
    return (values or {}).get(key.decode("utf-8", "surrogateescape"))


def _matches(match: Match | None, candidate: Any) -> bool:
    """Does one value stand the comparison; None is a value that is not there. Of a list one element is enough."""
    op = match.op if match is not None else MatchOp.EXISTS
    if candidate is None:
        return op is MatchOp.ABSENT
    if isinstance(candidate, list | tuple) and any(_matches(match, each) for each in candidate):
        return True
    if match is None or op is MatchOp.EXISTS:
        return candidate is not False
    if op is MatchOp.ABSENT:
        return False
    if isinstance(candidate, datetime):
        return _matches_time(op, int(candidate.replace(tzinfo=UTC).timestamp() - _EPOCH.timestamp()), match.time)
    if isinstance(candidate, str):
        return _matches_text(op, candidate, match.text.decode("utf-8", "surrogateescape"))
    return False


def _matches_time(op: MatchOp, moment: int, wanted: int) -> bool:
    return {
        MatchOp.ON: moment == wanted,
        MatchOp.BEFORE: moment < wanted,
        MatchOp.AFTER: moment > wanted,
        MatchOp.ON_OR_BEFORE: moment <= wanted,
        MatchOp.ON_OR_AFTER: moment >= wanted,
    }.get(op, False)


def _matches_text(op: MatchOp, text: str, wanted: str) -> bool:
    match op:
        case MatchOp.EQUAL:
            return text == wanted
        # Core Foundation finds nothing where nothing is sought.
        case MatchOp.CONTAINS:
            return bool(wanted) and wanted in text
        case MatchOp.BEGINS:
            return bool(wanted) and text.startswith(wanted)
        case MatchOp.ENDS:
            return bool(wanted) and text.endswith(wanted)
        case MatchOp.LESS:
            return _compare(text, wanted) < 0
        case MatchOp.GREATER:
            return _compare(text, wanted) > 0
        case MatchOp.LESS_EQUAL:
            return _compare(text, wanted) <= 0
        case MatchOp.GREATER_EQUAL:
            return _compare(text, wanted) >= 0
        case _:
            return False


def _compare(text: str, other: str) -> int:
    """Texts in order, runs of digits as the numbers they are (kCFCompareNumerically): 10.9 comes before 10.10."""
    for ours, theirs in zip_longest(*(re.findall(r"[0-9]+|[^0-9]", each) for each in (text, other))):
        if ours is None or theirs is None:
            return -1 if ours is None else 1
        if ours[0] in _DIGITS and theirs[0] in _DIGITS:
            # Compared without leading zeros, longer is larger; no text is turned into a number of its length.
            left, right = ours.lstrip("0"), theirs.lstrip("0")
            if left != right:
                return -1 if (len(left), left) < (len(right), right) else 1
        elif ours[0] != theirs[0]:
            return -1 if ours[0] < theirs[0] else 1
    return 0


_DIGITS = "0123456789"
