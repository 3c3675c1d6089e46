"""The join of what Apple lists with what was signed, on real logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import VerificationError
from pipeline.notary import NotaryLog, parse_log, unlisted, verify_listed

VECTORS = Path(__file__).parents[1] / "vectors" / "notary-logs"


def real(name: str, **changes: Any) -> NotaryLog:
    return parse_log(json.dumps(json.loads((VECTORS / f"{name}.json").read_text()) | changes).encode())


# Of the public log 16.json: a bare tool and an app in one archive.
FOLDER = "hostwright-0.0.2-rc.1-macos-arm64-f95ee80d66da"
EXPECTED = {
    f"{FOLDER}/bin/hostwright": {"arm64": "372c3538febcc9afc208a7cd936cfee88e3ea9df"},
    f"{FOLDER}/libexec/hostwright/Hostwright.app": {"arm64": "53f90820d4a04d9cec5aedfc84324df4adc39c47"},
}


def test_what_apple_lists_is_covered() -> None:
    """A bare tool and an app that a real log lists are covered; so is code under another path."""
    verify_listed(real("16"), EXPECTED)
    verify_listed(real("16"), {"elsewhere": {"arm64": "372C3538FEBCC9AFC208A7CD936CFEE88E3EA9DF"}})


def test_a_slice_of_other_bytes_is_named_with_what_apple_lists_there() -> None:
    """A slice whose code hash is another fails, with its path, architecture, and both hashes."""
    expected = EXPECTED | {f"{FOLDER}/bin/hostwrightd": {"arm64": "ab" * 20}}
    (missing,) = unlisted(real("16"), expected)
    assert (missing.path, missing.arch) == (f"{FOLDER}/bin/hostwrightd", "arm64")
    assert missing.listed == ("2c9c25450e0e8a543d8e7a097e1659ed73708d27",)
    with pytest.raises(VerificationError) as refused:
        verify_listed(real("16"), expected)
    for words in ("hostwrightd", "arm64", "ab" * 20, "2c9c25450e0e8a543d8e7a097e1659ed73708d27"):
        assert words in str(refused.value)


def test_an_architecture_that_apple_does_not_list_fails() -> None:
    """The same code hash for another architecture is not the same slice."""
    cdhash = "b7049085e21423f102d6119bca93d57ebd903289"
    assert unlisted(real("13"), {"foo": {"x86_64": cdhash}}) == ()
    (missing,) = unlisted(real("13"), {"foo": {"x86_64": cdhash, "arm64": cdhash}})
    assert (missing.arch, missing.listed) == ("arm64", ())


def test_a_packages_checksum_covers_no_slice() -> None:
    """An entry with a SHA-1 checksum, or without an architecture, is not a slice's."""
    cdhash = "cd" * 20
    for entry in (
        {"path": "x.zip/foo", "digestAlgorithm": "SHA-1", "cdhash": cdhash, "arch": "arm64"},
        {"path": "x.zip/foo", "digestAlgorithm": "SHA-256", "cdhash": cdhash},
    ):
        assert len(unlisted(real("13", ticketContents=[entry]), {"foo": {"arm64": cdhash}})) == 1


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (real("14"), "says Invalid"),
        (real("07"), "says Rejected"),
        (real("17"), "not whole"),
        (real("11"), "not whole"),
        (real("13", ticketContents=None), "without these slices"),
        (real("13", ticketContents=[]), "without these slices"),
        (real("13", status="accepted"), "says accepted"),
    ],
    ids=["invalid", "rejected", "cut", "no-header", "null", "empty", "other-word"],
)
def test_no_other_log_proves_anything(log: NotaryLog, words: str) -> None:
    """Only a whole log that says Accepted and lists the slice is proof."""
    with pytest.raises(VerificationError, match=words):
        verify_listed(log, {"foo": {"x86_64": "b7049085e21423f102d6119bca93d57ebd903289"}})
