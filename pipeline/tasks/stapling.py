"""What `file.staple` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline import disk, tickets
from pipeline.errors import StapleError
from pipeline.host import Host
from pipeline.tasks.signing import anchors_of, existing
from pipeline.tickets import HashType, TicketHash


def staple(host: Host, path: str, ticket: str | None, lookup: str | None, anchors: str | None, *, dry: bool) -> None:
    target, trusted = existing(path), anchors_of(host, anchors)
    if target.is_dir():
        slices = disk.verify_path(target, anchors=trusted)
        hashes = tuple(TicketHash(type=HashType.SHA256, hash=one.cdhash) for one in slices)
    else:
        hashes = tickets.container_hashes(target)
    if not hashes:
        raise StapleError(
            "is not signed, so that no ticket can name it", where=path, remedy="sign it, then notarize it"
        )
    if dry:
        origin = ticket or f"the ticket that {lookup or tickets.APPLE_URL} has"
        host.console.result(f"would staple {origin} to {path}")
        return
    data = _read(existing(ticket)) if ticket else _look_up(host, hashes, lookup or tickets.APPLE_URL, path)
    if target.is_dir():
        cdhashes = [one.hash for one in hashes]
        tickets.staple_bundle(host.files, target, data, roots=trusted.ticket_roots, cdhashes=cdhashes)
    else:
        tickets.staple_container(host.files, target, target, data, roots=trusted.ticket_roots)
    host.console.result(f"{path}: stapled; the ticket names {', '.join(one.hash for one in hashes)}")


def _read(path: Path) -> bytes:
    data = tickets.load_ticket(path)
    if data is None:
        raise StapleError("is no ticket, and carries none", where=str(path))
    return data


def _look_up(host: Host, hashes: Sequence[TicketHash], url: str, path: str) -> bytes:
    """A ticket of the service that names one of the hashes; asked once: whoever waits for the notary asks again."""
    client = tickets.TicketClient(host.http, host.clock, url)
    found = client.lookup([one.hash for one in hashes], hashes[0].type)
    for ticket in found.values():
        if ticket is not None:
            return ticket
    raise StapleError(
        "the ticket service has no ticket for it (what stapler calls Error 65)",
        where=path,
        remedy="notarize exactly these bytes; after the notary has accepted them it takes up to some minutes",
    )
