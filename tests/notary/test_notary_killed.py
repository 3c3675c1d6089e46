"""SIGKILL of a real process between any two host operations of a submission's life."""

from __future__ import annotations

import hashlib
import multiprocessing
import shutil
import signal
import zipfile
from pathlib import Path

import pytest
from builders.submissions import records, submissions
from fakes import notarizing

from pipeline.notary import Archive


@pytest.fixture(scope="module")
def process() -> multiprocessing.context.ForkServerContext:
    """Each process is forked from one that has the heavy modules and nothing else: no thread, no socket."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pipeline.rehearsal", "requests", "jwt", "tqdm", "botocore.auth"])
    return context


def archive_of(folder: Path, number: int) -> Archive:
    path = folder / f"tool-{number}.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr(zipfile.ZipInfo("readme.txt"), b"%d" % number)
    data = path.read_bytes()
    return Archive(path=path, sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def test_a_process_killed_between_any_two_operations_is_resumed(
    process: multiprocessing.context.ForkServerContext, rehearsal_keys: Path, tmp_path: Path
) -> None:
    """Client's and services' operations alike: the next process completes, each archive is uploaded once."""
    shutil.copytree(rehearsal_keys, tmp_path / "rehearsal")

    def ended(number: int, kill_at: int) -> int | None:
        one = process.Process(target=notarizing.run, args=(tmp_path, archive_of(tmp_path, number), kill_at, trace))
        one.start()
        one.join()
        return one.exitcode

    trace = tmp_path / "trace.txt"
    assert ended(0, 0) == 0
    life = trace.read_text().splitlines()
    for step in ("http POST", "http PUT", "http GET", f"write {tmp_path}/notary", f"write {tmp_path}/rehearsal/logs"):
        assert [line for line in life if line.startswith(step)]
    assert len(life) >= 25
    for number in range(1, len(life) + 1):
        assert ended(number, number) == -signal.SIGKILL
        assert ended(number, 0) == 0
    whole = [one for one in submissions(tmp_path) if one.is_uploaded]
    assert [one.uploads for one in whole] == [1] * (len(life) + 1)
    assert len({one.sha256 for one in whole}) == len(whole)
    abandoned = [left["submission"] for record in records(tmp_path) for left in record["abandoned"]]
    assert sorted(abandoned) == sorted(one.id for one in submissions(tmp_path) if not one.is_uploaded)
    assert {record["state"] for record in records(tmp_path)} == {"accepted"}
    assert [path.name for path in (tmp_path / "notary").iterdir() if ".upload" in path.name] == []
