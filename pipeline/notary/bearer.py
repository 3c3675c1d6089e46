"""The token that each call carries: a JWT signed with the team's key, made anew long before the last one ends.

https://developer.apple.com/documentation/appstoreconnectapi/generating-tokens-for-api-requests
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pipeline.errors import CredentialsError
from pipeline.host import Clock
from pipeline.notary.service import NotaryCredentials
from pipeline.redact import Redactor, Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

# Apple refuses tokens that live more than 20 minutes by its own clock. 15 from now, dated back by 30 seconds, leave
# room for a local clock that is half a minute fast, or some minutes slow.
LIFE = timedelta(minutes=15)
BACKDATED = timedelta(seconds=30)
_RENEWED_BEFORE_END = timedelta(minutes=5)


class Bearer:
    """Tokens for one team key. How long a submission is waited for has nothing to do with how long a token lives."""

    def __init__(self, credentials: NotaryCredentials, clock: Clock, redact: Redactor) -> None:
        self._credentials = credentials
        self._clock = clock
        self._redact = redact
        self._token: Secret | None = None
        self._made: datetime | None = None

    def token(self) -> Secret:
        """A token good for at least five minutes. Raises CredentialsError where the key is no P-256 private key."""
        now = self._clock.now()
        # A clock that was set back makes a token of before begin in the service's future.
        fresh = self._made is not None and self._made <= now < self._made + LIFE - _RENEWED_BEFORE_END
        if self._token is None or not fresh:
            self._token = self._redact.register(make_token(self._credentials, now))
            self._made = now
        return self._token


def make_token(credentials: NotaryCredentials, now: datetime) -> Secret:
    """One token (ES256; its signature is r and s, 64 bytes). `now` is aware."""
    import jwt  # with `cryptography` behind it: kept off the way to what only reads records

    claims = {
        "iss": credentials.issuer,
        "iat": int((now - BACKDATED).timestamp()),
        "exp": int((now + LIFE).timestamp()),
        "aud": "appstoreconnect-v1",
    }
    headers = {"kid": credentials.key_id, "typ": "JWT"}
    return Secret(jwt.encode(claims, _key(credentials), algorithm="ES256", headers=headers))


def _key(credentials: NotaryCredentials) -> EllipticCurvePrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(credentials.private_key.reveal().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise CredentialsError(
            "the notary's private key is not a PEM of a P-256 key",
            where=f"key {credentials.key_id}",
            remedy="give the .p8 file as App Store Connect handed it out (it can be downloaded only once)",
        )
    return key
