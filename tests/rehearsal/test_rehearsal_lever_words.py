"""Levers and faults in words, and the page that lists them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigurationError
from pipeline.rehearsal import CutAnswer, CutRequest, Endpoint, Levers, Status, TimestampFault, answers, lever_words

PAGE = (Path(__file__).parents[2] / "docs" / "rehearsal-services.md").read_text("utf-8")


def names(heading: str, column: str) -> set[str]:
    """What a table of the page names in its first column."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    table = section.partition(f"| {column} |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_the_page_lists_every_lever_and_every_fault() -> None:
    """docs/rehearsal-services.md names what there is, and nothing else."""
    assert names("Levers", "lever") == set(lever_words.LEVERS)
    assert names("Faults", "endpoint") == set(lever_words.ENDPOINTS)
    cuts = {f"{name}:N" for name in lever_words.CUTS}
    assert names("Faults", "fault") == {*lever_words.ANSWERS, *lever_words.TIMESTAMP_FAULTS, *cuts}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("polls-in-progress=20", {"polls_in_progress": 20}),
        ("verdict=rejected", {"verdict": Status.REJECTED}),
        ("status-text=On Hold", {"status_text": "On Hold"}),
        ("log-early=true", {"log_early": True}),
        ("log-early", {"log_early": True}),
        ("log-sha256=abc", {"log_sha256": "abc"}),
        ("log-lacks=issues,sha256", {"log_lacks": frozenset({"issues", "sha256"})}),
        ("tickets-late=3", {"tickets_late": 3}),
        ("tickets-revoked=false", {"tickets_revoked": False}),
        ("upload-credentials-live=0", {"upload_credentials_live": timedelta(0)}),
        ("clock-skew=-600s", {"clock_skew": timedelta(minutes=-10)}),
    ],
)
def test_a_lever_is_pulled_by_its_name(text: str, expected: dict[str, Any]) -> None:
    """A lever's words set that field, in its own kind, and no other."""
    levers = Levers()
    lever_words.pull(levers, text)
    assert levers == replace(Levers(), **expected)


def test_a_fault_meets_the_requests_that_it_names() -> None:
    """At which request, how often, and what; the first alone where nothing is said."""
    levers = Levers()
    for text in (
        "status=500,at=2,times=2",
        "upload=cut-request:60",
        "submit=cut-answer:0",
        "timestamp=timestamp-no-nonce",
    ):
        lever_words.schedule(levers, text)
    assert [levers.arrived(Endpoint.STATUS) for _ in range(4)] == [
        None,
        answers.INTERNAL_ERROR,
        answers.INTERNAL_ERROR,
        None,
    ]
    assert [levers.arrived(Endpoint.UPLOAD) for _ in range(2)] == [CutRequest(at=60), None]
    assert levers.arrived(Endpoint.SUBMIT) == CutAnswer(at=0)
    assert levers.arrived(Endpoint.TIMESTAMP) is TimestampFault.NO_NONCE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ticket-late=3", "did you mean tickets-late"),
        ("speed=3", "known: polls-in-progress, verdict"),
        ("tickets-late", "nothing where a number is wanted"),
        ("tickets-late=-1", "a number is wanted"),
        ("verdict=perhaps", "known: in-progress, accepted"),
        ("log-early=maybe", "known: true, false"),
        ("clock-skew=10m", "seconds"),
    ],
)
def test_a_lever_that_is_none_is_refused(text: str, words: str) -> None:
    """An unknown name, or a value of another kind, is told with what would be right."""
    with pytest.raises(ConfigurationError) as refused:
        lever_words.pull(Levers(), text)
    assert words in str(refused.value)
    assert text in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("state=500", "did you mean status"),
        ("status=501", "did you mean 50"),
        ("status", "nothing is not known"),
        ("status=cut-answer", "nothing where a number is wanted"),
        ("status=500,after=3", "at=N and times=N"),
        ("status=500,at=x", "a number is wanted"),
    ],
)
def test_a_fault_that_is_none_is_refused(text: str, words: str) -> None:
    """An unknown endpoint, fault or number is told with what would be right."""
    with pytest.raises(ConfigurationError) as refused:
        lever_words.schedule(Levers(), text)
    assert words in str(refused.value)
