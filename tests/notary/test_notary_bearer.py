"""The token, read back by code that did not make it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from fakes.clock import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import CredentialsError
from pipeline.notary import NotaryCredentials
from pipeline.notary.bearer import Bearer, make_token
from pipeline.redact import Redactor, Secret

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = datetime(2026, 11, 21, 6, 15, tzinfo=UTC)


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    """As App Store Connect hands keys out: PKCS#8, not encrypted."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def credentials(text: str | None = None) -> NotaryCredentials:
    private_key = Secret(pem(KEY) if text is None else text)
    return NotaryCredentials(
        issuer="69a6de70-03db-47e3-e053-5b8c7c11a4d1", key_id="2X9R4HXF34", private_key=private_key
    )


def decoded(token: Secret) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """Header, claims, signature, and what is signed; by RFC 7515 alone."""
    parts = token.reveal().split(".")
    header, claims, signature = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts)
    return json.loads(header), json.loads(claims), signature, ".".join(parts[:2]).encode()


def test_header_and_claims_are_what_apple_asks_for() -> None:
    """The token has Apple's header and claims, and no scope."""
    header, claims, _, _ = decoded(make_token(credentials(), NOW))
    assert header == {"alg": "ES256", "kid": "2X9R4HXF34", "typ": "JWT"}
    assert claims == {
        "iss": "69a6de70-03db-47e3-e053-5b8c7c11a4d1",
        "iat": int(NOW.timestamp()) - 30,
        "exp": int(NOW.timestamp()) + 900,
        "aud": "appstoreconnect-v1",
    }


def test_the_signature_is_r_and_s_and_verifies() -> None:
    """The signature is 64 raw bytes that verify with the public key."""
    _, _, signature, signed = decoded(make_token(credentials(), NOW))
    assert len(signature) == 64
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    KEY.public_key().verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))


@given(st.integers(-4 * 60, 30))
def test_a_clock_that_is_somewhat_off_does_no_harm(ahead: int) -> None:
    """For a clock 30 seconds fast or minutes slow, Apple sees a token that has begun and lives under 20 minutes."""
    apple = NOW.timestamp()
    _, claims, _, _ = decoded(make_token(credentials(), NOW + timedelta(seconds=ahead)))
    assert claims["iat"] <= apple
    assert apple < claims["exp"] <= apple + 20 * 60


def test_a_token_is_renewed_by_its_own_life() -> None:
    """At any moment of an hour the token lives for five more minutes at least, and few are made."""
    clock = FakeClock()
    bearer = Bearer(credentials(), clock, Redactor())
    seen = set()
    for _ in range(240):
        token = bearer.token()
        seen.add(token)
        assert decoded(token)[1]["exp"] - clock.now().timestamp() >= 5 * 60
        clock.sleep(timedelta(seconds=15))
    assert 4 <= len(seen) <= 7


def test_a_clock_that_is_set_back_makes_a_new_token() -> None:
    """A token that was made by a fast clock has not begun for Apple: the next one is made by the right one."""
    clock = FakeClock()
    bearer = Bearer(credentials(), clock, Redactor())
    bearer.token()
    clock.set(timedelta(minutes=-20))
    assert decoded(bearer.token())[1]["iat"] <= clock.now().timestamp()


def test_a_token_is_redacted_wherever_it_is_printed() -> None:
    """The token itself is a secret from the moment that it is made."""
    redact = Redactor()
    token = Bearer(credentials(), FakeClock(), redact).token()
    assert token.reveal() not in redact(f"Authorization: Bearer {token.reveal()}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not a key",
        pem(KEY)[:100],
        pem(rsa.generate_private_key(65537, 2048)),
        pem(ec.generate_private_key(ec.SECP384R1())),
        KEY.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    ],
    ids=["empty", "text", "cut", "rsa", "p384", "public"],
)
def test_what_is_no_p256_key_is_refused_without_being_quoted(text: str) -> None:
    """A wrong key is CredentialsError, and not one line of it is in the message."""
    with pytest.raises(CredentialsError) as refused:
        make_token(credentials(text), NOW)
    assert all(line not in str(refused.value) for line in text.splitlines() if line)
