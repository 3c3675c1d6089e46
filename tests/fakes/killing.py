"""Invoke's program on a host that ends the whole process group at an operation chosen by number.

    KILL_AT=17 TRACE=ops.txt python killing.py release --config …

TRACE gets a line for every operation: number, kind, subject. KILL_AT=0 only traces.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout that the test is part of

from invoke.main import program

from pipeline.host import system_host
from pipeline.tasks import session

_AT = int(os.environ.get("KILL_AT", "0"))
_TRACE = Path(os.environ["TRACE"])
_COUNT = 0
_LOCK = threading.Lock()


def _observe(kind: str, subject: str) -> None:
    global _COUNT
    with _LOCK:
        _COUNT += 1
        with _TRACE.open("a") as trace:
            trace.write(f"{_COUNT}\t{kind}\t{subject}\n")
        if _COUNT == _AT:
            os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    session.system_host = partial(system_host, observe=_observe)  # type: ignore[attr-defined]  # it only imports the name
    program.run()
