"""DSSE envelopes around a statement: signed with a key that the user names, verified with its public half.

https://github.com/secure-systems-lab/dsse; the envelope and its signatures are securesystemslib's, which in-toto's and
TUF's tools use. An RSA key signs RSASSA-PSS with SHA-256, a curve's key ECDSA, an Ed25519 key EdDSA.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
    pkcs12,
)
from securesystemslib.exceptions import Error, FormatError

from pipeline.errors import CredentialsError, MalformedFile, VerificationError
from pipeline.redact import Secret

if TYPE_CHECKING:
    # Imported where it is used: it brings a cloud service's whole client along where one is installed, half a second.
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner, Key

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_LARGEST = 1024 * 1024

_PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A private key that shows nothing but its id."""

    key_id: str
    """SHA-256 over the public key in the form that securesystemslib gives it."""
    public_key: bytes
    """In PEM."""
    inner: CryptoSigner

    def __repr__(self) -> str:
        return f"Signer({self.key_id})"

    def envelope(self, payload: bytes) -> bytes:
        """A DSSE envelope around a statement, as one line of JSON: a bundle of one (`.intoto.jsonl`)."""
        from securesystemslib.dsse import Envelope

        made = Envelope(payload, PAYLOAD_TYPE, {})
        made.sign(self.inner)
        return json.dumps(made.to_dict(), sort_keys=True, separators=(",", ":")).encode() + b"\n"


def load_signer(data: bytes, password: Secret | None = None) -> Signer:
    """From PEM (PKCS #8, or of OpenSSL's own kinds) or a .p12. Ed25519, elliptic curves, RSA.

    Raises CredentialsError for a wrong password, or where there is no private key; MalformedFile for other kinds.
    """
    from securesystemslib.signer import CryptoSigner

    secret = password.reveal_bytes() if password is not None else None
    key: object
    try:
        if b"-----BEGIN " in data:
            key = load_pem_private_key(data, secret if b"ENCRYPTED" in data else None)
        else:
            key = pkcs12.load_key_and_certificates(data, secret)[0]
    except UnsupportedAlgorithm as error:
        raise MalformedFile(f"a private key of a kind that is not known here: {error}") from error
    except (ValueError, TypeError) as error:
        raise CredentialsError(
            "the private key cannot be opened", remedy="a PEM file or a .p12, and the password it was encrypted with"
        ) from error
    if not isinstance(key, _PrivateKey):
        raise CredentialsError("no private key of Ed25519, an elliptic curve or RSA")
    try:
        inner = CryptoSigner(key)
    except (ValueError, Error) as error:
        raise CredentialsError(f"a private key that provenance cannot be signed with: {error}") from error
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return Signer(key_id=str(inner.public_key.keyid), public_key=public, inner=inner)


def verify_envelope(data: bytes, payload: bytes, public_key: bytes | None, key_id: str, where: str) -> bool:
    """Does the envelope hold exactly this statement, signed by this key? False where no public key is at hand.

    `public_key`: PEM of a public key or a certificate. Raises VerificationError for anything that does not hold.
    """
    envelope = _parse(data, where)
    if envelope.payload != payload or envelope.payload_type != PAYLOAD_TYPE:
        raise VerificationError("holds another statement than the one beside it", where=where)
    if set(envelope.signatures) != {key_id}:
        raise VerificationError(f"is not signed by the key {key_id} that the manifest names", where=where)
    if public_key is None:
        return False
    key = _load_key(public_key)
    if key.keyid != key_id:
        raise VerificationError(f"is signed by the key {key_id}, and not by the one given ({key.keyid})", where=where)
    try:
        envelope.verify([key], 1)
    except (Error, ValueError) as error:
        raise VerificationError("its signature does not hold", where=where) from error
    return True


def _parse(data: bytes, where: str) -> Envelope:
    """An envelope in the one form that it is written in: no byte of the file is outside of what is judged."""
    from securesystemslib.dsse import Envelope

    try:
        document: dict[str, Any] = json.loads(data)
        envelope = Envelope.from_dict(json.loads(data))
        if json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n" != data:
            raise VerificationError("is not written as an envelope is", where=where)
        if document != envelope.to_dict():
            raise VerificationError("holds more than an envelope", where=where)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, FormatError) as error:
        raise VerificationError(f"is not a DSSE envelope ({type(error).__name__})", where=where) from error
    return envelope


def _load_key(data: bytes) -> Key:
    from securesystemslib.signer import SSlibKey

    if len(data) > _LARGEST:
        raise MalformedFile("too large for a public key")
    key: object
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            key = x509.load_pem_x509_certificate(data).public_key()
        else:
            key = load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MalformedFile("neither a public key nor a certificate in PEM") from error
    if not isinstance(key, _PublicKey):
        raise MalformedFile("a public key that is neither Ed25519 nor of an elliptic curve nor RSA")
    return SSlibKey.from_crypto(key)
