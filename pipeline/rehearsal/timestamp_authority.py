"""A time-stamp authority (RFC 3161) whose tokens have the shape of Apple's.

Read off tokens of 2020 to 2026: version 3, digest and signature digest SHA-1, policy 1.2.3.4.5.6, accuracy one
second, an eight-byte serial number, the nonce of the request, signer + authority + root as certificates, and the
signed attributes contentType, signingTime, messageDigest and signingCertificate (the old one, with SHA-1).
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, ClassVar

from asn1crypto import algos, cms, core, tsp, x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from pipeline.host import Entropy
from pipeline.rehearsal.chains import KeyedChain
from pipeline.rehearsal.levers import Answer, Endpoint, TimestampFault
from pipeline.rehearsal.server import Now, Request

PATH = "/ts01"
POLICY = "1.2.3.4.5.6"
_LENGTHS = {"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}


class _Response(core.Sequence):  # type: ignore[misc]
    """TimeStampResp; that of asn1crypto cannot be without a token, as a rejection is."""

    _fields: ClassVar = [("status", tsp.PKIStatusInfo), ("time_stamp_token", cms.ContentInfo, {"optional": True})]


class TimestampAuthority:
    def __init__(self, signer: KeyedChain, now: Now, entropy: Entropy) -> None:
        self._signer = signer
        self._now = now
        self._entropy = entropy

    def endpoint(self, method: str, path: str, query: str) -> Endpoint | None:
        return Endpoint.TIMESTAMP if (method, path) == ("POST", PATH) else None

    def answer(self, request: Request) -> Answer:
        if self.endpoint(request.method, request.path, request.query) is None:
            return Answer(status=404)
        if request.headers.get("content-type") != "application/timestamp-query":
            return Answer(status=400)
        body = self._reply(request.body.document(), request.fault).dump()
        return Answer(status=200, headers={"Content-Type": "application/timestamp-reply"}, body=body)

    def _reply(self, query: bytes, fault: TimestampFault | None) -> _Response:
        try:
            asked = tsp.TimeStampReq.load(query, strict=True)
            asked.native  # noqa: B018  # asn1crypto parses the inside only when it is asked for
        except (ValueError, TypeError):
            return _rejection("bad_data_format")
        imprint = asked["message_imprint"]
        algorithm = imprint["hash_algorithm"]["algorithm"].native
        if asked["version"].native != "v1":
            return _rejection("bad_request")
        if algorithm not in _LENGTHS:
            return _rejection("bad_alg")
        if len(imprint["hashed_message"].native) != _LENGTHS[algorithm]:
            return _rejection("bad_data_format")
        if asked["req_policy"].native not in (None, POLICY):
            return _rejection("unaccepted_policy")
        if fault is TimestampFault.REJECTED:
            return _rejection("system_failure")
        token = self._token(asked, fault)
        return _Response({"status": {"status": "granted"}, "time_stamp_token": token})

    def _token(self, asked: tsp.TimeStampReq, fault: TimestampFault | None) -> cms.ContentInfo:
        now = self._now().replace(microsecond=0)
        imprint = {
            "hash_algorithm": asked["message_imprint"]["hash_algorithm"],
            "hashed_message": asked["message_imprint"]["hashed_message"].native,
        }
        if fault is TimestampFault.OTHER_IMPRINT:
            imprint["hashed_message"] = bytes(len(imprint["hashed_message"]))
        info: dict[str, Any] = {
            "version": "v1",
            "policy": POLICY,
            "message_imprint": imprint,
            "serial_number": int.from_bytes(self._entropy.bytes(8)) >> 1,
            "gen_time": now,
            "accuracy": {"seconds": 1},
        }
        nonce = asked["nonce"].native
        if nonce is not None and fault is not TimestampFault.NO_NONCE:
            info["nonce"] = nonce ^ 1 if fault is TimestampFault.OTHER_NONCE else nonce
        content = tsp.TSTInfo(info).dump()
        certificates = [x509.Certificate.load(der) for der in self._signer.chain]
        attributes = _signed_attributes(content, now, self._signer.chain[0])
        signature = self._sign(attributes.dump())
        if fault is TimestampFault.OTHER_SIGNER:
            signature = bytes([signature[0] ^ 1]) + signature[1:]
        sha1 = algos.DigestAlgorithm({"algorithm": "sha1", "parameters": core.Null()})
        issuer = {"issuer": certificates[0].issuer, "serial_number": certificates[0].serial_number}
        signed = {
            "version": "v3",
            "digest_algorithms": [sha1],
            "encap_content_info": {"content_type": "tst_info", "content": core.ParsableOctetString(content)},
            "signer_infos": [
                {
                    "version": "v1",
                    "sid": {"issuer_and_serial_number": issuer},
                    "digest_algorithm": sha1,
                    "signed_attrs": attributes,
                    "signature_algorithm": {"algorithm": "rsassa_pkcs1v15", "parameters": core.Null()},
                    "signature": signature,
                }
            ],
        }
        if asked["cert_req"].native:
            signed["certificates"] = certificates
        return cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(signed)})

    def _sign(self, data: bytes) -> bytes:
        assert isinstance(self._signer.key, rsa.RSAPrivateKey)
        return self._signer.key.sign(data, padding.PKCS1v15(), hashes.SHA1())  # as Apple's tokens


def _signed_attributes(content: bytes, now: datetime, leaf: bytes) -> cms.CMSAttributes:
    certificate = {"cert_hash": hashlib.sha1(leaf, usedforsecurity=False).digest()}
    return cms.CMSAttributes(
        [
            {"type": "content_type", "values": ["tst_info"]},
            {"type": "signing_time", "values": [cms.Time({"utc_time": now})]},
            {"type": "message_digest", "values": [hashlib.sha1(content, usedforsecurity=False).digest()]},
            {"type": "signing_certificate", "values": [{"certs": [certificate]}]},
        ]
    )


def _rejection(reason: str) -> _Response:
    return _Response({"status": {"status": "rejection", "fail_info": {reason}}})
