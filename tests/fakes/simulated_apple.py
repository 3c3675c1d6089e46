"""Invoke's program where a rehearsal's services stand in Apple's place: a release of world "real", made with doubles.

What it leaves says "real", and its signatures lead to no roots but its own: no audit but one with those roots takes it.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout that the test is part of

from invoke.main import program

from pipeline import notary
from pipeline.host import Host
from pipeline.model import Configuration
from pipeline.rehearsal import Rehearsal
from pipeline.tasks import real_world
from pipeline.toolchain.services import Services

if __name__ == "__main__":
    with ExitStack() as stack:

        def services(host: Host, configuration: Configuration) -> Services:
            return stack.enter_context(Rehearsal(configuration.folder / "rehearsal", host)).services

        real_world.real_services = services
        notary.APPLE_POLICY = notary.REHEARSAL_POLICY  # nobody is spared by asking less often
        program.run()
