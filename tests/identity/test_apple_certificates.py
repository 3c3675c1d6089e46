"""The table of Apple's certificates against the files beside it, and against real signatures."""

from __future__ import annotations

import hashlib
from importlib.resources import files

import pytest
from builders.signature_parts import BY_CODESIGN, Parts, marked
from cryptography.x509.oid import NameOID

from pipeline.codesign.certificates import common_name, load_certificate, order_chain, subject_value
from pipeline.codesign.cms import TIMESTAMP_TOKEN, parse_cms
from pipeline.codesign.signed_data import single_value
from pipeline.codesign.timestamp_token import parse_token
from pipeline.identity import APPLE_ANCHORS, APPLE_INTERMEDIATES, APPLE_ROOTS

FOLDER = files("pipeline.identity") / "certificates"


def rows() -> list[list[str]]:
    lines = (FOLDER / "certificates.md").read_text().splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return [row for row in table if row[0].endswith(".cer")]


def test_the_table_names_every_file_and_no_other() -> None:
    """A certificate without its provenance is not carried."""
    carried = sorted(each.name for each in FOLDER.iterdir() if each.name.endswith(".cer"))
    assert sorted(row[0] for row in rows()) == carried


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_the_table_tells_the_truth(row: list[str]) -> None:
    """Subject, digest and expiry are those of the file, and at least two places are named."""
    name, subject, digest, expires, found = row
    data = (FOLDER / name).read_bytes()
    certificate = load_certificate(data)
    unit = subject_value(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME) or ""
    generation = f" (OU {unit})" if unit.startswith("G") else ""
    assert hashlib.sha256(data).hexdigest() == digest
    assert common_name(certificate) + generation == subject
    assert f"{certificate.not_valid_after_utc:%Y-%m-%d}" == expires
    assert found.count(";") >= 1


@pytest.mark.parametrize("intermediate", APPLE_INTERMEDIATES, ids=lambda data: hashlib.sha256(data).hexdigest()[:8])
def test_every_intermediate_leads_to_a_root(intermediate: bytes) -> None:
    """Signed by one of the roots that are carried."""
    assert order_chain(intermediate, APPLE_ROOTS)[1:] in [(root,) for root in APPLE_ROOTS]


@pytest.mark.parametrize("name", marked(BY_CODESIGN))
def test_real_signatures_carry_these_very_bytes(name: str) -> None:
    """Developer ID G1 and the root beside the leaf; the time-stamp authority and the root inside the token."""
    data = parse_cms(Parts(name=name).cms)
    stamp = single_value(data.signer.unsigned, TIMESTAMP_TOKEN)
    assert stamp is not None
    assert data.certificates[:2] == (APPLE_INTERMEDIATES[0], APPLE_ROOTS[0])
    assert parse_token(stamp).signed.certificates[1:] == (
        (FOLDER / "AppleTimestampCA.cer").read_bytes(),
        APPLE_ROOTS[0],
    )


def test_the_anchors_are_apples_roots() -> None:
    """For signatures, time stamps and tickets alike."""
    assert APPLE_ANCHORS.roots == APPLE_ANCHORS.timestamp_roots == APPLE_ANCHORS.ticket_roots == APPLE_ROOTS
    assert [common_name(load_certificate(root)) for root in APPLE_ROOTS] == [
        "Apple Root CA",
        "Apple Root CA - G2",
        "Apple Root CA - G3",
    ]
