"""RFC 3161's messages against asn1crypto and openssl."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from asn1crypto import core, tsp
from builders.chain import PrivateKey, time_stamping
from builders.clients import need
from builders.tokens import token
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codesign.timestamp_token import verify_token
from pipeline.errors import MalformedFile, ReleaseError
from pipeline.timestamps import build_request, parse_request, parse_response
from pipeline.timestamps.messages import Failure, Rejected, Request

MESSAGE = b"a signature"
IMPRINT = hashlib.sha256(MESSAGE).digest()


@given(st.integers(0, (1 << 64) - 1), st.sampled_from(["1.2.3.4.5.6", None]))
def test_a_request_is_what_asn1crypto_reads(nonce: int, policy: str | None) -> None:
    """Version 1, SHA-256, policy, nonce, certificates asked for; and it can be read back."""
    request = Request(imprint=IMPRINT, nonce=nonce, policy=policy)
    encoded = build_request(request)
    read = tsp.TimeStampReq.load(encoded, strict=True)
    assert read["version"].native == "v1"
    assert read["message_imprint"]["hash_algorithm"]["algorithm"].native == "sha256"
    assert read["message_imprint"]["hashed_message"].native == IMPRINT
    assert read["req_policy"].native == policy
    assert read["nonce"].native == nonce
    assert read["cert_req"].native is True
    assert parse_request(encoded) == request


@given(st.binary(max_size=80))
def test_any_bytes_are_a_message_or_our_error(data: bytes) -> None:
    """No other exception from either parser."""
    for parse in (parse_request, parse_response):
        try:
            parse(data)
        except ReleaseError:
            continue


def _response(status: str, **info: object) -> bytes:
    told = tsp.PKIStatusInfo({"status": status, **info}).dump()
    granted = token(time_stamping(), MESSAGE) if status.startswith("granted") else b""
    return bytes(core.Sequence(contents=told + granted).dump())


@pytest.mark.parametrize("status", ["granted", "granted_with_mods"])
def test_a_granted_answer_holds_a_token(status: str) -> None:
    """As asn1crypto writes the answer around it."""
    found = parse_response(_response(status))
    assert verify_token(found, MESSAGE, time_stamping().anchors.timestamp_roots)


@pytest.mark.parametrize(
    ("status", "code"), [("rejection", 2), ("waiting", 3), ("revocation_warning", 4), ("revocation_notification", 5)]
)
def test_any_other_status_is_a_refusal(status: str, code: int) -> None:
    """With the reasons in words where there are any."""
    with pytest.raises(Rejected, match=rf"refused \(status {code}\): no reason given"):
        parse_response(_response(status))
    with pytest.raises(Rejected, match="time not available; try later") as caught:
        parse_response(_response(status, fail_info={"time_not_available"}, status_string=["try later"]))
    assert caught.value.failures == {Failure.TIME_NOT_AVAILABLE}


@pytest.mark.parametrize(("bit", "name"), tsp.PKIFailureInfo._map.items())
def test_every_reason_has_its_bit(bit: int, name: str) -> None:
    """Those of RFC 3161, 2.4.2, as asn1crypto knows them."""
    with pytest.raises(Rejected) as caught:
        parse_response(_response("rejection", fail_info={name}))
    assert caught.value.failures == {Failure(bit)}


def test_granted_without_a_token_is_malformed() -> None:
    """And so is an answer without a status, or one that is no SEQUENCE."""
    for data in (b"\x30\x05\x30\x03\x02\x01\x00", b"\x30\x00", b"\x30\x02\x30\x00", b"\x31" + _response("granted")[1:]):
        with pytest.raises(MalformedFile):
            parse_response(data)


@pytest.mark.openssl
def test_openssl_grants_what_we_ask(tmp_path: Path) -> None:
    """`openssl ts -reply` is an authority of its own: its token answers our request and verifies."""
    openssl, chain = need("openssl"), time_stamping()
    _authority(tmp_path, chain.certificates, chain.key)
    request = Request(imprint=IMPRINT, nonce=0x470161B30A84B925)
    (tmp_path / "query").write_bytes(build_request(request))
    printed = subprocess.run(
        [openssl, "ts", "-query", "-in", "query", "-text"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    assert "Nonce: 0x470161B30A84B925" in printed
    assert "Certificate required: yes" in printed
    subprocess.run(
        [openssl, "ts", "-reply", "-queryfile", "query", "-config", "tsa.cnf", "-section", "tsa", "-out", "reply"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    found = verify_token(parse_response((tmp_path / "reply").read_bytes()), MESSAGE, chain.anchors.timestamp_roots)
    assert (found.nonce, found.policy, found.digest) == (request.nonce, "1.2.3.4.5.6", "sha256")


def _authority(folder: Path, certificates: tuple[bytes, ...], own: PrivateKey) -> None:
    texts = [x509.load_der_x509_certificate(each).public_bytes(Encoding.PEM) for each in certificates]
    (folder / "signer.pem").write_bytes(texts[0])
    (folder / "chain.pem").write_bytes(b"".join(texts[1:]))
    (folder / "key.pem").write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "serial").write_text("01")
    settings = {
        "serial": "serial",
        "crypto_device": "builtin",
        "signer_cert": "signer.pem",
        "certs": "chain.pem",
        "signer_key": "key.pem",
        "signer_digest": "sha256",
        "default_policy": "1.2.3.4.5.6",
        "digests": "sha256",
        "ess_cert_id_chain": "no",
        "ess_cert_id_alg": "sha256",
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    (folder / "tsa.cnf").write_text("[tsa]\n" + "\n".join(lines) + "\n")
