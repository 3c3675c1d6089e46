"""The time-stamp authority: tokens that OpenSSL verifies, in the shape of Apple's, and its ways to fail."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests
from asn1crypto import algos, cms, core, tsp
from builders.clients import need
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pipeline.errors import ServiceUnavailable, SigningError
from pipeline.host import Host
from pipeline.rehearsal import Endpoint, Rehearsal, TimestampFault
from pipeline.rehearsal.answers import TIMESTAMP_EMPTY_400, TIMESTAMP_UNAVAILABLE
from pipeline.timestamps import RetryPolicy, TimestampClient

SIGNED = b"the bytes of a signature"
IMPRINT = hashlib.sha256(SIGNED).digest()


class Response(core.Sequence):  # type: ignore[misc]
    """TimeStampResp (RFC 3161, 2.4.2); that of asn1crypto cannot be without a token."""

    _fields: ClassVar = [("status", tsp.PKIStatusInfo), ("time_stamp_token", cms.ContentInfo, {"optional": True})]


def query(**changes: Any) -> bytes:
    """A request as Apple's own client makes it, in part changed; None leaves a part out."""
    parts = {
        "version": "v1",
        "message_imprint": {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": IMPRINT},
        "req_policy": "1.2.3.4.5.6",
        "nonce": 0x1234567890ABCDEF,
        "cert_req": True,
    } | changes
    kept = {name: value for name, value in parts.items() if value is not None}
    return bytes(tsp.TimeStampReq(kept).dump())


def ask(rehearsal: Rehearsal, body: bytes) -> Response:
    assert rehearsal.services.timestamp_url is not None
    headers = {"Content-Type": "application/timestamp-query"}
    answer = requests.post(rehearsal.services.timestamp_url, data=body, headers=headers, timeout=60)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/timestamp-reply"
    response: Response = Response.load(answer.content, strict=True)
    return response


def token_of(response: Response) -> cms.SignedData:
    assert response["status"]["status"].native == "granted"
    return response["time_stamp_token"]["content"]


def info_of(signed: cms.SignedData) -> tsp.TSTInfo:
    return signed["encap_content_info"]["content"].parsed


def shape(signed: cms.SignedData) -> dict[str, Any]:
    """All that tokens of one authority have in common."""
    (signer,) = signed["signer_infos"]
    info = info_of(signed)
    usages = [one.chosen.extended_key_usage_value for one in signed["certificates"]]
    return {
        "version": signed["version"].native,
        "digests": [one["algorithm"].native for one in signed["digest_algorithms"]],
        "content": signed["encap_content_info"]["content_type"].native,
        "certificates": len(signed["certificates"]),
        "signer": signer["version"].native,
        "digest": signer["digest_algorithm"]["algorithm"].native,
        "signature": signer["signature_algorithm"]["algorithm"].native,
        "length": len(signer["signature"].native),
        "attributes": [one["type"].native for one in signer["signed_attrs"]],
        "policy": info["policy"].native,
        "accuracy": info["accuracy"].native,
        "ordering": info["ordering"].native,
        "tsa": info["tsa"].native,
        "extensions": info["extensions"].native,
        "usage": [usage.native for usage in usages if usage is not None],
    }


def test_a_token_has_the_shape_of_apples(rehearsal: Rehearsal) -> None:
    """Versions, digests, certificates, attributes, policy and accuracy: as read off tokens of 2020 to 2026."""
    signed = token_of(ask(rehearsal, query()))
    assert shape(signed) == {
        "version": "v3",
        "digests": ["sha1"],
        "content": "tst_info",
        "certificates": 3,
        "signer": "v1",
        "digest": "sha1",
        "signature": "rsassa_pkcs1v15",
        "length": 256,
        "attributes": ["content_type", "signing_time", "message_digest", "signing_certificate"],
        "policy": "1.2.3.4.5.6",
        "accuracy": {"seconds": 1, "millis": None, "micros": None},
        "ordering": False,
        "tsa": None,
        "extensions": None,
        "usage": [["time_stamping"]],
    }
    info = info_of(signed)
    assert info["nonce"].native == 0x1234567890ABCDEF
    assert info["message_imprint"]["hashed_message"].native == IMPRINT
    assert abs(info["gen_time"].native - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.openssl
def test_openssl_verifies_a_token(rehearsal: Rehearsal, tmp_path: Path) -> None:
    """`openssl ts -verify` accepts the answer for its data, and refuses it for other data."""
    openssl = need("openssl")
    (root,) = rehearsal.services.anchors.timestamp_roots
    (tmp_path / "root.pem").write_bytes(x509.load_der_x509_certificate(root).public_bytes(Encoding.PEM))
    (tmp_path / "answer.tsr").write_bytes(ask(rehearsal, query()).dump())
    for data, code in ((SIGNED, 0), (b"other bytes", 1)):
        (tmp_path / "data").write_bytes(data)
        argv: list[str | Path] = [openssl, "ts", "-verify", "-in", tmp_path / "answer.tsr", "-data", tmp_path / "data"]
        done = subprocess.run([*argv, "-CAfile", tmp_path / "root.pem"], capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr


def test_without_certreq_no_certificates_come(rehearsal: Rehearsal) -> None:
    """As RFC 3161 asks; and a request without a nonce gets none back."""
    signed = token_of(ask(rehearsal, query(cert_req=False, nonce=None)))
    assert len(signed["certificates"]) == 0
    assert info_of(signed)["nonce"].native is None


REJECTED: dict[str, tuple[Callable[[], bytes], str]] = {
    "not a request": (lambda: b"\x30\x03\x02\x01", "bad_data_format"),
    "another policy": (lambda: query(req_policy="1.2.3"), "unaccepted_policy"),
    "another algorithm": (
        lambda: query(
            message_imprint={"hash_algorithm": algos.DigestAlgorithm({"algorithm": "md5"}), "hashed_message": bytes(16)}
        ),
        "bad_alg",
    ),
    "a digest of another length": (
        lambda: query(message_imprint={"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": bytes(20)}),
        "bad_data_format",
    ),
}


@pytest.mark.parametrize(("make", "reason"), REJECTED.values(), ids=REJECTED.keys())
def test_bad_requests_are_rejected_in_words(rehearsal: Rehearsal, make: Callable[[], bytes], reason: str) -> None:
    """Status rejection, the reason of RFC 3161, and no token."""
    response = ask(rehearsal, make())
    assert response["status"]["status"].native == "rejection"
    assert response["status"]["fail_info"].native == {reason}
    assert response["time_stamp_token"].native is None


@pytest.mark.parametrize("fault", TimestampFault)
def test_our_client_believes_no_false_answer(rehearsal: Rehearsal, host: Host, fault: TimestampFault) -> None:
    """Each false answer is noticed by the client of the release, which asks again and gets a good one."""
    services = rehearsal.services
    assert services.timestamp_url is not None
    doors = (host.http, host.clock, host.entropy, services.timestamp_url)
    roots = services.anchors.timestamp_roots
    rehearsal.levers.schedule(Endpoint.TIMESTAMP, fault)
    with pytest.raises((SigningError, ServiceUnavailable)):
        TimestampClient(*doors, roots=roots, retries=RetryPolicy(waits=())).token(SIGNED)
    rehearsal.levers.schedule(Endpoint.TIMESTAMP, fault)
    assert TimestampClient(*doors, roots=roots, retries=RetryPolicy(waits=(timedelta(0),))).token(SIGNED)


@pytest.mark.parametrize(("answer", "status"), [(TIMESTAMP_UNAVAILABLE, 503), (TIMESTAMP_EMPTY_400, 400)])
def test_empty_answers(rehearsal: Rehearsal, answer: Any, status: int) -> None:
    """A 503, and the empty 400 that has been met in the field; then it works again."""
    assert rehearsal.services.timestamp_url is not None
    rehearsal.levers.schedule(Endpoint.TIMESTAMP, answer)
    headers = {"Content-Type": "application/timestamp-query"}
    found = requests.post(rehearsal.services.timestamp_url, data=query(), headers=headers, timeout=60)
    assert (found.status_code, found.content) == (status, b"")
    assert ask(rehearsal, query())["status"]["status"].native == "granted"


def test_the_clock_of_the_authority(rehearsal: Rehearsal) -> None:
    """A skewed service puts its own time into the token."""
    rehearsal.levers.clock_skew = timedelta(hours=2)
    moment = info_of(token_of(ask(rehearsal, query())))["gen_time"].native
    assert timedelta(minutes=119) < moment - datetime.now(UTC) < timedelta(minutes=121)


def test_other_content_is_not_taken(rehearsal: Rehearsal) -> None:
    """A request of another type, or to another path, is no time-stamp query."""
    assert rehearsal.services.timestamp_url is not None
    assert requests.post(rehearsal.services.timestamp_url, data=query(), timeout=60).status_code == 400
    assert requests.get(rehearsal.services.timestamp_url, timeout=60).status_code == 404
