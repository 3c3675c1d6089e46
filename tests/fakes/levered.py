"""Invoke's program in a rehearsal whose services have levers pulled, in the words of docs/rehearsal-services.md.

LEVERS="tickets-late=3; status=500,at=2" python levered.py release --config …
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout that the test is part of

from invoke.main import program

from pipeline import rehearsal
from pipeline.host import Host
from pipeline.rehearsal import Levers, Rehearsal, lever_words


class Levered(Rehearsal):
    def __init__(self, folder: Path, host: Host) -> None:
        levers = Levers()
        for text in filter(None, map(str.strip, os.environ["LEVERS"].split(";"))):
            is_fault = text.partition("=")[0] in lever_words.ENDPOINTS
            (lever_words.schedule if is_fault else lever_words.pull)(levers, text)
        super().__init__(folder, host, levers)


if __name__ == "__main__":
    rehearsal.Rehearsal = Levered  # type: ignore[misc, assignment]  # where every command takes it from
    program.run()
