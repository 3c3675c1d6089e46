"""The release under each fault of a table: what it says, and that everything was uploaded once."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from builders.notary_desk import Desk
from builders.notary_faults import CASES, Case

from pipeline.errors import (
    CredentialsError,
    NotaryRejected,
    ReleaseError,
    ServiceUnavailable,
)
from pipeline.notary import APPLE_POLICY, NotaryStatus, notarize
from pipeline.rehearsal import Levers, Status


def test_the_table_has_its_faults() -> None:
    """Each fault of the table has its own name."""
    assert len({case.name for case in CASES}) == len(CASES) >= 50


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_ends_well_or_in_words(desk: Desk, case: Case) -> None:
    """With the fault the release completes, or stops with its kind of error and words; nothing is uploaded twice."""
    archive = desk.archive()
    case.arrange(desk.levers)
    if case.ends is None:
        (verdict,) = desk.notarize([archive])
        assert verdict.status is NotaryStatus.ACCEPTED
    else:
        with pytest.raises(case.ends) as stopped:
            desk.notarize([archive])
        assert type(stopped.value) is case.ends
        for word in case.words:
            assert word in str(stopped.value)
    assert desk.clock.slept >= case.sleeps
    if case.is_uploaded:
        desk.demand_once(archive)
        desk.demand_no_leave_left()
    else:
        assert desk.uploaded() == []


@pytest.mark.parametrize("case", [case for case in CASES if case.ends], ids=lambda case: case.name)
def test_a_run_that_stopped_is_resumed_when_the_fault_is_gone(desk: Desk, case: Case) -> None:
    """After every stop the next run completes with one upload, or, where there is a verdict, says it again."""
    archive = desk.archive()
    case.arrange(desk.levers)
    with pytest.raises(ReleaseError) as stopped:
        desk.notarize([archive])
    _mend(desk.levers)
    if case.is_over:
        with pytest.raises(type(stopped.value)) as again:
            desk.notarize([archive])
        assert str(again.value) == str(stopped.value)
    elif case.name == "log-about-other-bytes":
        return  # the services have written that log
    else:
        desk.notarize([archive])
    desk.demand_once(archive)
    desk.demand_no_leave_left()


def _mend(levers: Levers) -> None:
    """The services at their best again."""
    healthy = Levers(verdict=levers.verdict)
    for name in ("polls_in_progress", "status_text", "log_late", "log_early", "log_sha256", "upload_credentials_live"):
        setattr(levers, name, getattr(healthy, name))
    levers.cancel_faults()


@pytest.mark.parametrize("case", [case for case in CASES if case.ends is None], ids=lambda case: case.name)
def test_a_fault_of_one_archive_does_not_harm_another(desk: Desk, case: Case) -> None:
    """With three archives in flight, a fault that passes leaves three accepted submissions, each uploaded once."""
    archives = [desk.archive(f"{name}.zip", name.encode()) for name in ("one", "two", "three")]
    case.arrange(desk.levers)
    assert [verdict.archive for verdict in desk.notarize(archives)] == archives
    desk.demand_once(*archives)
    desk.demand_no_leave_left()


def test_the_words_of_a_refusal_are_for_a_person(desk: Desk) -> None:
    """An Invalid archive is told as a table: path, slice, message, what to do."""
    log = {
        "logFormatVersion": 1,
        "status": "Invalid",
        "statusSummary": "Archive contains critical validation errors",
        "statusCode": 4000,
        "archiveFilename": "tool-1.0.zip",
        "uploadDate": "2026-11-21T06:15:00Z",
        "ticketContents": None,
        "issues": [
            {
                "severity": "error",
                "code": None,
                "path": "tool-1.0.zip/tool",
                "message": "The signature does not include a secure timestamp.",
                "docUrl": None,
                "architecture": "arm64",
            }
        ],
    }
    archive = desk.archive()
    desk.levers.verdict = Status.INVALID
    with pytest.raises(NotaryRejected):
        desk.notarize([archive])
    (submission,) = desk.uploaded()
    document = log | {"jobId": submission.id, "sha256": archive.sha256}
    (desk.records / f"{archive.sha256}.log.json").write_text(json.dumps(document))
    with pytest.raises(NotaryRejected) as told:
        desk.notarize([archive])
    rows = str(told.value).splitlines()
    row = next(line for line in rows if "secure timestamp" in line)
    assert "arm64" in row
    assert "error" in row
    assert rows[rows.index(row) - 1].strip() == "tool"
    assert "codesign --timestamp" in rows[rows.index(row) + 1]


def test_a_clock_that_is_off_is_told(desk: Desk) -> None:
    """A machine whose clock is ten minutes ahead gets 401, and reads why."""
    desk.levers.clock_skew = timedelta(minutes=-10)
    with pytest.raises(CredentialsError, match="clock is 10 min ahead"):
        desk.notarize([desk.archive()])


def test_services_that_are_gone_are_told(desk: Desk) -> None:
    """With nobody listening the run ends as unreachable, and has sent nothing."""
    services = desk.rehearsal.services
    assert services.notary is not None
    gone = replace(services.notary, base_url="http://127.0.0.1:9/notary/v2")
    archive = desk.archive()
    assert services.credentials is not None
    with pytest.raises(ServiceUnavailable, match="no answer"):
        notarize(desk.host(), gone, services.credentials, [archive], desk.records, APPLE_POLICY, timedelta(minutes=30))
    desk.notarize([archive])
    desk.demand_once(archive)
