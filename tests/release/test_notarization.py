"""Notarization as a person meets it: several archives, waits that end, refusals, what is pending, what is forgotten."""

from __future__ import annotations

import json
import os
import plistlib
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from builders.submissions import demand_once, records, submissions, uploaded
from builders.workshop import LEVERED, ROOT, Workshop

_FOR_EVER = {"LEVERS": "polls-in-progress=100000"}


@pytest.fixture
def waiting(archived: Workshop, tmp_path: Path) -> Workshop:
    """A release that is done up to its archive, to be changed."""
    return archived.copy(tmp_path / "a waiting checkout")


def each(workshop: Workshop, mode: str) -> None:
    workshop.configure(more=f'\n[notary]\nwait = "1s"\narchives = "each"\nmode = "{mode}"\n')


def test_side_by_side_and_in_sequence_end_in_the_same_summary(waiting: Workshop, tmp_path: Path) -> None:
    """An archive each for tool and app: in flight together or one after the other, with one and the same summary."""
    told, summaries = {}, {}
    for mode in ("parallel", "sequential"):
        workshop = waiting.copy(tmp_path / mode)
        each(workshop, mode)
        ran = workshop.invoke("release", lever=LEVERED, environment={"LEVERS": "polls-in-progress=2"})
        assert ran.code == 0, ran.err
        demand_once(workshop.outputs, archives=2)
        told[mode] = re.findall(r"^notary: .*\b(is submission|Accepted)\b", ran.err, re.MULTILINE)
        summaries[mode] = ran.out.replace(str(workshop.folder), "")
        artifacts = {one["path"]: one for one in workshop.manifest()["artifacts"]}
        archives = {
            path: artifacts[path]["notarization"]["archive"].rpartition("/")[2].partition("-")[0]
            for path in ("universal/meshagent", "universal/meshagent.app", "arm64/meshagent")
        }
        assert archives == {
            "universal/meshagent": "meshagent",
            "universal/meshagent.app": "meshagent.app",
            "arm64/meshagent": "meshagent",
        }
    assert told["parallel"] == ["is submission"] * 2 + ["Accepted"] * 2
    assert told["sequential"] == ["is submission", "Accepted"] * 2
    assert summaries["parallel"] == summaries["sequential"]
    assert summaries["parallel"].count("accepted") == 6


@pytest.mark.parametrize("mode", ["parallel", "sequential"])
def test_a_wait_that_ends_is_resumed(waiting: Workshop, mode: str) -> None:
    """Exit 7 names every archive, what is pending and since when; the next run sends only what was not sent."""
    each(waiting, mode)
    ran = waiting.invoke("release", lever=LEVERED, environment=_FOR_EVER)
    assert ran.code == 7, ran.err
    sent = uploaded(waiting.outputs)
    assert len(sent) == {"parallel": 2, "sequential": 1}[mode]
    for one in sent:
        assert re.search(rf"submission {one.id}: In Progress, uploaded 20\d\d-\d\d-\d\d \d\d:\d\d UTC", ran.err)
    assert ("not sent yet" in ran.err) == (mode == "sequential")
    again = waiting.invoke("release")
    assert again.code == 0, again.err
    assert again.err.count("is submission") == 2 - len(sent)
    demand_once(waiting.outputs, archives=2)


def test_status_tells_what_is_pending_and_since_when(waiting: Workshop) -> None:
    """`invoke status` names id, state, since when, and what was abandoned; `--json` has the whole record."""
    waiting.invoke("notarize", lever=LEVERED, environment={"LEVERS": f"submit=cut-answer:0;{_FOR_EVER['LEVERS']}"})
    status = waiting.invoke("status")
    assert status.code == 0, status.err
    (pending,) = uploaded(waiting.outputs)
    (left,) = [one for one in submissions(waiting.outputs) if not one.is_uploaded]
    told = (
        rf"submission {pending.id}: pending, uploaded since 20\d\d-\d\d-\d\d \d\d:\d\d UTC; the notary says In Progress"
    )
    assert re.search(told, status.out)
    assert f"submission {left.id}: abandoned: the answer that gave leave to upload was lost" in status.out
    assert "notarize   would run" in status.out
    (record,) = json.loads(waiting.invoke("status", "--json").out)["submissions"]
    assert record == records(waiting.outputs)[0]


