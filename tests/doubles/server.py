"""One process that has imported the doubles and is forked for each call of one: what a double costs is its start.

A double that is installed with a server is a program of a few lines: it hands its words, folder, caller and standard
streams over a socket, and ends as the fork that did the work. Whoever kills the program kills the work.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from doubles.bench import NAMES, ROOT, Bench, Job, run

# Without `site` and with built-in modules alone, so that it starts in a moment.
_CLIENT = """\
#!{python} -IS
import _socket, os, sys
server = _socket.socket(_socket.AF_UNIX)
server.connect({place!r})
words = "\\0".join([str(os.getppid()), os.getcwd(), *sys.argv]).encode("utf-8", "surrogateescape")
streams = b"".join(stream.to_bytes(4, sys.byteorder) for stream in (0, 1, 2))
server.sendmsg([b"%8d" % len(words)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(words)
sys.exit(int(server.recv(8) or 1))
"""


@contextmanager
def serving() -> Iterator[str]:
    """A server for the block, and the program for `Bench.install` that asks it. It ends with this process, however."""
    with TemporaryDirectory() as folder:
        place = Path(folder) / "socket"
        process = subprocess.Popen(
            [sys.executable, "-m", "doubles.server", place],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin, process.stdout as ready:
            assert ready.readline() == b"ready\n"
            yield _CLIENT.format(python=sys.executable, place=str(place))
        process.wait()


def _serve(place: str) -> None:
    for name in ("rehearsal", "timestamps", "notary"):
        import_module(f"pipeline.{name}")
    for name in NAMES:
        import_module(f"doubles.{name}")
    gc.freeze()
    # Forks are nobody's to wait for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen(64)
        print("ready", flush=True)
        while sys.stdin.fileno() not in select.select([listening.fileno(), sys.stdin.fileno()], [], [])[0]:
            call, _ = listening.accept()
            with call:
                if os.fork() == 0:
                    listening.close()
                    _answer(call)


def _answer(call: socket.socket) -> None:
    """Do one call in a fork; a caller who has gone has killed it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    length, streams, _, _ = socket.recv_fds(call, 8, 3)
    words = b""
    while len(words) < int(length):
        words += call.recv(1 << 16)
    lives, ends = os.pipe()
    worker = os.fork()
    if worker == 0:
        os._exit(_work(words.decode("utf-8", "surrogateescape").split("\0"), streams))
    os.close(ends)
    if lives not in select.select([lives, call.fileno()], [], [])[0]:
        os.kill(worker, signal.SIGKILL)
    call.send(b"%d" % abs(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])))
    os._exit(0)


def _work(words: list[str], streams: list[int]) -> int:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    caller, folder, *sys.argv = words
    os.chdir(folder)
    tool = Path(sys.argv[0]).absolute()
    code = 1
    try:
        code = run(Job(Bench(folder=tool.parent), sys.argv[1:], int(caller)), tool.name)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    _serve(sys.argv[1])
