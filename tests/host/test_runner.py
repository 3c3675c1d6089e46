"""Processes at the door: one that does not end is killed with all that it started."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.errors import HostRefused, ToolMissing
from pipeline.host import Runner

_HANGING = """
import os, signal, sys
print("begun", flush=True)
os.open(sys.argv[1], os.O_WRONLY)
if os.fork() == 0 and sys.argv[2:] == ["leaves"]:
    os.setsid()
    print(os.getpid(), flush=True)
while True:
    signal.pause()
"""


class Held:
    """A pipe that processes hold open; whoever asks learns when the last of them is gone."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self.reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def is_let_go(self) -> bool:
        readable, _, _ = select.select([self.reading], [], [], 30)
        return bool(readable) and os.read(self.reading, 1) == b""


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    held = Held(tmp_path / "held")
    yield held
    os.close(held.reading)


def test_a_process_that_does_not_end_is_killed_with_its_children(held: Held) -> None:
    """After its time neither it nor its child is there; what it had printed is kept."""
    done = Runner().run([sys.executable, "-c", _HANGING, held.path], timeout=timedelta(seconds=3))
    assert (done.timed_out, done.returncode, done.stdout) == (True, -9, b"begun\n")
    assert held.is_let_go()


def test_a_child_that_left_the_group_is_not_waited_for(held: Held) -> None:
    """A daemon that keeps the pipes open holds up nobody."""
    done = Runner().run([sys.executable, "-c", _HANGING, held.path, "leaves"], timeout=timedelta(seconds=3))
    assert (done.timed_out, done.stderr) == (True, b"")
    begun, left = done.stdout.split()
    assert begun == b"begun"
    os.kill(int(left), signal.SIGKILL)
    assert held.is_let_go()


def test_an_interrupted_run_leaves_no_child(held: Held) -> None:
    """What ends the wait, Ctrl-C or SIGTERM, ends the process and what it started."""
    program = (
        "import os, signal, sys, threading\n"
        "from datetime import timedelta\n"
        "from pipeline.host import Runner\n"
        "def interrupt():\n"
        "    open(sys.argv[2], 'rb').read(1)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "threading.Thread(target=interrupt, daemon=True).start()\n"
        "Runner().run([sys.executable, '-c', sys.argv[3], sys.argv[1]], timeout=timedelta(minutes=5))\n"
    )
    begun = held.path.with_name("begun")
    os.mkfifo(begun)
    hanging = _HANGING.replace("while True", f"open({str(begun)!r}, 'wb').write(b'x')\nwhile True")
    argv = [sys.executable, "-c", program, str(held.path), str(begun), hanging]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "KeyboardInterrupt" in done.stderr
    assert held.is_let_go()


def test_what_cannot_be_started_is_told_apart(tmp_path: Path) -> None:
    """A program that is not there, a folder that is not there to run it in, and a file that is no program."""
    missing = tmp_path / "missing"
    for cwd in (None, tmp_path):
        with pytest.raises(ToolMissing, match="missing is not on this host"):
            Runner().run([missing], cwd=cwd)
    with pytest.raises(HostRefused, match="no such folder to run in"):
        Runner().run([sys.executable, "-c", ""], cwd=missing)
    with pytest.raises(HostRefused, match="cannot be started"):
        Runner().run([tmp_path])


def test_a_child_sees_what_it_is_given_and_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of our own environment only what is passed on to every tool; what is given stands above it."""
    monkeypatch.setenv("A_TOKEN", "hunter22")
    monkeypatch.setenv("LANG", "C")
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    done = Runner().run([sys.executable, "-c", program], environment={"GIVEN": "yes", "LANG": "de_DE"})
    seen = json.loads(done.stdout)
    assert "A_TOKEN" not in seen
    assert (seen["GIVEN"], seen["LANG"], seen["PATH"]) == ("yes", "de_DE", os.environ["PATH"])
