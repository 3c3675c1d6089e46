"""Processes: an argv, never a shell; an environment that is given, never inherited."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pipeline.errors import HostRefused, ToolMissing
from pipeline.host.observer import Observer, nobody

# What a child may see of our environment when nobody says otherwise: enough to find tools, nothing that holds a secret.
PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "DEVELOPER_DIR")
# For what a killed process had printed. Only a child that left its group can hold the pipes open for longer.
_LAST_WORDS = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What a process left. `returncode` is negative for a signal; one that timed out was killed with its group."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes
    timed_out: bool = False

    def last_lines(self, count: int = 20) -> str:
        """The end of what it printed, standard error last, for a message to a person."""
        text = (self.stdout + b"\n" + self.stderr).decode("utf-8", "replace")
        return "\n".join([line for line in text.splitlines() if line.strip()][-count:])


class Runner:
    def __init__(self, *, observe: Observer = nobody) -> None:
        self._observe = observe
        self._live: set[subprocess.Popen[bytes]] = set()
        self._leaders: set[subprocess.Popen[bytes]] = set()
        self._is_over = False

    def stop(self) -> None:
        """Kill every process that is still running, with those that it started: no compiler is left behind.

        What another thread starts from here on ends at once too.
        """
        self._is_over = True
        for process in tuple(self._live):
            self._kill(process)

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """With all that it started."""
        if process in self._leaders and process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        else:
            _kill_tree(process)

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout: timedelta | None = None,
    ) -> Completed:
        """Run to the end and return what it left, whatever its exit code.

        `environment` is added to PASSED_ON. Raises ToolMissing if the program is not there, HostRefused if it
        cannot be started.
        The child leads a process group of its own only where a timeout must be able to end it whole.
        """
        words = tuple(str(word) for word in argv)
        self._observe("run", shlex.join(words))
        variables = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | dict(environment or {})
        process = _start(words, cwd, variables, leads_group=timeout is not None)
        self._live.add(process)
        if timeout is not None:
            self._leaders.add(process)
        if self._is_over:
            self._kill(process)
        try:
            out, err = process.communicate(stdin, timeout.total_seconds() if timeout else None)
        except subprocess.TimeoutExpired:
            self._kill(process)
            out, err = _last_words(process)
            return Completed(argv=words, returncode=process.wait(), stdout=out, stderr=err, timed_out=True)
        except BaseException:
            self._kill(process)
            process.wait()
            raise
        finally:
            self._live.discard(process)
            self._leaders.discard(process)
        return Completed(argv=words, returncode=process.returncode, stdout=out, stderr=err)


def _start(
    words: Sequence[str], cwd: Path | None, variables: Mapping[str, str], *, leads_group: bool
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            words,
            cwd=cwd,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=leads_group,
        )
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise HostRefused("no such folder to run in", where=str(cwd)) from error
        raise ToolMissing(f"{words[0]} is not on this host", remedy="install it, or put it on PATH") from error
    except OSError as error:
        raise HostRefused(f"{words[0]} cannot be started: {error.strerror}") from error


def _last_words(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """What a killed process had printed, on both streams."""
    try:
        return process.communicate(timeout=_LAST_WORDS.total_seconds())
    except subprocess.TimeoutExpired as error:
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        return error.stdout or b"", error.stderr or b""


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    """A process and all below it: make dies, and the compiler that it started would go on, and hold our pipes.

    They have no group of their own that could be killed instead: they belong to ours, and end with it. Each is stopped
    before it is asked for its children: it starts no other meanwhile.
    """
    if process.poll() is not None:
        return
    import psutil

    wave = [process.pid]
    found: list[psutil.Process] = []
    while wave:
        below: list[int] = []
        for pid in wave:
            with suppress(psutil.Error):
                one = psutil.Process(pid)
                one.suspend()
                found.append(one)
                below += [child.pid for child in one.children()]
        wave = below
    for one in found:
        with suppress(psutil.Error):
            one.kill()
