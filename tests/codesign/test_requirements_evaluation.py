"""Which signatures satisfy which requirements."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from builders.chain import (
    certificate,
    developer_id,
    key,
    root_certificate,
    subject,
)
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codesign import der
from pipeline.codesign.options import NO_ANCHORS
from pipeline.codesign.requirements import (
    SignatureFacts,
    compile_requirement,
    requirement_text,
    satisfies,
)
from pipeline.codesign.requirements.program import Instruction, Op, build_requirement, parse_requirement
from pipeline.errors import ReleaseError, VerificationError

INFO: Mapping[str, Any] = {
    "version": "1.10",
    "text": "Hello World",
    "yes": True,
    "no": False,
    "number": 3,
    "list": ["one", "two"],
    "empty": [],
    "date": datetime(2019, 4, 8),
    "blank": "",
}
POLICIES = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)])
OTHER_MAIL = x509.SubjectAlternativeName([x509.RFC822Name("john@example.com")])
MAIL = x509.SubjectAlternativeName([x509.RFC822Name("jane@example.com")])
MOMENT = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.5"), der.build(der.UTF8_STRING, b"20190408000000Z"))
CHAIN = developer_id(
    change=lambda builder: (
        builder.add_extension(POLICIES, critical=False)
        .add_extension(MAIL, critical=False)
        .add_extension(MOMENT, critical=False)
    )
)
FACTS = SignatureFacts(
    identifier="com.example.tool",
    chain=CHAIN.certificates,
    anchors=CHAIN.anchors,
    cdhash=bytes(range(20)),
    info=INFO,
    entitlements={"com.apple.security.app-sandbox": True},
    platform=1,
)
LEAF_HASH = hashlib.sha1(CHAIN.certificates[0]).hexdigest()
ROOT_HASH = hashlib.sha1(CHAIN.certificates[2]).hexdigest()

TRUE = f"""
always
identifier com.example.tool
cdhash H"{bytes(range(20)).hex()}"
platform = 1
anchor apple generic
!anchor apple
never or always
always and !never
info[version] exists
info[version] = "1.10"
info[version] > "1.9"
info[version] >= "1.10"
info[version] >= "1.010"
info[version] < "1.10.1"
info[version] <= "2"
info[version] <= "1.10"
info[text] = Hello*
info[text] = *World
info[text] = *lo*
info[text] ~ "o W"
info[yes] exists
info[number] exists
info[list] = two
info[list] exists
info[empty] exists
info[nothing] absent
info[blank] = ""
info[date] = timestamp "20190408000000Z"
info[date] < timestamp "20190408000001Z"
info[date] >= timestamp "20190408000000Z"
info[date] <= timestamp "20190408000000Z"
entitlement["com.apple.security.app-sandbox"] exists
certificate leaf = H"{LEAF_HASH}"
certificate 2 = H"{ROOT_HASH}"
anchor = H"{ROOT_HASH}"
certificate leaf[subject.OU] = ABCDE12345
certificate leaf[subject.CN] = "Developer ID Application: "*
certificate root[subject.CN] = "Test Root"
certificate -1[subject.CN] = "Test Root"
certificate 1[field.1.2.840.113635.100.6.2.6] exists
certificate leaf[extension.1.2.840.113635.100.6.1.13]
certificate leaf[field.1.2.840.113635.100.6.2.6] absent
certificate leaf[policy.1.2.3.4] exists
certificate leaf[policy.1.2.3.5] absent
certificate 1[policy.1.2.3.4] absent
certificate leaf[timestamp.1.2.3.5] = timestamp "20190408000000Z"
certificate leaf[timestamp.1.2.3.5] < timestamp "20200101000000Z"
certificate leaf[timestamp.1.2.3.6] absent
certificate 7[timestamp.1.2.3.6] absent
notarized or always
! (notarized and never)
"""
FALSE = f"""
never
identifier com.example.too
identifier COM.example.tool
cdhash H"{bytes(20).hex()}"
platform = 2
anchor apple
always and never
info[version] = "1.1"
info[version] > "1.10"
info[version] < "1.9"
info[version] < "1.10"
info[version] <= "1.9"
info[version] >= "1.11"
info[text] = World*
info[text] = *Hello
info[text] ~ "hello"
info[text] ~ ""
info[text] = ""*
info[no] exists
info[number] = "3"
info[yes] = "true"
info[yes] ~ "true"
info[list] = three
info[version] absent
info[nothing] exists
info[nothing] = ""
info[date] > timestamp "20190408000000Z"
info[date] < timestamp "20190408000000Z"
info[date] <= timestamp "20190407235959Z"
info[date] >= timestamp "20190408000001Z"
info[date] = "2019-04-08"
info[version] < timestamp "20190408000000Z"
entitlement[other] exists
certificate leaf = H"{ROOT_HASH}"
certificate 3 = H"{ROOT_HASH}"
certificate leaf[subject.OU] = OTHER
certificate leaf[subject.L] absent
certificate leaf[subject.XX] exists
certificate leaf[field.1.2.840.113635.100.6.2.6] exists
certificate 9[field.1.2.3] absent
certificate leaf[policy.1.2.3.5] exists
certificate 1[policy.1.2.3.4] exists
certificate leaf[timestamp.1.2.840.113635.100.6.1.13] exists
certificate leaf[timestamp.1.2.3.5] > timestamp "20200101000000Z"
notarized and never
"""
UNKNOWN = """
notarized
legacy
anchor trusted
certificate leaf trusted
anchor apple foo
(foo)
!notarized
notarized and always
legacy or never
"""


def _without_hashes(text: str) -> str:
    """The test's name: the certificates, and so their hashes, are others in every process."""
    return re.sub(r'H"[0-9a-f]{40}"', "H", text)


