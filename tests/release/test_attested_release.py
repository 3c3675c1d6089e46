"""The provenance of a whole release: every shipped file a subject, every link true, signed by a named key."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from builders.workshop import VERSION, Workshop
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement


@pytest.fixture(scope="module")
def document(finished: Workshop) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((finished.outputs / "provenance.json").read_text())
    return found


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_releases_provenance_is_valid(document: dict[str, Any]) -> None:
    """in-toto's official definitions take the statement of a whole release, annotations and all."""
    Statement.copy_from_pb(json_format.ParseDict(document, statement_pb2.Statement())).validate()
    json_format.ParseDict(document["predicate"], provenance_pb2.Provenance())


def test_subjects_are_the_files_that_ship(finished: Workshop, document: dict[str, Any]) -> None:
    """Every file in the zip that users get is a subject with its digest, and no DEBUG file is."""
    digests = {one["name"]: one["digest"]["sha256"] for one in document["subject"]}
    shipped = {one["path"]: one["kind"] for one in finished.manifest()["artifacts"] if not one["debug"]}
    kept = {path for path, kind in shipped.items() if kind in ("app", "archive", "ticket")}
    inside = (path for path in (finished.outputs / "universal/meshagent.app").rglob("*") if path.is_file())
    assert digests.keys() == shipped.keys() - kept | {path.relative_to(finished.outputs).as_posix() for path in inside}
    for name, digest in digests.items():
        assert sha256(finished.outputs / name) == digest
        assert "DEBUG" not in name
    (package,) = (finished.outputs / "dist").glob("*.zip")
    assert f"dist/{package.name}" in digests
    with zipfile.ZipFile(package) as archive:
        for entry in archive.infolist():
            if not entry.is_dir():
                assert digests[f"universal/{entry.filename}"] == hashlib.sha256(archive.read(entry)).hexdigest()


def test_each_link_is_true(finished: Workshop, document: dict[str, Any]) -> None:
    """From a shipped slice back to the unsigned file, its CDHash, the submission, the archive and the ticket."""
    manifest = {one["path"]: one for one in finished.manifest()["artifacts"]}
    for name, path in (
        ("universal/meshagent", "universal/meshagent"),
        ("universal/meshagent.app/Contents/MacOS/meshagent", "universal/meshagent.app"),
        ("arm64/meshagent", "arm64/meshagent"),
    ):
        (subject,) = [one for one in document["subject"] if one["name"] == name]
        said = subject["annotations"]
        cdhashes = {one["arch"]: one["cdhash"] for one in manifest[path]["slices"]}
        assert {one["arch"]: one["cdhash"] for one in said["slices"]} == cdhashes
        for one in said["slices"]:
            assert sha256(finished.outputs / one["unsigned"]["name"]) == one["unsigned"]["sha256"]
        assert said["notarization"]["submission"] == manifest[path]["notarization"]["submission"]
        archive = said["notarization"]["archive"]
        assert sha256(finished.outputs / archive["name"]) == archive["sha256"]
        bundle = finished.outputs / path
        ticket = bundle / said["ticket"]["name"] if bundle.is_dir() else finished.outputs / said["ticket"]["name"]
        assert sha256(ticket) == said["ticket"]["sha256"]


def test_a_release_signs_with_the_key_that_is_named(released: Workshop, tmp_path: Path) -> None:
    """[provenance] key signs; the audit verifies with the public half; a second run changes no byte."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (released.folder / "build" / "provenance.pem").write_bytes(pem)
    public = tmp_path / "provenance.pub"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    text = released.configuration.read_text() + '\n[provenance]\nkey = "build/provenance.pem"\n'
    released.configuration.write_text(text)
    released.commit("2026-11-21T06:20:00+00:00")
    ran = released.invoke("release")
    assert ran.code == 0, ran.err
    where = ("--folder", str(released.outputs), "--key", str(public))
    audited = released.invoke_plain("audit", *where)
    assert audited.code == 0, audited.err
    assert "is signed with the key" in audited.out
    before = {path: path.read_bytes() for path in released.outputs.rglob("*") if path.is_file()}
    assert "nothing to do" in released.invoke("release").err
    assert {path: path.read_bytes() for path in released.outputs.rglob("*") if path.is_file()} == before
    assert pem.splitlines()[1] not in b"".join(before.values())
    (released.outputs / "provenance.intoto.jsonl").unlink()
    assert released.invoke_plain("audit", *where).code == 9
    assert released.invoke("release").code == 0
    assert released.invoke_plain("audit", *where).code == 0


def test_a_key_that_is_not_there_stops_before_anything_runs(workshop: Workshop) -> None:
    """A release whose provenance cannot be signed is not begun."""
    workshop.configure(more='[provenance]\nkey = "nowhere.pem"')
    ran = workshop.invoke("release")
    assert ran.code == 2
    assert "nowhere.pem" in ran.err
    workshop.configure(more='[provenance]\nkey = "release.toml"')
    ran = workshop.invoke("release")
    assert ran.code == 10
    assert not (workshop.outputs / "audit.jsonl").exists()


def test_previous_names_what_is_compared_with(released: Workshop) -> None:
    """[release] previous: the manifest named is compared with, whatever lies in history/."""
    older = released.manifest() | {"version": "20.0101.0000"}
    (released.folder / "build" / "older.json").write_text(json.dumps(older))
    text = released.configuration.read_text().replace("[release]\n", '[release]\nprevious = "build/older.json"\n')
    released.configuration.write_text(text)
    released.commit("2026-11-21T06:20:00+00:00")
    assert released.invoke("release").code == 0
    changes = released.manifest()["changes"]
    assert changes["since"] == "20.0101.0000"
    assert ("version", "20.0101.0000", "26.1121.0620") in {
        (one["what"], one["before"], one["after"]) for one in changes["changes"]
    }
    assert changes["since"] != VERSION