def test_what_is_forgotten_is_named(waiting: Workshop) -> None:
    """`clean` keeps submissions; with `--forget` it names every id, the abandoned too, and drops them."""
    waiting.invoke("notarize", lever=LEVERED, environment={"LEVERS": f"submit=cut-answer:0;{_FOR_EVER['LEVERS']}"})
    ids = [one.id for one in submissions(waiting.outputs)]
    assert len(ids) == 2
    kept = waiting.invoke("clean")
    assert (kept.code, "forg" in kept.err, len(submissions(waiting.outputs))) == (0, False, 2)
    lines = [line for line in waiting.invoke("status").out.splitlines() if ": submission " in line]
    would = waiting.invoke("--dry", "clean", "--forget")
    assert [f"would forget: {line}" in would.err for line in lines] == [True, True]
    forgotten = waiting.invoke("clean", "--forget")
    assert forgotten.code == 0
    assert [f"forgotten: {line}" in forgotten.err for line in lines] == [True, True]
    assert [one in forgotten.err for one in ids] == [True, True]
    assert sorted(path.name for path in waiting.outputs.iterdir()) == [".lock", "audit.jsonl"]
    assert "nothing to remove" in waiting.invoke("clean", "--forget").err


def test_what_has_no_id_is_said_to_have_none(waiting: Workshop) -> None:
    """A submission whose POST never got through, and a record that cannot be read, are forgotten in words too."""
    refused = waiting.invoke("notarize", lever=LEVERED, environment={"LEVERS": "submit=500,times=100000"})
    assert refused.code == 11
    assert ".zip: no id yet: pending, submitting since 20" in waiting.invoke("status").out
    broken = waiting.outputs / "notary" / f"{'ab' * 32}.json"
    broken.write_text("{")
    assert waiting.invoke("status").code == 2
    forgotten = waiting.invoke("clean", "--forget")
    assert forgotten.code == 0, forgotten.err
    assert ".zip: no id yet" in forgotten.err
    assert f"forgotten: what {broken.name} was about" in forgotten.err
    assert not broken.exists()


def test_an_invalid_archive_is_told_as_a_table_and_mended(workshop: Workshop) -> None:
    """Exit 6 with path, slices, message and remedy; said again without sending; another archive after the mending."""
    entitlements = workshop.folder / "entitlements.plist"
    entitlements.write_bytes(plistlib.dumps({"com.apple.security.get-task-allow": True}))
    workshop.configure(more='\n[sign]\nentitlements = "entitlements.plist"\n')
    ran = workshop.invoke("release")
    assert ran.code == 6, ran.err
    table = ran.err[ran.err.index("error: ") :].splitlines()
    assert "Invalid: Archive contains critical validation errors (4000)" in table[0]
    rows = [number for number, line in enumerate(table) if "com.apple.security.get-task-allow entitlement" in line]
    assert {table[number - 1].strip() for number in rows} == {"meshagent", "meshagent.app/Contents/MacOS/meshagent"}
    for number in rows:
        assert table[number].split()[:3] == ["error", "x86_64,", "arm64"]
        assert "→" in table[number + 1]
    assert "mend what the log names" in table[-1]
    again = workshop.invoke("notarize")
    assert again.code == 6
    assert again.err[again.err.index("error: ") :].splitlines() == table
    demand_once(workshop.outputs)
    entitlements.write_bytes(plistlib.dumps({"com.apple.security.network.client": True}))
    workshop.configure(more='\n[sign]\nentitlements = "entitlements.plist"\n')
    mended = workshop.invoke("release")
    assert mended.code == 0, mended.err
    demand_once(workshop.outputs, archives=2)
    assert sorted(record["state"] for record in records(workshop.outputs)) == ["accepted", "invalid"]


def test_an_interrupt_in_the_wait_says_how_to_resume(waiting: Workshop) -> None:
    """Ctrl-C while the notary is at work is exit 130 with the submission's id; the next run only waits."""
    waiting.configure(more='\n[notary]\nwait = "10m"\n')
    process = subprocess.Popen(
        [sys.executable, str(LEVERED), "release", "--config", str(waiting.configuration)],
        cwd=ROOT,
        env=os.environ | _FOR_EVER,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        # A shell that runs the tests in the background has them ignore Ctrl-C, and children inherit that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if line.endswith(": In Progress\n"):
            process.send_signal(signal.SIGINT)
    assert process.wait() == 130, said
    (pending,) = uploaded(waiting.outputs)
    end = said[said.index("error: ") :]
    assert pending.id in end
    assert "run the same command again" in end
    again = waiting.invoke("notarize")
    assert again.code == 0, again.err
    assert "is submission" not in again.err
    demand_once(waiting.outputs)


def test_another_job_with_the_records_resumes(waiting: Workshop, tmp_path: Path) -> None:
    """A job that has checkout and outputs, on another machine, asks for what this one sent, and sends nothing."""
    assert waiting.invoke("release", lever=LEVERED, environment=_FOR_EVER).code == 7
    other = waiting.copy(tmp_path / "another machine")
    shutil.rmtree(waiting.folder)
    ran = other.invoke("release")
    assert ran.code == 0, ran.err
    assert "taking up" in ran.err
    demand_once(other.outputs)