# Flags of an opcode (requirement.h): it has data of a known length, and counts as false or as what follows.
_FALSE, _SKIP = 0x80000000, 0x40000000


def _unknown(flag: int) -> Instruction:
    return Instruction(op=None, unknown=flag | 99, data=b"\0\0\0\1?")


@pytest.mark.parametrize("text", TRUE.strip().splitlines(), ids=_without_hashes)
def test_satisfied(text: str) -> None:
    """One row a rule of reqinterp.cpp."""
    assert satisfies(compile_requirement(text), FACTS)


@pytest.mark.parametrize("text", FALSE.strip().splitlines(), ids=_without_hashes)
def test_not_satisfied(text: str) -> None:
    """One row a rule of reqinterp.cpp."""
    assert not satisfies(compile_requirement(text), FACTS)


@pytest.mark.parametrize("text", UNKNOWN.strip().splitlines())
def test_what_cannot_be_known_here_is_no_answer(text: str) -> None:
    """Trust settings, Apple's fragments, tickets: an error where they decide."""
    with pytest.raises(VerificationError, match=r"cannot be known here: [a-z ]+$"):
        satisfies(compile_requirement(text), FACTS)


@pytest.mark.parametrize(
    ("program", "answer"),
    [
        ([_unknown(_FALSE)], False),
        ([Instruction(op=Op.NOT), _unknown(_FALSE)], True),
        ([_unknown(_SKIP), Instruction(op=Op.TRUE)], True),
        ([_unknown(_SKIP), Instruction(op=Op.FALSE)], False),
        ([Instruction(op=Op.AND), _unknown(_SKIP), Instruction(op=Op.TRUE), Instruction(op=Op.FALSE)], False),
    ],
)
def test_an_opcode_of_tomorrow_is_false_or_passed_over(program: list[Instruction], answer: bool) -> None:
    """Its flag says which (requirement.h: opGenericFalse, opGenericSkip); its data are no expression."""
    assert satisfies(build_requirement(program), FACTS) is answer


def test_code_without_info_plist_or_entitlements_has_no_values() -> None:
    """Whatever is asked of them is not there, which is an answer."""
    facts = replace(FACTS, info=None, entitlements=None)
    for values in ("info[version]", "entitlement[version]"):
        assert satisfies(compile_requirement(f"{values} absent"), facts)
        assert not satisfies(compile_requirement(f"{values} exists"), facts)
        assert not satisfies(compile_requirement(f'{values} = "1.10"'), facts)


def test_a_value_of_the_info_plist_in_the_oldest_form() -> None:
    """opInfoKeyValue, which today's compiler writes no more: a key and the text that it must have."""
    for text, answer in ((b"1.10", True), (b"1.1", False), (b"version", False)):
        program = (Instruction(op=Op.INFO_VALUE, data=b"version", second=text),)
        blob = build_requirement(program)
        assert parse_requirement(blob) == program
        assert satisfies(blob, FACTS) is answer


# Apple's keys for the parts of a subject (SecCertificate's certFields), with the attributes they mean.
SUBJECT = {
    "C": "2.5.4.6", "CN": "2.5.4.3", "D": "2.5.4.13", "L": "2.5.4.7", "O": "2.5.4.10", "C-O": "2.5.4.10.1",
    "OU": "2.5.4.11", "C-OU": "2.5.4.11.1", "ST": "2.5.4.8", "C-ST": "2.5.4.8.1", "STREET": "2.5.4.9",
    "C-STREET": "2.5.4.9.1", "UID": "0.9.2342.19200300.100.1.1",
}  # fmt: skip


def test_every_part_of_a_subject_has_its_key() -> None:
    """Each finds its own attribute and no other's."""
    values = {key: f"{number:02}" for number, key in enumerate(SUBJECT)}
    name = x509.Name([x509.NameAttribute(x509.ObjectIdentifier(oid), values[key]) for key, oid in SUBJECT.items()])
    leaf = certificate(name, key("leaf"), subject("Test Root"), key("root"))
    facts = replace(FACTS, chain=(leaf, root_certificate("rsa")))
    for part, value in values.items():
        blob = compile_requirement(f'certificate leaf["subject.{part}"] = "{value}"')
        assert satisfies(blob, facts), part


