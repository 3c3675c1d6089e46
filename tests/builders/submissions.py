"""What a release left at the rehearsal's notary, what its own records say of it, and tickets with that notary's key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.host import Files
from pipeline.rehearsal import State, Submission
from pipeline.rehearsal.chains import KeyedChain
from pipeline.rehearsal.ticket_service import write_ticket


def submissions(outputs: Path) -> list[Submission]:
    """All that the services were asked to begin, in that order."""
    return list(reversed(State(outputs / "rehearsal", Files()).submissions()))


def uploaded(outputs: Path) -> list[Submission]:
    return [one for one in submissions(outputs) if one.is_uploaded]


def records(outputs: Path) -> list[dict[str, Any]]:
    """The release's own records of its submissions."""
    paths = sorted((outputs / "notary").glob("*.json"))
    return [json.loads(path.read_text()) for path in paths if not path.name.endswith(".log.json")]


def demand_once(outputs: Path, archives: int = 1) -> None:
    """Each archive was uploaded once; every submission that never will be is on record as abandoned."""
    whole = uploaded(outputs)
    assert [one.uploads for one in whole] == [1] * archives
    assert len({one.sha256 for one in whole}) == archives
    abandoned = {left["submission"] for record in records(outputs) for left in record["abandoned"]}
    assert {one.id for one in submissions(outputs) if not one.is_uploaded} == abandoned


def signed_ticket(outputs: Path, hashes: Sequence[tuple[int, bytes]]) -> bytes:
    """A ticket of these (hash type, hash), issued now, that an output folder's own rehearsal has signed."""
    pem = (outputs / "rehearsal" / "keys" / "ticket.pem").read_bytes()
    return write_ticket(hashes, datetime.now(UTC), KeyedChain.from_pem(pem))
