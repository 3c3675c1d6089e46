"""The developer log: real ones, damaged ones, and how they read."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from builders.golden import agree
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import MalformedFile
from pipeline.notary import NotaryStatus, build_log, describe_log, parse_log

VECTORS = Path(__file__).parents[1] / "vectors" / "notary-logs"
GOLDEN = Path(__file__).parent / "golden"
LOGS = sorted(VECTORS.glob("*.json"))
# What sources.md calls complete.
WHOLE = {"01", "04", "07", "08", "13", "14", "15", "16"}


def test_there_are_22_real_logs() -> None:
    """The vectors are all there: a glob that finds nothing would make the tests below pass."""
    assert len(LOGS) == 22


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_a_real_log_says_what_its_json_says(path: Path) -> None:
    """Every value of a real log is where the domain type has a place for it."""
    document = json.loads(path.read_text())
    log = parse_log(path.read_bytes())
    assert log.status == document.get("status")
    assert log.status_code == document.get("statusCode")
    assert log.submission == document.get("jobId")
    assert log.sha256 == document.get("sha256")
    assert [(issue.path, issue.message, issue.architecture) for issue in log.issues or ()] == [
        (entry["path"], entry["message"], entry.get("architecture")) for entry in document.get("issues") or []
    ]
    assert [(entry.path, entry.cdhash, entry.arch) for entry in log.ticket_contents or ()] == [
        (entry["path"], entry["cdhash"], entry["arch"]) for entry in document.get("ticketContents") or []
    ]


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_a_cut_log_is_told_as_such(path: Path) -> None:
    """A log is whole exactly where its source says that it is complete, and its text says so where it is not."""
    log = parse_log(path.read_bytes())
    assert log.is_whole == (path.stem in WHOLE)
    assert ("not whole" in describe_log(log)) == (path.stem not in WHOLE)


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_a_real_log_reads_as_its_golden_text(path: Path) -> None:
    """The words for a person do not change unread."""
    agree(GOLDEN / f"{path.stem}.txt", describe_log(parse_log(path.read_bytes())) + "\n")


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_parse_and_build_are_inverse_on_real_logs(path: Path) -> None:
    """A log that is built again is the same log, fields that are not known included."""
    document = json.loads(path.read_text()) | {"appleMayAdd": {"this": [1]}}
    log = parse_log(json.dumps(document).encode())
    assert parse_log(build_log(log)) == log
    assert json.loads(build_log(log))["appleMayAdd"] == {"this": [1]}


@pytest.mark.parametrize("name", ["13", "15", "16"])
def test_a_complete_log_is_built_to_the_same_document(name: str) -> None:
    """What is built of a real complete log equals the original document, value by value."""
    original = (VECTORS / f"{name}.json").read_bytes()
    assert json.loads(build_log(parse_log(original))) == json.loads(original)


def test_a_package_is_listed_by_its_checksum_without_an_architecture() -> None:
    """Entries for a package have a SHA-1 checksum and no arch; an issue can have no architecture and no path."""
    document = json.loads((VECTORS / "13.json").read_text())
    document["ticketContents"].append({"path": "x.pkg", "digestAlgorithm": "SHA-1", "cdhash": "AB" * 20})
    document["issues"] = [{"severity": "warning", "message": "Unable to notarize this.", "architecture": None}]
    log = parse_log(json.dumps(document).encode())
    assert log.ticket_contents is not None
    assert log.ticket_contents[-1].arch is None
    assert log.ticket_contents[-1].cdhash == "ab" * 20
    assert "Unable to notarize this." in describe_log(log)


def test_an_unknown_status_is_kept_and_is_no_answer() -> None:
    """A status that is not documented survives as text, and answers nothing."""
    document = json.loads((VECTORS / "13.json").read_text()) | {"status": "Postponed"}
    log = parse_log(json.dumps(document).encode())
    assert log.status == "Postponed"
    assert log.answer is None
    assert parse_log((VECTORS / "13.json").read_bytes()).answer is NotaryStatus.ACCEPTED


@pytest.mark.parametrize("length", range(0, 523, 29))
def test_a_log_that_ends_in_the_middle_is_refused(length: int) -> None:
    """No beginning of a log passes for a log."""
    with pytest.raises(MalformedFile, match="not a notary log"):
        parse_log((VECTORS / "13.json").read_bytes()[:length])


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"issues": "none"}, "issues"),
        ({"issues": [[]]}, "issues"),
        ({"issues": [{"severity": "error"}]}, "message"),
        ({"ticketContents": [{"path": "x", "arch": "arm64", "digestAlgorithm": "SHA-256"}]}, "cdhash"),
        ({"ticketContents": [{"path": 7, "cdhash": "", "digestAlgorithm": ""}]}, "path"),
        ({"statusCode": "0"}, "statusCode"),
        ({"statusCode": True}, "statusCode"),
        ({"status": ["Accepted"]}, "status"),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused_by_name(change: dict[str, Any], place: str) -> None:
    """A log with a field of the wrong kind is malformed, and the message names the field."""
    document = json.loads((VECTORS / "13.json").read_text()) | change
    with pytest.raises(MalformedFile) as refused:
        parse_log(json.dumps(document).encode())
    assert place in str(refused.value)


_TEXT = st.text("aZ09 -/.\x1b\u2019\U0001f4a5", max_size=12)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(["status", "statusCode", "jobId", "issues", "ticketContents", "sha256", "_truncated", "new"]),
        _JSON,
    )
)
def test_any_json_is_a_log_or_malformed(document: dict[str, Any]) -> None:
    """Whatever JSON comes, it is a log that can be built and described, or MalformedFile."""
    try:
        log = parse_log(json.dumps(document).encode())
    except MalformedFile:
        return
    assert parse_log(build_log(log)) == log
    assert describe_log(log)


@given(st.binary(max_size=200) | st.just(b"[" * 100_000) | st.just(b'{"statusCode":' + b"9" * 5000 + b"}"))
def test_any_bytes_are_a_log_or_malformed(data: bytes) -> None:
    """Bytes that are no JSON, or JSON that is too deep or has absurd numbers, raise nothing else."""
    with suppress(MalformedFile):
        parse_log(data)


def test_nothing_in_a_log_steers_a_terminal() -> None:
    """Control characters of a message or a path do not reach the words for a person."""
    document = json.loads((VECTORS / "14.json").read_text())
    document["issues"][0]["message"] = "\x1b[2J\x1b]0;title\x07 gone"
    document["issues"][1]["path"] = "gon.zip/a\r\nAccepted"
    text = describe_log(parse_log(json.dumps(document).encode()))
    assert all(line.isprintable() for line in text.split("\n"))
    assert "\nAccepted" not in text


def test_thousands_of_issues_do_not_flood_the_screen() -> None:
    """Of very many paths the first are shown, and how many more there are is said."""
    document = json.loads((VECTORS / "14.json").read_text())
    document["issues"] = [
        {
            "severity": "error",
            "path": f"gon.zip/{number}",
            "message": "The binary is not signed.",
            "architecture": "arm64",
        }
        for number in range(5000)
    ]
    text = describe_log(parse_log(json.dumps(document).encode()))
    assert text.count("\n") < 200
    assert "and 4960 more paths" in text


def test_slices_with_the_same_finding_share_a_row() -> None:
    """The same message for two slices of a file is one row that names both."""
    document = json.loads((VECTORS / "14.json").read_text())
    document["issues"] += [issue | {"architecture": "arm64"} for issue in document["issues"]]
    text = describe_log(parse_log(json.dumps(document).encode()))
    assert text.count("The binary is not signed.") == 1
    assert "x86_64, arm64" in text
