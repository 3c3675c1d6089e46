"""docs/notarization.md against what is written."""

from __future__ import annotations

import json
import re
from pathlib import Path

from builders.notary_desk import Desk

from pipeline.notary import State
from pipeline.rehearsal import CutAnswer, Endpoint

PAGE = (Path(__file__).parents[2] / "docs" / "notarization.md").read_text("utf-8")


def test_the_record_on_the_page_has_the_keys_of_a_real_one(desk: Desk) -> None:
    """A record of a submission with an abandoned one before it has the documented keys, all of them, in that order."""
    (documented,) = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    desk.levers.schedule(Endpoint.SUBMIT, CutAnswer(at=0))
    archive = desk.archive()
    desk.notarize([archive])
    written, shown = json.loads((desk.records / f"{archive.sha256}.json").read_text()), json.loads(documented)
    assert list(written) == list(shown)
    assert list(written["archive"]) == list(shown["archive"])
    assert list(written["abandoned"][0]) == list(shown["abandoned"][0])
    assert set(shown["times"]) <= set(written["times"])


def test_the_page_explains_every_state() -> None:
    """The table of states has each state of a record, and no other."""
    table = PAGE.partition("| state |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == {str(state) for state in State}
