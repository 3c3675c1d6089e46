"""From a .p12 file or PEM texts to an identity that can sign: the leaf that fits the key, its chain, the key.

Here: what is wrong told apart (password, file, missing key, missing leaf, broken chain), and how long the certificates
will still do. Not here: where the bytes and the password come from. A private key stays inside the identity's `sign`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from asn1crypto import core
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key, pkcs12

from pipeline.codesign.certificates import common_name, is_root, load_certificate, order_chain
from pipeline.codesign.cms import Identity
from pipeline.errors import CredentialsError, MalformedFile
from pipeline.identity.apple import APPLE_INTERMEDIATES, APPLE_ROOTS
from pipeline.redact import Secret

# A .p12 with a key and a chain has about 5 KB.
LARGEST = 1024 * 1024
WARN_BEFORE = timedelta(days=60)

_PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_CARRIED = (*APPLE_INTERMEDIATES, *APPLE_ROOTS)


def is_closed(data: bytes) -> bool:
    """Does a file of keys want a password? A .p12 always does, PEM texts where the key in them is encrypted."""
    return b"-----BEGIN " not in data or b"ENCRYPTED" in data


def load_identity(data: bytes, password: Secret | None = None, *, carried: Collection[bytes] = _CARRIED) -> Identity:
    """An identity of one file, whichever kind it is: a .p12, or PEM texts of certificates and key together."""
    if b"-----BEGIN " in data:
        return load_pem(data, data, password, carried=carried)
    return load_p12(data, password, carried=carried)


def load_p12(data: bytes, password: Secret | None = None, *, carried: Collection[bytes] = _CARRIED) -> Identity:
    """An identity of a PKCS#12 file; `carried` are certificates (DER) that may complete its chain.

    Raises CredentialsError for a wrong password, a file without a key or without the key's certificate, a chain that
    cannot be completed; MalformedFile for what is no PKCS#12 file.
    """
    _check_size(data)
    _check_is_p12(data)
    secret = password.reveal_bytes() if password is not None else None
    try:
        key, leaf, others = pkcs12.load_key_and_certificates(data, secret)
    except UnsupportedAlgorithm as error:
        raise MalformedFile(f"this .p12 file uses an algorithm that is not known here: {error}") from error
    except (ValueError, TypeError) as error:
        raise CredentialsError(
            "the .p12 file cannot be opened with this password"
            if password is not None
            else "the .p12 file asks for a password, and none was given",
            remedy="give the password the file was exported with; if it is right, the file is damaged: export it again",
        ) from error
    if key is None:
        raise CredentialsError(
            "the .p12 file holds no private key",
            remedy="export certificate and key together: in Keychain Access choose the key below the certificate",
        )
    certificates = [each.public_bytes(Encoding.DER) for each in (leaf, *others) if each is not None]
    return _identity(key, certificates, carried)


def load_pem(
    certificates: bytes, key: bytes, password: Secret | None = None, *, carried: Collection[bytes] = _CARRIED
) -> Identity:
    """An identity of PEM texts: certificates in any order, and a key (PKCS#8, or of OpenSSL's own kinds).

    Raises CredentialsError for a wrong or missing password and as `load_p12` does; MalformedFile for no PEM.
    """
    _check_size(certificates)
    _check_size(key)
    if b"-----BEGIN CERTIFICATE-----" not in certificates:
        raise MalformedFile("no certificate in the PEM text")
    try:
        loaded = x509.load_pem_x509_certificates(certificates)
    except ValueError as error:
        raise MalformedFile(f"a certificate in the PEM text cannot be read: {error}") from error
    if b"PRIVATE KEY-----" not in key:
        raise CredentialsError("the PEM text holds no private key", remedy="give the file with the private key too")
    return _identity(_load_pem_key(key, password), [each.public_bytes(Encoding.DER) for each in loaded], carried)


def validity_warnings(chain: Sequence[bytes], now: datetime) -> tuple[str, ...]:
    """What will soon keep this chain (DER, leaf first) from signing, in words.

    Raises CredentialsError where a certificate is not valid now: nobody would take a signature made with it.
    """
    warnings = []
    for data in chain:
        certificate = load_certificate(data)
        name, end = common_name(certificate), certificate.not_valid_after_utc
        if end < now:
            raise CredentialsError(
                f"certificate {name!r} expired on {end:%Y-%m-%d}",
                remedy="renew it at developer.apple.com; what was signed with a time stamp before stays valid",
            )
        if now < certificate.not_valid_before_utc:
            start = certificate.not_valid_before_utc
            raise CredentialsError(
                f"certificate {name!r} is not valid before {start:%Y-%m-%d %H:%M} UTC",
                remedy="check this machine's clock",
            )
        if end - now < WARN_BEFORE:
            warnings.append(f"certificate {name!r} expires on {end:%Y-%m-%d}, in {(end - now).days} days")
    return tuple(warnings)


def _check_size(data: bytes) -> None:
    if len(data) > LARGEST:
        raise MalformedFile(f"an identity of {len(data)} bytes; the most that is read is {LARGEST}")


def _check_is_p12(data: bytes) -> None:
    """PFX is a SEQUENCE that begins with version 3: only then can a failure be one of the password."""
    try:
        version = core.Integer.load(core.Sequence.load(data, strict=True)[0].dump()).native
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise MalformedFile("not a .p12 (PKCS#12) file, or it is cut off") from error
    if version != 3:
        raise MalformedFile("not a .p12 (PKCS#12) file")


def _load_pem_key(key: bytes, password: Secret | None) -> object:
    secret = password.reveal_bytes() if password is not None else None
    encrypted = b"ENCRYPTED" in key
    if encrypted and secret is None:
        raise CredentialsError("the private key is encrypted, and no password was given", remedy="give its password")
    try:
        return load_pem_private_key(key, secret if encrypted else None)
    except UnsupportedAlgorithm as error:
        raise MalformedFile(f"a private key of a kind that is not known here: {error}") from error
    except (ValueError, TypeError) as error:
        if encrypted:
            raise CredentialsError(
                "the private key cannot be opened with this password",
                remedy="give the password it was encrypted with; if it is right, the file is damaged",
            ) from error
        raise MalformedFile("the private key in the PEM text cannot be read") from error


def _identity(key: object, certificates: Sequence[bytes], carried: Collection[bytes]) -> Identity:
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise CredentialsError("the private key is neither RSA nor elliptic curve", remedy="Apple issues no others")
    own = _public_bytes(key.public_key())
    leaves = [data for data in certificates if _public_bytes(load_certificate(data).public_key()) == own]
    if not leaves:
        raise CredentialsError("none of the certificates belongs to the private key", remedy="give both of one export")
    # A renewed certificate can have the key of the old one: the one that lasts longest is meant.
    leaf = max(leaves, key=lambda data: load_certificate(data).not_valid_after_utc)
    chain = order_chain(leaf, [*(data for data in certificates if data != leaf), *carried])
    last = load_certificate(chain[-1])
    if not is_root(last):
        raise CredentialsError(
            f"the chain ends at {common_name(last)!r}: its issuer {last.issuer.rfc4514_string()} is not known",
            remedy="add the issuer's certificate to the file (Apple's: www.apple.com/certificateauthority)",
        )
    return Identity(chain=chain, sign=_signer(key))


def _signer(key: _PrivateKey) -> Callable[[bytes], bytes]:
    if isinstance(key, rsa.RSAPrivateKey):
        return lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return lambda data: key.sign(data, ec.ECDSA(hashes.SHA256()))


def _public_bytes(key: object) -> bytes:
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return b""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
