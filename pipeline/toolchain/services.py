"""Whose identity and services a toolchain works with: Apple's in the real world, the rehearsal's own in a rehearsal."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.codesign.certificates import Anchors
from pipeline.codesign.cms import Identity
from pipeline.notary import NotaryCredentials, NotaryService


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Anchors and endpoints are arguments, never globals: a rehearsal puts its own where Apple's stand."""

    identity: Identity | None
    """None signs ad hoc."""
    anchors: Anchors
    timestamp_url: str | None
    tickets_url: str | None
    notary: NotaryService | None
    credentials: NotaryCredentials | None
