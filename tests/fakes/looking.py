"""Invoke's program where nothing may be changed and nobody asked: the interpreter itself refuses, and says what.

Refused are sockets, every change of a file system, and files opened for writing, but for /dev/null.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout that the test is part of

from invoke.main import program

_CHANGES = {
    *(f"os.{name}" for name in ("chmod", "chown", "link", "mkdir", "remove", "rename", "rmdir", "symlink", "truncate")),
    *(f"os.{name}" for name in ("utime", "setxattr", "removexattr", "putenv", "unsetenv")),
    *(f"shutil.{name}" for name in ("copyfile", "copytree", "move", "rmtree")),
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING
    if event.startswith("socket.") or event in _CHANGES or (opened and arguments[0] != os.devnull):
        raise PermissionError(f"not while looking: {event} {arguments}")


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.addaudithook(_refuse)
    program.run()
