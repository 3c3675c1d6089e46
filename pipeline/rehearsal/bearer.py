"""Is this bearer token one that App Store Connect would take? Judged without the library that makes our tokens.

https://developer.apple.com/documentation/appstoreconnectapi/generating-tokens-for-api-requests
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from pipeline.rehearsal.keys import ApiKey

_AUDIENCE = "appstoreconnect-v1"
_LONGEST_LIFE = 20 * 60  # seconds, both from iat and from now: a fast client clock makes a 20-minute token too long


def is_authenticated(authorization: str | None, key: ApiKey, method: str, path: str, now: datetime) -> bool:
    """True for `Bearer <token>` signed by `key` (ES256), about this request, valid at `now`."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme != "Bearer" or token.count(".") != 2:
        return False
    head, claims, signature = token.split(".")
    try:
        fields, said = _json(head), _json(claims)
        raw = _decode(signature)
    except (ValueError, binascii.Error, RecursionError):
        return False
    return (
        fields.get("alg") == "ES256"
        and fields.get("kid") == key.key_id
        and fields.get("typ") == "JWT"
        and _is_signed(f"{head}.{claims}".encode(), raw, key.public_key())
        and said.get("iss") == key.issuer
        and said.get("aud") == _AUDIENCE
        and _is_in_time(said, now.timestamp())
        and _is_in_scope(said.get("scope"), method, path)
    )


def _decode(part: str) -> bytes:
    if "=" in part:
        raise ValueError("base64url of a token has no padding")
    return base64.b64decode(part.encode() + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _json(part: str) -> dict[str, Any]:
    value = json.loads(_decode(part))
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _is_signed(data: bytes, raw: bytes, key: ec.EllipticCurvePublicKey) -> bool:
    """JWS holds r and s as 32 bytes each, not DER."""
    if len(raw) != 64:
        return False
    signature = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    try:
        key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _is_in_time(claims: dict[str, Any], now: float) -> bool:
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int) or not isinstance(expires, int):
        return False
    return issued <= now < expires <= min(issued, now) + _LONGEST_LIFE


def _is_in_scope(scope: Any, method: str, path: str) -> bool:
    """`scope` may be absent; else it lists `METHOD /path` or `/path`, each for what lies below it too."""
    if scope is None:
        return True
    if not isinstance(scope, list):
        return False
    for entry in scope:
        words = str(entry).split(" ")
        allowed = words[-1].partition("?")[0].rstrip("/")
        if words[0] in (method, words[-1]) and (path == allowed or path.startswith(allowed + "/")):
            return True
    return False
