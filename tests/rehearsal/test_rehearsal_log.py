"""Logs of a rehearsal held against real ones: keys and their order, kinds of values, words, links."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import edits
from builders.mach import image
from builders.notary_user import NotaryUser
from builders.zips import zip_of

from pipeline.rehearsal import Rehearsal, Status

REAL = Path(__file__).parents[1] / "vectors" / "notary-logs"
WHOLE = ("01", "04", "07", "08", "13", "14", "15", "16")
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
"""Without milliseconds in older logs."""


def real(number: str) -> dict[str, Any]:
    return dict(json.loads((REAL / f"{number}.json").read_text()))


def real_issues() -> Iterator[dict[str, Any]]:
    for path in sorted(REAL.glob("*.json")):
        yield from json.loads(path.read_text()).get("issues") or []


def kinds(value: Any) -> Any:
    """The shape of a document: keys in their order, and the kinds of what they hold; of a list, all kinds in it."""
    if isinstance(value, dict):
        return {key: kinds(one) for key, one in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(kinds(one)) for one in value})
    return type(value).__name__


def same_shape(ours: dict[str, Any], number: str) -> None:
    theirs = real(number)
    assert list(ours) == list(theirs)
    assert kinds(ours) == kinds(theirs)
    for name in ("logFormatVersion", "status", "statusSummary", "statusCode"):
        assert ours[name] == theirs[name]
    for date in (ours["uploadDate"], theirs["uploadDate"]):
        assert DATE.fullmatch(date)


def test_accepted(user: NotaryUser, universal: bytes) -> None:
    """A tool that is accepted: like the real logs of a tool and of an app."""
    log = user.judge(zip_of({"tool": universal}))
    for number in ("13", "15", "16"):
        same_shape(log, number)


def test_invalid(user: NotaryUser) -> None:
    """An unsigned tool: the three issues of the real log, in its order and its words."""
    log = user.judge(zip_of({"foo": image(arch="x86_64", minimum="10.13")}), "gon.zip")
    theirs = real("14")
    assert kinds(log["ticketContents"]) == kinds(theirs["ticketContents"])
    assert [issue["message"] for issue in log["issues"]] == [issue["message"] for issue in theirs["issues"]]
    assert [issue["path"] for issue in log["issues"]] == [issue["path"] for issue in theirs["issues"]]
    assert [list(issue) for issue in log["issues"]] == [list(issue) for issue in theirs["issues"]]
    same_shape({**log, "issues": theirs["issues"]}, "14")


def test_rejected(user: NotaryUser, rehearsal: Rehearsal, thin: bytes) -> None:
    """A team that may not notarize: no issues, and the summary of the real log."""
    rehearsal.levers.verdict = Status.REJECTED
    same_shape(user.judge(zip_of({"tool": thin})), "07")


def test_a_signature_that_is_invalid(user: NotaryUser, arm: bytes) -> None:
    """One issue with its link, as in the newest real log of that kind."""
    log = user.judge(zip_of({"tool": edits.flip(arm, 0x1000)}))
    same_shape(log, "01")
    assert log["issues"][0]["docUrl"] == real("01")["issues"][0]["docUrl"]
    assert log["issues"][0]["message"] == real("01")["issues"][0]["message"]


def test_messages_and_links_are_those_of_real_logs(user: NotaryUser, arm: bytes) -> None:
    """Every message that real logs have too has the link that they have, where they have one."""
    log = user.judge(zip_of(edits.spoilt_in_every_way(arm)))
    ours = {issue["message"]: issue["docUrl"] for issue in log["issues"]}
    links: dict[str, set[str]] = {}
    for issue in real_issues():
        if issue.get("docUrl"):
            links.setdefault(issue["message"], set()).add(issue["docUrl"])
    compared = links.keys() & ours.keys()
    assert len(compared) >= 3
    for message in compared:
        assert links[message] == {ours[message]}
    known = {issue["message"] for issue in real_issues()}
    assert len(known & ours.keys()) >= 5


@pytest.mark.parametrize("number", WHOLE)
def test_the_real_logs_have_the_keys_that_ours_have(user: NotaryUser, thin: bytes, number: str) -> None:
    """Ten keys, in one order, over eight whole logs of 2019 to 2026."""
    assert list(real(number)) == list(user.judge(zip_of({"tool": thin})))
