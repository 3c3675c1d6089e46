"""The audit log: a chain in which every change, cut and move shows, and which a crash cannot break."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.errors import HostRefused, ReleaseError, VerificationError
from pipeline.host import Files
from pipeline.journal import BEGINNING, Journal, verify_chain
from pipeline.redact import Redactor, Secret


class SteppingClock:
    """Goes one second further each time it is asked."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 21, tzinfo=UTC)

    def now(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now

    def monotonic(self) -> timedelta:
        return timedelta()

    def sleep(self, duration: timedelta) -> None:
        self._now += duration


def journal(path: Path, *, run: str = "one", redact: Redactor | None = None, files: Files | None = None) -> Journal:
    return Journal(files or Files(), SteppingClock(), path, run=run, redact=redact or Redactor())


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Five lines of one run."""
    path = tmp_path / "audit.jsonl"
    writer = journal(path)
    writer.record("began", stage="build", why="not done yet")
    writer.record("built", stage="build", artifact="unsigned/arm64/tool", sha256="00", size=7)
    writer.record("odd", text='"quotes" \\ \n line, ü, \ud800', number=-0.0, nested={"a": [None, True, 1.5]})
    writer.record("done", stage="build")
    writer.record("finished", manifest="ab" * 32)
    return path


def test_a_line_is_what_it_says(log: Path) -> None:
    """Every line is one JSON object of sorted keys; its hash can be computed with nothing but json and hashlib."""
    previous = BEGINNING
    for number, line in enumerate(log.read_bytes().splitlines(), 1):
        document = json.loads(line)
        digest = document.pop("hash")
        plain = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        assert hashlib.sha256(plain).hexdigest() == digest
        assert (document["previous"], document["seq"], document["schema"]) == (previous, number, 2)
        assert document["time"] == f"2026-11-21T00:00:0{number}.000000Z"
        previous = digest
    entries = verify_chain(log.read_bytes())
    assert [entry.event for entry in entries] == ["began", "built", "odd", "done", "finished"]
    assert entries[1].artifact == "unsigned/arm64/tool"
    assert entries[1].facts == {"sha256": "00", "size": 7}
    assert entries[2].facts["nested"] == {"a": [None, True, 1.5]}
    assert entries[-1].hash == previous


def test_an_empty_log_holds() -> None:
    """No line is a chain of none."""
    assert verify_chain(b"") == ()


def test_another_run_goes_on_where_the_first_ended(log: Path) -> None:
    """The chain runs over all runs, and numbers go on."""
    before = verify_chain(log.read_bytes())
    writer = journal(log, run="two")
    assert writer.head == before[-1].hash
    head = writer.record("began")
    entries = verify_chain(log.read_bytes())
    assert entries[:-1] == before
    assert (entries[-1].run, entries[-1].seq, entries[-1].hash) == ("two", 6, head)
    assert writer.head == head


def test_every_changed_byte_shows(log: Path) -> None:
    """Whichever byte of whichever line is changed, the log is refused, and the line is named."""
    data = log.read_bytes()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        with pytest.raises(VerificationError, match=r"audit\.jsonl line"):
            verify_chain(bytes(changed))


@pytest.mark.parametrize("line", range(1, 6))
def test_a_line_rewritten_with_its_own_hash_shows_in_the_next(log: Path, line: int) -> None:
    """Whoever changes a line and computes its hash anew is found at the line after it, or by who kept the last hash."""
    lines = log.read_bytes().splitlines()
    document = json.loads(lines[line - 1])
    del document["hash"]
    document["event"] = "harmless"
    digest = hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    lines[line - 1] = json.dumps(document | {"hash": digest}, sort_keys=True, separators=(",", ":")).encode()
    forged = b"\n".join(lines) + b"\n"
    if line == 5:
        assert verify_chain(forged)[-1].hash != verify_chain(log.read_bytes())[-1].hash
    else:
        with pytest.raises(VerificationError, match=rf"line {line + 1}: a line before it is missing"):
            verify_chain(forged)


def test_a_line_in_another_form_shows(log: Path) -> None:
    """The same line with other blanks, keys in another order or escapes of its own is not the line that was written."""
    first, rest = log.read_bytes().split(b"\n", 1)
    document = json.loads(first)
    backwards = dict(sorted(document.items(), reverse=True))
    forms = [json.dumps(document), json.dumps(backwards, separators=(",", ":")), first.decode().replace("b", "\\u0062")]
    forms += [first.decode() + " ", first.decode()[:-1] + ',"seq":1}']
    for form in forms:
        assert json.loads(form) == document
        with pytest.raises(VerificationError, match="line 1: was changed"):
            verify_chain(form.encode() + b"\n" + rest)


@pytest.mark.parametrize("line", range(1, 5))
def test_a_line_cut_out_shows(log: Path, line: int) -> None:
    """A line that is missing inside the chain is noticed where it was."""
    lines = log.read_bytes().splitlines(keepends=True)
    del lines[line - 1]
    with pytest.raises(VerificationError, match=rf"line {line}: a line before it is missing"):
        verify_chain(b"".join(lines))


@pytest.mark.parametrize("line", range(1, 5))
def test_two_lines_that_changed_places_show(log: Path, line: int) -> None:
    """Order is part of the chain."""
    lines = log.read_bytes().splitlines(keepends=True)
    lines[line - 1], lines[line] = lines[line], lines[line - 1]
    with pytest.raises(VerificationError, match=rf"line {line}: a line before it"):
        verify_chain(b"".join(lines))


@pytest.mark.parametrize(
    "extra", [b"\n", b"{}\n", b"[]\n", b"x\n", b"\xff\n", b"[" * 50_000 + b"\n", b"1" * 5000 + b"\n"]
)
def test_a_line_that_is_none_of_the_log_shows(log: Path, extra: bytes) -> None:
    """What is put in, in front, between or behind, is refused at its line."""
    lines = log.read_bytes().splitlines(keepends=True)
    for position in range(len(lines) + 1):
        with pytest.raises(VerificationError, match=rf"line {position + 1}: "):
            verify_chain(b"".join([*lines[:position], extra, *lines[position:]]))


def test_a_doubled_line_shows(log: Path) -> None:
    """The same line twice is once too often."""
    lines = log.read_bytes().splitlines(keepends=True)
    with pytest.raises(VerificationError, match="line 6"):
        verify_chain(b"".join([*lines, lines[-1]]))


def test_a_torn_end_is_refused_and_the_next_run_seals_it(log: Path) -> None:
    """Wherever a crash cut the last line, reading refuses the log, and the next writer accounts for every byte."""
    data = log.read_bytes()
    start = data.rindex(b"\n", 0, -1) + 1
    for end in range(start, len(data)):
        log.write_bytes(data[:end])
        if end == start:
            assert len(verify_chain(data[:end])) == 4
        else:
            with pytest.raises(VerificationError, match="line 5: the last line is torn"):
                verify_chain(data[:end])
        journal(log, run="two").record("began")
        after = log.read_bytes()
        assert after.startswith(data[:end])
        events = [entry.event for entry in verify_chain(after)][4:]
        if end == start:
            assert events == ["began"]
        elif end == len(data) - 1:
            assert events == ["finished", "began"]
        else:
            assert events == ["torn", "began"]
            assert base64.b64decode(verify_chain(after)[4].facts["bytes"]) == data[start:end]


def test_a_crash_while_sealing_is_sealed_too(log: Path) -> None:
    """A crash in the middle of the line that seals a crash leaves a log that the next run can still account for."""
    data = log.read_bytes()
    torn = data[:-30]
    log.write_bytes(torn)
    journal(log).record("began")
    sealed = log.read_bytes()
    ends = sealed.index(b"\n", len(torn) + 1) + 1
    for end in range(len(torn), ends):
        log.write_bytes(sealed[:end])
        journal(log, run="three").record("again")
        after = log.read_bytes()
        assert after.startswith(sealed[:end])
        entries = verify_chain(after)
        assert [entry.event for entry in entries][4:] == ["torn", "again"]
    assert len(entries) == 6


def test_a_sealed_crash_stays_sealed(log: Path) -> None:
    """The bytes of a crash, once accounted for, can no more be changed than any other line."""
    log.write_bytes(log.read_bytes()[:-30])
    journal(log).record("began")
    data = log.read_bytes()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        with pytest.raises(VerificationError):
            verify_chain(bytes(changed))


def test_a_changed_last_line_is_not_taken_for_a_crash(log: Path) -> None:
    """A last line that was edited stops the next run; only what a crash leaves is sealed."""
    log.write_bytes(log.read_bytes().replace(b'"ab', b'"cd'))
    with pytest.raises(VerificationError, match="line 5: was changed"):
        journal(log, run="two")


def test_a_log_that_is_all_torn_begins_anew(tmp_path: Path) -> None:
    """A crash in the very first line leaves a log whose first whole line tells of it."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b'{"event":"be')
    journal(path).record("began")
    assert [entry.event for entry in verify_chain(path.read_bytes())] == ["torn", "began"]


def test_a_full_disk_leaves_a_log_that_goes_on(log: Path) -> None:
    """A write that fails half way is an error, and the same writer can seal it once there is room again."""

    class FullOnce(Files):
        full = False

        def append(self, path: Path, data: bytes) -> None:
            if self.full:
                self.full = False
                super().append(path, data[: len(data) // 2])
                raise HostRefused(os.strerror(errno.ENOSPC), where=str(path))
            super().append(path, data)

    files = FullOnce()
    writer = journal(log, run="two", files=files)
    files.full = True
    with pytest.raises(HostRefused):
        writer.record("began")
    writer.record("failed")
    assert [entry.event for entry in verify_chain(log.read_bytes())][5:] == ["torn", "failed"]


def test_threads_share_a_writer(tmp_path: Path) -> None:
    """Stages that run side by side write whole lines in one chain."""
    path = tmp_path / "audit.jsonl"
    writer = journal(path)
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        for count in range(20):
            writer.record("step", stage=str(number), count=count)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = verify_chain(path.read_bytes())
    assert len(entries) == 160
    for number in range(8):
        assert [one.facts["count"] for one in entries if one.stage == str(number)] == list(range(20))


def test_a_killed_writer_leaves_whole_lines(tmp_path: Path) -> None:
    """After a SIGKILL everything that `record` returned for is in the log, and the log goes on."""
    path = tmp_path / "audit.jsonl"
    program = """
import os, signal, sys
from pathlib import Path
from pipeline.host import system_host
from pipeline.journal import Journal
host = system_host()
writer = Journal(host.files, host.clock, Path(sys.argv[1]), run="killed", redact=host.redact)
for count in range(3):
    writer.record("step", count=count)
os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", program, path], cwd=root, check=False).returncode == -9
    journal(path, run="next").record("began")
    assert [entry.facts.get("count") for entry in verify_chain(path.read_bytes())] == [0, 1, 2, None]


def test_no_secret_reaches_the_log(tmp_path: Path) -> None:
    """A registered secret is not in the file in any form: not in a text, a key, a list, or as JSON would escape it."""
    path = tmp_path / "audit.jsonl"
    redact = Redactor()
    texts = ["pass word/ü", 'quo"ted\\secret', "-----BEGIN X-----\nAAAABBBBCCCC\n-----END X-----"]
    secrets = [redact.register(Secret(text)) for text in texts]
    writer = journal(path, redact=redact)
    for secret, text in zip(secrets, texts, strict=True):
        writer.record("ran", words=f"--password={text}", deep={text: [{"x": text}]}, artifact=text, itself=secret)
    data = path.read_bytes().decode()
    assert len(verify_chain(data.encode())) == 3
    for part in ("pass word", "ted\\", "secret", "AAAABBBBCCCC"):
        assert part not in data.replace("Secret(", "")


def test_facts_cannot_stand_in_for_our_own_fields(log: Path) -> None:
    """A fact named like a field of the chain is a defect, and nothing is written."""
    before = log.read_bytes()
    with pytest.raises(ReleaseError, match="cannot be called previous"):
        journal(log).record("x", previous="00")
    assert log.read_bytes() == before
