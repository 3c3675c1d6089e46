"""Provenance: valid by the official schemas, linked from the unsigned file to what ships, signed, unchangeable."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from builders.clients import need
from builders.outputs import finish_run, manifest_of, new_outputs
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509.oid import NameOID
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from pipeline import manifest, provenance
from pipeline.audit import audit
from pipeline.errors import CredentialsError, MalformedFile, VerificationError
from pipeline.host import system_host
from pipeline.journal import Journal, verify_chain
from pipeline.redact import Secret

KEYS: dict[str, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "rsa": rsa.generate_private_key(65537, 2048),
}


def private_pem(kind: str, password: bytes | None = None) -> bytes:
    closed = BestAvailableEncryption(password) if password else NoEncryption()
    return KEYS[kind].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, closed)


def public_pem(kind: str) -> bytes:
    return KEYS[kind].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def attested(
    folder: Path, by: str | provenance.Signer | None = None, *, before: Sequence[tuple[str, str]] = ()
) -> Path:
    """A finished run whose manifest names its provenance, signed with that kind of key, or by that signer.

    `before`: events of stages in a run of their own, which did not finish.
    """
    signer = provenance.load_signer(private_pem(by)) if isinstance(by, str) else by
    new_outputs(folder)
    host = system_host()
    log = Journal(host.files, host.clock, folder / "audit.jsonl", run="unfinished", redact=host.redact)
    for event, stage in before:
        log.record(event, stage=stage)
    artifacts = [manifest.artifact_from_json(one) for one in manifest_of(folder)["artifacts"]]
    named = {"statement": provenance.STATEMENT, "key": signer.key_id if signer else None}
    finish_run(folder, 2, artifacts, provenance=named, source_epoch=5, tools={"python": "3.11.7", "lief": "absent"})
    files = system_host().files
    entries = verify_chain((folder / "audit.jsonl").read_bytes())
    payload = provenance.statement(files, folder, (folder / "release.json").read_bytes(), entries)
    provenance.write(files, folder, payload, signer)
    return folder


def validate(data: bytes) -> dict[str, Any]:
    """Hold a statement against the official protobuf definitions, in which an unknown field is an error."""
    document: dict[str, Any] = json.loads(data)
    whole = json_format.ParseDict(document, statement_pb2.Statement())
    Statement.copy_from_pb(whole).validate()
    json_format.ParseDict(document["predicate"], provenance_pb2.Provenance())
    return document


def test_it_is_valid_by_the_official_schemas(tmp_path: Path) -> None:
    """in-toto's own definitions of Statement v1 and SLSA provenance v1 take it, field by field."""
    folder = attested(tmp_path / "macos")
    document = validate((folder / "provenance.json").read_bytes())
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    definition = document["predicate"]["buildDefinition"]
    assert definition["resolvedDependencies"][0]["digest"] == {"gitCommit": "c0ffee"}
    assert [one["name"] for one in definition["resolvedDependencies"]] == ["source", "python"]
    assert definition["internalParameters"] == {"toolchain": "portable", "doubles": False}
    assert document["predicate"]["runDetails"]["metadata"]["invocationId"] == "run2"


def test_it_began_with_the_first_stage_that_counts(tmp_path: Path) -> None:
    """The build of an earlier run is a part of it; a stage that failed there, and one that it did anew, are not."""
    before = [("began", "sign"), ("began", "build"), ("done", "build"), ("began", "build"), ("done", "build")]
    folder = attested(tmp_path / "macos", before=before)
    entries = verify_chain((folder / "audit.jsonl").read_bytes())
    times = [one.time for one in entries if one.run == "unfinished"]
    metadata = json.loads((folder / "provenance.json").read_bytes())["predicate"]["runDetails"]["metadata"]
    assert (metadata["startedOn"], metadata["finishedOn"]) == (times[3], entries[-1].time)


