"""A finished release set back to where a stage had just ended: the next `invoke release` does the rest."""

from __future__ import annotations

import shutil

from builders.workshop import Workshop
from pipeline.release import NAMES

_NOTARY_REMEMBERS = ("submissions", "objects", "logs", "tickets")


def rewind(workshop: Workshop, stage: str) -> Workshop:
    """Nothing after `stage` has happened; where that is before `notarize`, the notary has seen nothing either."""
    outputs = workshop.outputs
    after = NAMES[NAMES.index(stage) + 1 :]
    for name in after:
        (outputs / "records" / f"{name}.json").unlink(missing_ok=True)
    (outputs / "release.json").unlink(missing_ok=True)
    if "staple" in after:
        for ticket in outputs.glob("universal/*.ticket"):
            ticket.unlink()
    if "notarize" in after:
        for folder in (outputs / "notary", *(outputs / "rehearsal" / name for name in _NOTARY_REMEMBERS)):
            shutil.rmtree(folder, ignore_errors=True)
    return workshop
