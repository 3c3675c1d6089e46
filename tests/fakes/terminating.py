"""Invoke's program on a host that is sent SIGTERM as it starts the first process whose command line holds a text.

TERM_AT="notarytool submit" python terminating.py release --config …
"""

from __future__ import annotations

import os
import signal
from functools import partial

from invoke.main import program

from pipeline import host
from pipeline.tasks import session

_AT = os.environ["TERM_AT"]
_DONE = False


def _observe(kind: str, subject: str) -> None:
    global _DONE
    if kind == "run" and _AT in subject and not _DONE:
        _DONE = True
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    vars(session)["system_host"] = partial(host.system_host, observe=_observe)
    program.run()
