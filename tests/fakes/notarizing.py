"""A process that notarizes one archive at a rehearsal's services, and can be ended at an operation chosen by number.

Its services run in it, as a release's do: their operations count too, and a kill ends them with it.
"""

from __future__ import annotations

import os
import signal
import threading
from datetime import timedelta
from pathlib import Path

from pipeline.host import system_host
from pipeline.notary import REHEARSAL_POLICY, Archive, notarize
from pipeline.rehearsal import Levers, Rehearsal, Status


def run(folder: Path, archive: Archive, kill_at: int, trace: Path) -> None:
    """Notarize `archive` with the records in `folder`/notary; SIGKILL before operation `kill_at`, 0 for none.

    `trace` gets a line for each operation, written before it happens.
    """
    count = 0
    lock = threading.Lock()

    def observe(kind: str, subject: str) -> None:
        nonlocal count
        with lock:
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            with trace.open("a") as stream:
                stream.write(f"{kind} {subject}\n")

    host = system_host()
    with Rehearsal(folder / "rehearsal", host):
        pass  # its keys are no part of a submission's life
    host = system_host(observe=observe)
    levers = Levers(verdict=Status.ACCEPTED, polls_in_progress=1)
    with Rehearsal(folder / "rehearsal", host, levers) as rehearsal:
        services = rehearsal.services
        assert services.notary is not None
        assert services.credentials is not None
        wait = timedelta(minutes=1)
        notarize(host, services.notary, services.credentials, [archive], folder / "notary", REHEARSAL_POLICY, wait)
