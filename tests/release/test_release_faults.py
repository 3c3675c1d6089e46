"""Faults of every service through a whole release: it completes, or stops with the right exit code and words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from builders.submissions import demand_once, submissions, uploaded
from builders.workshop import LEVERED, Workshop

_ALWAYS = "times=100000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    name: str
    levers: str
    """In the words of docs/rehearsal-services.md."""
    code: int = 0
    words: tuple[str, ...] = ()
    submitted: bool = True
    """Has the notary the archive whole when the release ends?"""
    stage: str = "notarize"
    """Where it stops."""
    again: int | None = 0
    """The exit code of that stage's next run, with the fault gone; None where the services' own files have it."""
    abandoned: int = 0


NOTARY = [
    # In the submission and the upload.
    Case(name="submit-answer-lost", levers="submit=cut-answer:0", abandoned=1),
    Case(
        name="submit-500-always", levers=f"submit=500,{_ALWAYS}", code=11, words=("500", "run again"), submitted=False
    ),
    Case(
        name="agreement", levers=f"submit=403-agreement,{_ALWAYS}", code=10, words=("Account Holder",), submitted=False
    ),
    Case(name="clock", levers="clock-skew=-600", code=10, words=("clock is 10 min ahead",), submitted=False),
    Case(name="upload-cut", levers="upload=cut-request:5000"),
    Case(name="upload-token-expired", levers="upload=s3-expired-token", abandoned=1),
    Case(
        name="upload-never-allowed",
        levers="upload-credentials-live=0",
        code=11,
        words=("as soon as it was given", "clock"),
        submitted=False,
        abandoned=3,
    ),
    # In the wait.
    Case(name="status-429", levers="polls-in-progress=2; status=429"),
    Case(
        name="status-429-for-10-minutes",
        levers=f"status=429-for-10-minutes,{_ALWAYS}",
        code=7,
        words=("hourly limit", "a pause of 10 min", "run the same command again"),
    ),
    Case(
        name="wait-ends",
        levers="polls-in-progress=100000",
        code=7,
        words=("a wait of 1 s", "In Progress", "uploaded 2", "run the same command again"),
    ),
    Case(name="status-undocumented", levers="status-text=On Hold", code=7, words=('"On Hold"', "not documented")),
    Case(name="status-401", levers=f"status=401,{_ALWAYS}", code=10, words=("issuer, key id and .p8",)),
    # The verdict and the log.
    Case(
        name="rejected",
        levers="verdict=rejected",
        code=6,
        words=("Team is not yet configured", "7000", "→ write to Developer Programs Support"),
        again=6,
    ),
    Case(name="invalid", levers="verdict=invalid", code=6, words=("critical validation errors", "4000"), again=6),
    Case(name="log-late", levers="log-late=3"),
    Case(name="log-never", levers="log-late=100000", code=7, words=("Accepted, but its log",)),
    Case(name="log-not-whole", levers="log-lacks=uploadDate", code=9, words=("not whole", "uploadDate"), again=None),
    Case(name="log-of-other-bytes", levers=f"log-sha256={'ab' * 32}", code=9, words=("abababab",), again=None),
    # The ticket.
    Case(name="ticket-late", levers="tickets-late=3"),
    Case(
        name="ticket-later",
        levers="tickets-late=50",
        stage="staple",
        code=8,
        words=("no ticket for CDHash", "run again later"),
    ),
    Case(
        name="ticket-revoked",
        levers="tickets-revoked=true",
        stage="staple",
        code=8,
        words=("universal/meshagent: the notarization ticket was revoked",),
    ),
    Case(name="ticket-throttled", levers="ticket=ticket-throttled"),
    Case(
        name="ticket-500-always",
        levers=f"ticket=500,{_ALWAYS}",
        stage="staple",
        code=11,
        words=("ticket service", "HTTP 500"),
    ),
]
TIMESTAMPS = [
    Case(name="passing", levers="timestamp=timestamp-503,times=2; timestamp=timestamp-other-nonce,at=3"),
    Case(name="gone", levers=f"timestamp=timestamp-503,{_ALWAYS}", code=11, words=("503", "asking again")),
    Case(name="cut", levers=f"timestamp=cut-answer:10,{_ALWAYS}", code=11, words=("no answer",)),
    Case(
        name="refused",
        levers=f"timestamp=timestamp-rejected,{_ALWAYS}",
        code=4,
        words=("the time-stamp authority refused",),
    ),
    Case(name="forged", levers=f"timestamp=timestamp-other-signer,{_ALWAYS}", code=4, words=("does not hold",)),
]


@pytest.mark.parametrize("case", NOTARY, ids=lambda case: case.name)
def test_a_release_meets_a_fault(archived: Workshop, tmp_path: Path, case: Case) -> None:
    """Exit code and words are the fault's; one submission was uploaded, the abandoned are on record; it is resumed."""
    workshop = archived.copy(tmp_path / "a checkout")
    ran = workshop.invoke("release", lever=LEVERED, environment={"LEVERS": case.levers})
    assert ran.code == case.code, ran.err
    assert [one for one in case.words if one not in ran.err] == []
    assert len(uploaded(workshop.outputs)) == case.submitted
    assert (workshop.outputs / "release.json").exists() == (ran.code == 0)
    if case.code and case.again is not None:
        again = workshop.invoke(case.stage)
        assert again.code == case.again, again.err
    demand_once(workshop.outputs)
    assert len(submissions(workshop.outputs)) == 1 + case.abandoned


def test_an_unlisted_slice_fails_the_release(archived: Workshop, tmp_path: Path) -> None:
    """Accepted without a slice that was signed: exit 9, with its file, its architecture and its CDHash."""
    workshop = archived.copy(tmp_path / "a checkout")
    record = json.loads((workshop.outputs / "records" / "universal.json").read_text())
    slices = {
        one["arch"]: one["cdhash"] for one in record["artifacts"][0]["artifact"]["slices"] if not one.get("debug")
    }
    ran = workshop.invoke("release", lever=LEVERED, environment={"LEVERS": f"log-leaves-out={slices['arm64']}"})
    assert ran.code == 9, ran.err
    assert f"meshagent (arm64) {slices['arm64']}" in ran.err
    assert "x86_64" not in ran.err
    assert not (workshop.outputs / "release.json").exists()
    demand_once(workshop.outputs)


@pytest.mark.parametrize("case", TIMESTAMPS, ids=lambda case: case.name)
def test_a_release_meets_a_time_stamp_authority_that_fails(workshop: Workshop, case: Case) -> None:
    """Passing trouble is told and waited out; else the release stops before anything is signed or submitted."""
    ran = workshop.invoke("release", lever=LEVERED, environment={"LEVERS": case.levers})
    assert ran.code == case.code, ran.err
    assert [one for one in case.words if one not in ran.err] == []
    if case.code:
        assert not (workshop.outputs / "universal").exists()
        assert submissions(workshop.outputs) == []
    else:
        assert "asking again" in ran.err
        demand_once(workshop.outputs)