def test_its_newest_line_is_the_logs(tmp_path: Path) -> None:
    """The log's newest hash stands in it: kept elsewhere, it shows whether the log was cut."""
    folder = attested(tmp_path / "macos")
    document = json.loads((folder / "provenance.json").read_bytes())
    (line,) = [one for one in document["predicate"]["runDetails"]["byproducts"] if one["name"] == "audit.jsonl"]
    last = json.loads((folder / "audit.jsonl").read_bytes().splitlines()[-1])
    assert line["annotations"] == {"head": last["hash"], "lines": last["seq"]}


@pytest.mark.parametrize("kind", KEYS)
def test_a_signature_is_verified_with_the_public_key(tmp_path: Path, kind: str) -> None:
    """Audit takes the right public key, tells of a signature that it was given no key for, and refuses another key."""
    folder = attested(tmp_path / "macos", kind)
    host = system_host()
    assert "is signed with the key" in audit(host, folder, key=public_pem(kind)).to_text()
    assert "its signature was not judged" in audit(host, folder).to_text()
    other = next(name for name in KEYS if name != kind)
    with pytest.raises(VerificationError, match=r"provenance\.intoto\.jsonl.*not by the one given"):
        audit(host, folder, key=public_pem(other))


def certificate(kind: str) -> x509.Certificate:
    """Expired long ago: it says whose the key is, and of a key no date is asked."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Release engineering")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEYS[kind].public_key())
    made = made.serial_number(1).not_valid_before(datetime(2001, 1, 1)).not_valid_after(datetime(2002, 1, 1))
    return made.sign(KEYS[kind], None if kind == "ed25519" else SHA256())


@pytest.mark.parametrize("kind", KEYS)
def test_a_certificate_names_the_key_as_well(tmp_path: Path, kind: str) -> None:
    """Signed from a .p12 with its password, verified with the certificate in PEM."""
    data = serialize_key_and_certificates(b"x", KEYS[kind], certificate(kind), None, BestAvailableEncryption(b"pass"))
    with pytest.raises(CredentialsError, match="cannot be opened"):
        provenance.load_signer(data, Secret("wrong"))
    folder = attested(tmp_path / "macos", provenance.load_signer(data, Secret("pass")))
    public = certificate(kind).public_bytes(Encoding.PEM)
    assert "is signed with the key" in audit(system_host(), folder, key=public).to_text()


def test_a_signature_that_was_promised_is_missed(tmp_path: Path) -> None:
    """The manifest names the key: an envelope that is gone, or without its signature, is refused."""
    folder = attested(tmp_path / "macos", "p256")
    path = folder / "provenance.intoto.jsonl"
    envelope = json.loads(path.read_bytes())
    for signatures in ([], [{**envelope["signatures"][0], "keyid": "00" * 32}]):
        bare = json.dumps(envelope | {"signatures": signatures}, sort_keys=True, separators=(",", ":"))
        path.write_bytes(bare.encode() + b"\n")
        with pytest.raises(VerificationError, match=r"provenance\.intoto\.jsonl: is not signed by the key"):
            audit(system_host(), folder)
    path.unlink()
    with pytest.raises(VerificationError, match=r"provenance\.intoto\.jsonl: is missing"):
        audit(system_host(), folder)


@pytest.mark.parametrize("name", ["provenance.json", "provenance.intoto.jsonl"])
def test_a_link_is_no_provenance(tmp_path: Path, name: str) -> None:
    """A symbolic link in the place of either file is refused, though the same bytes lie behind it."""
    folder = attested(tmp_path / "macos", "ed25519")
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(VerificationError, match=f"{name}: is missing"):
        audit(system_host(), folder)


def test_an_envelope_of_an_unsigned_release_is_a_stranger(tmp_path: Path) -> None:
    """Where the manifest names no key, a signed envelope was put there by somebody else."""
    signed, unsigned = attested(tmp_path / "signed", "ed25519"), attested(tmp_path / "unsigned")
    (unsigned / "provenance.intoto.jsonl").write_bytes((signed / "provenance.intoto.jsonl").read_bytes())
    with pytest.raises(VerificationError, match=r"provenance\.intoto\.jsonl: is not part of the release"):
        audit(system_host(), unsigned)


def test_a_key_is_demanded_of_what_is_not_signed(tmp_path: Path) -> None:
    """Who gives a key wants a signature."""
    with pytest.raises(VerificationError, match="is not signed, and a key was given"):
        audit(system_host(), attested(tmp_path / "macos"), key=public_pem("p256"))


@pytest.mark.openssl
def test_openssl_verifies_the_envelope(tmp_path: Path) -> None:
    """The signature is over DSSE's encoding of type and payload, built here by the specification: OpenSSL takes it."""
    openssl = need("openssl")
    folder = attested(tmp_path / "macos", "p256")
    envelope = json.loads((folder / "provenance.intoto.jsonl").read_bytes())
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    payload = base64.b64decode(envelope["payload"])
    assert payload == (folder / "provenance.json").read_bytes()
    kind = envelope["payloadType"].encode()
    message = b"DSSEv1 " + b" ".join([str(len(kind)).encode(), kind, str(len(payload)).encode(), payload])
    (tmp_path / "message").write_bytes(message)
    (tmp_path / "signature").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    (tmp_path / "key.pem").write_bytes(public_pem("p256"))
    argv = [str(openssl), "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "message"]
    subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True)


