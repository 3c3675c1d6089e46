"""A keychain for CI is made again and again, each time in a process that gets a signal one process later than before.

    python signalled_keychain.py SIGTERM USER

USER is a folder as `builders.keychain_user` makes it. For every process that `create` starts a line of JSON tells its
command, the exit code of who made the keychain, and whether everything was as before: after SIGTERM at once, after
SIGKILL once `delete` was called. The last line is that of a keychain that was made.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

from builders.keychain_user import User
from invoke import Context, Exit

from pipeline.host import Host, Observer, system_host
from pipeline.tasks import session


def observer(at: int, number: signal.Signals, told: int) -> Observer:
    count = 0

    def observe(kind: str, subject: str) -> None:
        nonlocal count
        count += kind == "run"
        if kind == "run" and count == at:
            os.write(told, subject.encode())
            os.kill(os.getpid(), number)

    return observe


def make(user: User, at: int, number: signal.Signals, told: int) -> int:
    """In a process of its own: like a command, with its handler of signals; its exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    vars(session)["system_host"] = partial(system_host, observe=observer(at, number, told))
    try:
        with session.command(Context()) as host:
            user.make(host)
    except Exit as left:
        return int(left.code)
    return 0


def signalled(user: User, at: int, number: signal.Signals, host: Host) -> dict[str, object]:
    user.begin()
    reading, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os._exit(make(user, at, number, told))
    os.close(told)
    with os.fdopen(reading, "rb") as stream:
        subject = stream.read().decode()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if number == signal.SIGKILL and subject:
        user.keychain_for(host).delete()
    return {"at": subject.replace(str(user.folder), ""), "code": code, "changed": user.changed()}


def main(number: signal.Signals, user: User) -> None:
    host = system_host()
    at = 1
    while True:
        told = signalled(user, at, number, host)
        print(json.dumps(told), flush=True)
        if not told["at"]:
            return
        at += 1


if __name__ == "__main__":
    main(signal.Signals[sys.argv[1]], User(folder=Path(sys.argv[2])))
