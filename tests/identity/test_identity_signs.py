"""`file.sign --identity FILE`: a .p12 and PEM, closed and open, valid and not."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from builders.chain import Chain, developer_id
from builders.mach import image
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse"


def p12(chain: Chain) -> bytes:
    leaf, *others = map(x509.load_der_x509_certificate, chain.certificates)
    closed = BestAvailableEncryption(PASSWORD.encode())
    return pkcs12.serialize_key_and_certificates(b"n", chain.key, leaf, others, closed)


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    path = tmp_path / "tool"
    path.write_bytes(image())
    return path


def sign(tool: Path, name: str, identity: bytes, *, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Sign the tool in place with an identity in a file of this name; `typed` is standard input."""
    file = tool.with_name(name)
    file.write_bytes(identity)
    words = ("file.sign", str(tool), "--identity", str(file), "--timestamp", "none")
    return subprocess.run(
        [sys.executable, "-m", "invoke", *words], cwd=ROOT, input=typed, capture_output=True, text=True, check=False
    )


def test_a_closed_file_asks_for_its_password(tool: Path) -> None:
    """The first line of standard input opens a .p12; a wrong one is exit 10, names the file, and changes nothing."""
    chain, before = developer_id(), tool.read_bytes()
    refused = sign(tool, "id.p12", p12(chain), typed="wrong\n")
    assert refused.returncode == 10
    assert "id.p12: the .p12 file cannot be opened" in refused.stderr
    assert tool.read_bytes() == before
    done = sign(tool, "id.p12", p12(chain), typed=f"{PASSWORD}\n")
    assert done.returncode == 0, done.stderr
    assert chain.certificates[0] in tool.read_bytes()
    assert PASSWORD not in done.stdout + done.stderr


def test_an_open_file_asks_for_nothing(tool: Path) -> None:
    """PEM texts with an open key sign without standard input."""
    done = sign(tool, "id.pem", developer_id().pem)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr


def test_a_certificate_that_ends_soon_is_told(tool: Path) -> None:
    """It signs, and says on which day it will not."""
    end = datetime.now(UTC) + timedelta(days=9)
    done = sign(tool, "id.pem", developer_id(not_after=end).pem)
    assert done.returncode == 0, done.stderr
    assert f"expires on {end:%Y-%m-%d}" in done.stderr


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [(2020, 2024, "expired on 2024-03-01"), (2039, 2040, "is not valid before 2039-03-01")],
    ids=["ended", "to come"],
)
def test_a_certificate_that_is_not_valid_signs_nothing(tool: Path, first: int, last: int, words: str) -> None:
    """Exit 10, and the file is as it was: no system would take the signature."""
    before = tool.read_bytes()
    start, end = (datetime(year, 3, 1, tzinfo=UTC) for year in (first, last))
    refused = sign(tool, "id.pem", developer_id(not_before=start, not_after=end).pem)
    assert refused.returncode == 10
    assert words in refused.stderr
    assert tool.read_bytes() == before