def test_no_byte_of_statement_or_envelope_can_be_changed(tmp_path: Path) -> None:
    """A bit changed at any byte of either file is found and the file named."""
    folder = attested(tmp_path / "macos", "ed25519")
    key = public_pem("ed25519")
    host = system_host()
    for name in ("provenance.json", "provenance.intoto.jsonl"):
        data = (folder / name).read_bytes()
        for position in range(0, len(data), 7 if name.endswith("json") else 11):
            changed = bytearray(data)
            changed[position] ^= 1
            (folder / name).write_bytes(changed)
            with pytest.raises(VerificationError, match=name.replace(".", r"\.")):
                audit(host, folder, key=key)
        (folder / name).write_bytes(data)
    assert audit(host, folder, key=key)


@pytest.mark.parametrize("name", ["provenance.json", "provenance.intoto.jsonl"])
def test_a_missing_or_foreign_file_is_named(tmp_path: Path, name: str) -> None:
    """Taken away, taken from another release, or put where there should be none: each is found."""
    folder, other = attested(tmp_path / "macos", "rsa"), attested(tmp_path / "other", "rsa")
    data = (folder / name).read_bytes()
    (folder / name).unlink()
    with pytest.raises(VerificationError, match="is missing"):
        audit(system_host(), folder)
    (folder / name).write_bytes((other / name).read_bytes())
    with pytest.raises(VerificationError, match=name.replace(".", r"\.")):
        audit(system_host(), folder)
    unattested = new_outputs(tmp_path / "third")
    (unattested / name).write_bytes(data)
    with pytest.raises(VerificationError, match="is not part of the release"):
        audit(system_host(), unattested)


@pytest.mark.parametrize(
    "hostile", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b'{"payload":1,"payloadType":"x","signatures":{}}']
)
def test_no_envelope_is_a_finding(tmp_path: Path, hostile: bytes) -> None:
    """What is no envelope at all ends in a finding."""
    folder = attested(tmp_path / "macos", "rsa")
    (folder / "provenance.intoto.jsonl").write_bytes(hostile)
    with pytest.raises(VerificationError, match=r"provenance\.intoto\.jsonl"):
        audit(system_host(), folder, key=public_pem("rsa"))


def test_keys_that_cannot_sign_are_refused() -> None:
    """A wrong password, a public key, something else: each says so."""
    assert provenance.load_signer(private_pem("p256", b"pass"), Secret("pass")).key_id
    with pytest.raises(CredentialsError, match="cannot be opened"):
        provenance.load_signer(private_pem("p256", b"pass"), Secret("wrong"))
    with pytest.raises(CredentialsError):
        provenance.load_signer(public_pem("p256"))
    with pytest.raises(CredentialsError):
        provenance.load_signer(b"nothing")
    with pytest.raises(MalformedFile):
        provenance.verify_envelope(
            provenance.load_signer(private_pem("rsa")).envelope(b"{}"),
            b"{}",
            b"no key",
            provenance.load_signer(private_pem("rsa")).key_id,
            "x",
        )
    assert "BEGIN" not in repr(provenance.load_signer(private_pem("rsa")))
