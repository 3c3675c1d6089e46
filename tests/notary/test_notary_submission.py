"""The record of a submission: what is on disk, and what a damaged one does."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builders.hosts import host_with
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import MalformedFile
from pipeline.notary import Abandoned, Records, State, Submission
from pipeline.notary.submission import submission_name
from pipeline.notary.wire import UploadGrant
from pipeline.redact import Secret

SHA256 = "0123456789ab" + "0" * 52
NOW = datetime(2026, 11, 21, 6, 15, tzinfo=UTC)
GRANT = UploadGrant(
    submission="2efe2717-52ef-43a5-96dc-0797e4ca1041",
    bucket="some-bucket",
    object="prod/a:b",
    access_key=Secret("ASIATELLTALE"),
    secret_key=Secret("tell-tale/secret+key"),
    session_token=Secret("tell-tale-session=="),
)


def submission(**changes: Any) -> Submission:
    fields: dict[str, Any] = {
        "archive": "tool-1.2.zip",
        "sha256": SHA256,
        "size": 7,
        "name": submission_name("tool-1.2.zip", SHA256),
        "state": State.SUBMITTING,
        "times": {State.SUBMITTING: NOW},
    }
    return Submission(**(fields | changes))


_MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)).map(
    lambda one: one.replace(tzinfo=UTC, microsecond=one.microsecond // 1000 * 1000)
)
_IDS = st.text("0123456789abcdef-", min_size=8, max_size=36)
_SUBMISSIONS = st.builds(
    submission,
    archive=st.text(min_size=1, max_size=20),
    size=st.integers(0, 2**63),
    state=st.sampled_from([one for one in State if one is not State.SUBMITTING]),
    id=_IDS,
    said=st.none() | st.text(max_size=10),
    times=st.dictionaries(st.sampled_from(list(State)), _MOMENTS),
    abandoned=st.lists(st.builds(Abandoned, id=_IDS, reason=st.text(max_size=10), at=_MOMENTS), max_size=3).map(tuple),
    other=st.dictionaries(st.just("apple-may-add"), st.integers()),
)


@given(_SUBMISSIONS)
def test_a_record_survives_its_file(one: Submission) -> None:
    """Every field of a record, also one that is not known, comes back from its JSON."""
    assert Submission.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_a_record_reads_as_a_person_would_want(tmp_path: Path) -> None:
    """The file names the archive, its digest, its size, the submission, the state and when it was reached."""
    Records(host_with(), tmp_path).save(submission(state=State.CREATED, id="2efe2717-52ef", times={State.CREATED: NOW}))
    assert json.loads((tmp_path / f"{SHA256}.json").read_text()) == {
        "schema": 1,
        "archive": {"name": "tool-1.2.zip", "sha256": SHA256, "size": 7},
        "name": "tool-1.2-0123456789ab.zip",
        "state": "created",
        "submission": "2efe2717-52ef",
        "said": None,
        "times": {"created": "2026-11-21T06:15:00.000+00:00"},
        "abandoned": [],
    }


@pytest.mark.parametrize(
    ("archive", "name"),
    [
        ("tool-1.2.zip", "tool-1.2-0123456789ab.zip"),
        ("tool", "tool-0123456789ab"),
        ("a b.pkg", "a b-0123456789ab.pkg"),
    ],
)
def test_a_submissions_name_carries_the_digest_and_keeps_the_extension(archive: str, name: str) -> None:
    """The name is unique for the bytes, and the notary still sees what kind of file it is."""
    assert submission_name(archive, SHA256) == name


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"state": "sent"},
        {"state": "created", "submission": None},
        {"submission": "an-id-without-a-state"},
        {"archive": {}},
        {"archive": {"name": "x", "sha256": "f" * 64, "size": 7}},
        {"archive": {"name": "x", "sha256": SHA256, "size": float("inf")}},
        {"times": {"created": "noon"}},
        {"times": []},
        {"abandoned": [{}]},
        {"name": 7},
    ],
)
def test_a_record_that_makes_no_sense_stops_everything(tmp_path: Path, change: dict[str, Any]) -> None:
    """A record that cannot be trusted is an error with its place: without it the archive would be sent twice."""
    records = Records(host_with(), tmp_path)
    records.save(submission())
    path = records.path(SHA256)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(MalformedFile, match="not a submission's record") as refused:
        records.load(SHA256)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_a_record_that_is_no_json_object_stops_everything(tmp_path: Path, data: bytes) -> None:
    """A torn or foreign file is an error too, never the same as no record."""
    records = Records(host_with(), tmp_path)
    records.path(SHA256).write_bytes(data)
    with pytest.raises(MalformedFile):
        records.load(SHA256)


def test_the_leave_to_upload_is_closed_to_others(tmp_path: Path) -> None:
    """The file with the credentials has mode 0600, comes back as it was, and is redacted from then on."""
    host = host_with()
    records = Records(host, tmp_path)
    records.save_grant(SHA256, GRANT)
    path = tmp_path / f"{SHA256}.upload"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert records.load_grant(SHA256) == GRANT
    assert "tell-tale" not in host.redact(path.read_text())


def test_a_leave_to_upload_leaves_nothing_behind(tmp_path: Path) -> None:
    """Removing it also removes what a kill in the middle of writing it left."""
    records = Records(host_with(), tmp_path)
    records.save_grant(SHA256, GRANT)
    (tmp_path / f".{SHA256}.upload.4711.new").write_text("tell-tale")
    records.remove_grant(SHA256)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"{}", b'{"schema": 1}', b"\xff", b"null"])
def test_a_leave_that_cannot_be_read_is_as_good_as_ended(tmp_path: Path, data: bytes) -> None:
    """Credentials that are damaged cannot upload anything."""
    (tmp_path / f"{SHA256}.upload").write_bytes(data)
    assert Records(host_with(), tmp_path).load_grant(SHA256) is None


def test_abandoning_keeps_the_id_on_record() -> None:
    """An abandoned submission stays in the record with its reason, and the archive is as before it was submitted."""
    created = submission().reached(State.CREATED, NOW, id="the-first-id")
    left = created.without_id("the leave ended", NOW + timedelta(hours=12))
    assert (left.state, left.id) == (State.SUBMITTING, None)
    assert left.is_abandoned("the-first-id")
    assert [(one.id, one.reason) for one in left.abandoned] == [("the-first-id", "the leave ended")]


def test_all_records_are_found_and_logs_are_not_taken_for_records(tmp_path: Path) -> None:
    """The folder's records are listed; logs, leaves and strangers beside them are not."""
    records = Records(host_with(), tmp_path)
    one = records.save(submission())
    two = records.save(submission(sha256="f" * 64))
    records.save_log(SHA256, b"{}")
    records.save_grant(SHA256, GRANT)
    (tmp_path / "notes.json").write_text("{}")
    assert records.all() == (one, two)
