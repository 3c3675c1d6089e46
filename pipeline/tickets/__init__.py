"""Notarization tickets: the `s8ch` format, Apple's service that hands them out, and where they are kept.

A ticket names the code directory hash of every slice of every code object of one submission, signed by Apple, so that
"these bytes are notarized" can be shown without the network. Submitting to the notary is `pipeline.notary`.
"""

from pipeline.tickets.lookup import APPLE_URL, LookupPolicy, TicketClient
from pipeline.tickets.s8ch import (
    HashType,
    Ticket,
    TicketHash,
    build_ticket,
    covers,
    parse_ticket,
    verify_coverage,
    verify_ticket,
)
from pipeline.tickets.staple import (
    container_hashes,
    is_container,
    load_ticket,
    staple_bundle,
    staple_container,
    stapled_ticket,
)

__all__ = [
    "APPLE_URL",
    "HashType",
    "LookupPolicy",
    "Ticket",
    "TicketClient",
    "TicketHash",
    "build_ticket",
    "container_hashes",
    "covers",
    "is_container",
    "load_ticket",
    "parse_ticket",
    "staple_bundle",
    "staple_container",
    "stapled_ticket",
    "verify_coverage",
    "verify_ticket",
]
