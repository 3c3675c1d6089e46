"""Uploads in parts: archives of more than two parts, whole and with faults. A part is 5 MB here, the least S3 takes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from builders.notary_desk import Desk, Killed, killing

from pipeline.errors import ReleaseError
from pipeline.notary import APPLE, Archive
from pipeline.rehearsal import Answer, CutAnswer, CutRequest, Endpoint, Levers, Submission, answers
from pipeline.rehearsal.levers import Fault

PART = 5 * 1024 * 1024
ALWAYS = 100_000
START, ONE, COMPLETE = Endpoint.UPLOAD_START, Endpoint.UPLOAD_PART, Endpoint.UPLOAD_COMPLETE


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """An archive of two parts and a byte, sparse on disk but for a mark in each part."""
    path = tmp_path_factory.mktemp("large") / "large-1.0.zip"
    size = 2 * PART + 1
    with path.open("wb") as stream:
        for number in range(3):
            stream.seek(number * PART)
            stream.write(b"%d" % number)
        stream.truncate(size)
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Archive(path=path, sha256=digest, size=size)


def stored(desk: Desk, submission: Submission) -> Path:
    return desk.rehearsal.state.object_path(submission.bucket, submission.object)


def demand_whole(desk: Desk, archive: Archive) -> None:
    desk.demand_once(archive)
    (submission,) = desk.uploaded()
    with stored(desk, submission).open("rb") as stream:
        assert hashlib.file_digest(stream, "sha256").hexdigest() == archive.sha256


def test_a_large_archive_goes_in_parts_and_arrives_whole(desk: Desk, large: Archive) -> None:
    """Three parts are put, completed once, and make the archive."""
    desk.notarize([large], part=PART)
    assert desk.levers.seen(ONE) == 3
    assert desk.levers.seen(COMPLETE) == 1
    assert desk.levers.seen(Endpoint.UPLOAD) == 0
    demand_whole(desk, large)


def test_apple_gets_parts_above_64_mb() -> None:
    """At Apple two parts are 64 MB."""
    assert 2 * APPLE.part == 64 * 1024 * 1024


def test_an_archive_of_just_two_parts_goes_whole(desk: Desk, tmp_path: Path) -> None:
    """Parts are for what is larger than two."""
    path = tmp_path / "just.zip"
    with path.open("wb") as stream:
        stream.truncate(2 * PART)
    with path.open("rb") as stream:
        archive = Archive(path=path, sha256=hashlib.file_digest(stream, "sha256").hexdigest(), size=2 * PART)
    desk.notarize([archive], part=PART)
    assert desk.levers.seen(Endpoint.UPLOAD) == 1
    demand_whole(desk, archive)


def once(endpoint: Endpoint, fault: Fault, at: int = 1, times: int = 1) -> Callable[[Levers], None]:
    return lambda levers: levers.schedule(endpoint, fault, at=at, times=times)


@pytest.mark.parametrize(
    "arrange",
    [
        once(START, answers.S3_INTERNAL_ERROR),
        once(START, CutAnswer(at=0)),
        once(START, Answer(status=200, body=b"<html>")),
        once(ONE, CutRequest(at=1000), at=2),
        once(ONE, CutAnswer(at=0), at=3),
        once(ONE, answers.S3_SLOW_DOWN, times=3),
        once(ONE, answers.CONTENT_HASH_MISMATCH, at=2),
        once(ONE, Answer(status=200), at=2),
        once(ONE, answers.EXPIRED_TOKEN, at=2),
        once(COMPLETE, answers.S3_INTERNAL_ERROR),
        once(COMPLETE, CutAnswer(at=0)),
        # S3 can begin a 200 and then tell an error in its body.
        once(COMPLETE, Answer(status=200, body=answers.S3_INTERNAL_ERROR.body)),
        once(COMPLETE, answers.EXPIRED_TOKEN),
    ],
    ids=[
        "start-500",
        "start-lost",
        "start-html",
        "part-cut",
        "part-answer-lost",
        "part-503",
        "part-damaged",
        "part-without-a-tag",
        "token-expired-in-a-part",
        "complete-500",
        "complete-answer-lost",
        "complete-200-with-an-error",
        "token-expired-at-the-end",
    ],
)
def test_a_fault_in_parts_ends_well(desk: Desk, large: Archive, arrange: Callable[[Levers], None]) -> None:
    """With each fault of an upload in parts the release completes, and the archive was completed once."""
    arrange(desk.levers)
    desk.notarize([large], part=PART)
    demand_whole(desk, large)


def test_a_part_that_is_cut_costs_that_part_alone(desk: Desk, large: Archive) -> None:
    """A cut in the second part repeats the second part, not the first."""
    desk.levers.schedule(ONE, CutRequest(at=1000), at=2)
    desk.notarize([large], part=PART)
    assert desk.levers.seen(ONE) == 4
    assert desk.levers.seen(START) == 1


def test_a_kill_in_an_upload_in_parts_is_resumed(desk: Desk, large: Archive) -> None:
    """Killed before each request of the upload in turn, the last run completes it, once."""
    for number in range(4, 14):
        try:
            desk.notarize([large], part=PART, observe=killing(number))
            break
        except Killed:
            continue
    assert desk.levers.seen(ONE) > 6
    demand_whole(desk, large)
    desk.demand_no_leave_left()


def test_a_store_that_takes_no_parts_is_told(desk: Desk, large: Archive) -> None:
    """A refusal that stays ends the run in the store's words, and nothing is uploaded."""
    desk.levers.schedule(START, answers.ACCESS_DENIED, times=ALWAYS)
    with pytest.raises(ReleaseError, match="AccessDenied"):
        desk.notarize([large], part=PART)
    assert desk.uploaded() == []