def test_an_email_is_any_of_the_leafs() -> None:
    """Apple's evaluator knows the key although its compiler does not."""
    blob = compile_requirement('certificate leaf[subject.O] = "jane@example.com"').replace(
        b"\0\0\0\x09subject.O\0\0\0", b"\0\0\0\x05email\0\0\0"
    )
    blob = blob[:4] + len(blob).to_bytes(4, "big") + blob[8:]
    assert requirement_text(blob) == 'certificate leaf[email] = "jane@example.com"'
    assert satisfies(blob, FACTS)
    in_subject = x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, "jane@example.com")])
    for name, change, answer in (
        (in_subject, lambda builder: builder, True),
        (in_subject, lambda builder: builder.add_extension(OTHER_MAIL, critical=False), True),
        (subject("X"), lambda builder: builder.add_extension(OTHER_MAIL, critical=False), False),
    ):
        leaf = certificate(name, key("leaf"), subject("Test Root"), key("root"), change=change)
        assert satisfies(blob, replace(FACTS, chain=(leaf, root_certificate("rsa")))) is answer


def test_whether_it_is_notarized_can_be_told() -> None:
    """By a caller who has the ticket."""
    requirement = compile_requirement("notarized")
    facts = {known: SignatureFacts(identifier="a", chain=(), anchors=NO_ANCHORS, cdhash=b"", notarized=known)
             for known in (True, False)}  # fmt: skip
    assert satisfies(requirement, facts[True])
    assert not satisfies(requirement, facts[False])


@pytest.mark.parametrize(
    ("common", "organization", "marker", "expected"),
    [
        ("Apple Code Signing Certification Authority", "Apple Inc.", "22", True),
        ("Apple Code Signing Certification Authority", "Apple", "22", False),
        ("Developer ID Certification Authority", "Apple Inc.", "22", False),
        ("Apple Code Signing Certification Authority", "Apple Inc.", "1.13", False),
    ],
)
def test_apples_own_software_is_told_by_its_markers(
    common: str, organization: str, marker: str, expected: bool
) -> None:
    """Intermediate of Apple's name, leaf with 6.22, under an anchor: `anchor apple`."""
    name, root = subject(common, organization=organization), subject("Test Root")
    intermediate = certificate(name, key(common), root, key("root"), authority=True)
    leaf = certificate(subject("Software Signing"), key("leaf"), name, key(common), markers=[marker])
    chain = (leaf, intermediate, root_certificate("rsa"))
    facts = SignatureFacts(identifier="a", chain=chain, anchors=CHAIN.anchors, cdhash=b"")
    assert satisfies(compile_requirement("anchor apple"), facts) is expected
    # Markers are anybody's to write: under another root, or where the root is missing, they say nothing.
    for elsewhere in (replace(facts, anchors=NO_ANCHORS), replace(facts, chain=chain[:2]), replace(facts, chain=())):
        assert not satisfies(compile_requirement("anchor apple"), elsewhere)


def test_an_ad_hoc_signature_has_no_certificates() -> None:
    """Every condition on one is unmet; its CDHash is what it can be known by."""
    facts = SignatureFacts(identifier="a", chain=(), anchors=CHAIN.anchors, cdhash=bytes(20))
    for text in ("anchor apple generic", "certificate leaf[subject.CN] absent", "certificate root[field.1.2] absent"):
        assert not satisfies(compile_requirement(text), facts)
    assert satisfies(compile_requirement(f'cdhash H"{bytes(20).hex()}"'), facts)


@given(st.text("0123456789.ab", max_size=8), st.text("0123456789.ab", max_size=8))
def test_numbers_in_texts_are_in_an_order(left: str, right: str) -> None:
    """Of two texts one is less, or neither; never both, and equal ones are neither."""

    def is_less(one: str, other: str) -> bool:
        facts = SignatureFacts(identifier="a", chain=(), anchors=NO_ANCHORS, cdhash=b"", info={"k": one})
        return satisfies(compile_requirement(f'info[k] < "{other}"'), facts)

    assert not (is_less(left, right) and is_less(right, left))
    assert not is_less(left, left)


@given(st.binary(max_size=100))
def test_any_requirement_is_answered_or_refused(payload: bytes) -> None:
    """The evaluator leaks no other exception."""
    blob = bytes.fromhex("fade0c00") + (12 + len(payload)).to_bytes(4, "big") + bytes([0, 0, 0, 1]) + payload
    try:
        assert satisfies(blob, FACTS) in (True, False)
    except ReleaseError:
        return
