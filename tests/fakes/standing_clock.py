"""Invoke's program on a host whose clock stands still but where somebody sleeps: the moment of signing is given.

NOW=2026-11-21T06:30:00+00:00 python standing_clock.py release --config …
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout that the test is part of
sys.path.insert(0, str(Path(__file__).parents[1]))

from invoke.main import program

from fakes.clock import FakeClock
from pipeline.host import Host, Observer, system_host
from pipeline.host.observer import nobody
from pipeline.tasks import session


def _standing(*, debug: bool = False, observe: Observer = nobody) -> Host:
    return replace(
        system_host(debug=debug, observe=observe), clock=FakeClock(datetime.fromisoformat(os.environ["NOW"]))
    )


if __name__ == "__main__":
    session.system_host = _standing  # type: ignore[attr-defined]  # it only imports the name
    program.run()
