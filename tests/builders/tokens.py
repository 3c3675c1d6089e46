"""Time-stamp tokens made with asn1crypto, good ones and ones with a defect named by an argument."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from asn1crypto import algos, cms, core, tsp, x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from builders.chain import SIGNED_AT, Chain


def token(
    chain: Chain,
    message: bytes,
    *,
    time: datetime = SIGNED_AT,
    nonce: int | None = 7,
    digest: str = "sha256",
    signer_digest: str = "sha1",
    names: Chain | None = None,
    certificates: tuple[bytes, ...] | None = None,
    pins: bytes | None = None,
    pinned: bool = True,
    unsigned: bool = False,
) -> bytes:
    """A token like Apple's over `message`, by the leaf of `chain`.

    `names`: the chain whose leaf the token names as its signer; `certificates`: what it carries; `pins`: the
    certificate that the signing-certificate attribute is about, b"" for no attribute; not `pinned`: it is about none;
    `unsigned`: with an unsigned attribute.
    """
    named = x509.Certificate.load((names or chain).certificates[0])
    content = _info(message, time, nonce, digest)
    attributes: list[dict[str, Any]] = [
        {"type": "content_type", "values": ["tst_info"]},
        {"type": "message_digest", "values": [hashlib.new(signer_digest, content).digest()]},
    ]
    if pins != b"":
        digests = [hashlib.sha1(pins or (names or chain).certificates[0]).digest()] if pinned else []
        certs = [{"cert_hash": each} for each in digests]
        attributes.append({"type": "signing_certificate", "values": [{"certs": certs}]})
    signed = cms.CMSAttributes(attributes)
    signer: dict[str, Any] = {
        "version": "v1",
        "sid": {
            "issuer_and_serial_number": {"issuer": named.issuer, "serial_number": named.serial_number},
        },
        "digest_algorithm": _digest_algorithm(signer_digest),
        "signed_attrs": signed,
        "signature_algorithm": {"algorithm": "rsassa_pkcs1v15", "parameters": core.Null()},
        "signature": _sign(chain, signed.dump(), signer_digest),
    }
    if unsigned:
        signer["unsigned_attrs"] = [{"type": "signature_time_stamp_token", "values": []}]
    data = {
        "version": "v3",
        "digest_algorithms": [_digest_algorithm(signer_digest)],
        "encap_content_info": {"content_type": "tst_info", "content": core.ParsableOctetString(content)},
        "certificates": [x509.Certificate.load(each) for each in certificates or chain.certificates],
        "signer_infos": [signer],
    }
    return bytes(cms.ContentInfo({"content_type": "signed_data", "content": data}).dump())


def _info(message: bytes, time: datetime, nonce: int | None, digest: str) -> bytes:
    """TSTInfo: what the token says, before it is signed."""
    info: dict[str, Any] = {
        "version": "v1",
        "policy": "1.2.3.4.5.6",
        "message_imprint": {
            "hash_algorithm": _digest_algorithm(digest),
            "hashed_message": hashlib.new(digest, message).digest(),
        },
        "serial_number": 0x0B5301573D839BD4,
        "gen_time": time,
        "accuracy": {"seconds": 1},
    }
    if nonce is not None:
        info["nonce"] = nonce
    return bytes(tsp.TSTInfo(info).dump())


def _digest_algorithm(name: str) -> algos.DigestAlgorithm:
    return algos.DigestAlgorithm({"algorithm": name, "parameters": core.Null()})


def _sign(chain: Chain, data: bytes, digest: str) -> bytes:
    assert isinstance(chain.key, rsa.RSAPrivateKey)
    algorithm = hashes.SHA1() if digest == "sha1" else hashes.SHA256()
    return chain.key.sign(data, padding.PKCS1v15(), algorithm)
