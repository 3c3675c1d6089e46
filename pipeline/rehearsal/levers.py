"""Levers: what the services can be told to do wrong, and to which request.

A *fault* meets single requests, chosen by endpoint and number; the numbers count from the start of the services. The
fields of `Levers` hold for as long as they are set. What the faults say is in `answers`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum

from pipeline.rehearsal.state import Status


class Endpoint(Enum):
    """What a request asks for, over all services."""

    SUBMIT = "POST submissions"
    LIST = "GET submissions"
    STATUS = "GET submissions/{id}"
    LOG_ADDRESS = "GET submissions/{id}/logs"
    UPLOAD = "PUT object"
    UPLOAD_START = "POST object?uploads"
    UPLOAD_PART = "PUT object?partNumber"
    UPLOAD_COMPLETE = "POST object?uploadId"
    UPLOAD_ABORT = "DELETE object?uploadId"
    LOG_DOCUMENT = "GET developer_log.json"
    TIMESTAMP = "POST timestamp-query"
    TICKET = "POST records/lookup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer: as a fault, it is given instead of doing what was asked."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutRequest:
    """The connection ends when `at` bytes of the request's body have been read; nothing is done."""

    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CutAnswer:
    """What was asked is done; the connection ends after `at` bytes of the answer, status line and headers included.

    `at=0` is the answer that was lost after processing.
    """

    at: int


class TimestampFault(Enum):
    """Well-formed answers of a time-stamp authority that a client must not believe."""

    REJECTED = "the status is rejection, without a token"
    OTHER_NONCE = "the nonce is not the one asked for"
    NO_NONCE = "the nonce is missing"
    OTHER_IMPRINT = "the token is about other bytes"
    OTHER_SIGNER = "the signature of the token does not verify"


Fault = Answer | CutRequest | CutAnswer | TimestampFault


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scheduled:
    endpoint: Endpoint
    first: int
    last: int
    fault: Fault


@dataclass
class Levers:
    """Set by tests and by `rehearsal.serve` (in `lever_words`); every default is the service at its best."""

    polls_in_progress: int = 0
    """So many status requests of each submission say In Progress although the verdict could be known."""
    verdict: Status | None = None
    """A verdict whatever the archive holds: Invalid, or Rejected with status code 7000."""
    status_text: str | None = None
    """What the status says, word for word, instead of the truth: a text that no documentation lists."""
    log_late: int = 0
    """So many requests for each submission's log answer 404 although there is a verdict."""
    log_early: bool = False
    """The log can be had while the status still says In Progress, as has been seen."""
    log_sha256: str | None = None
    """The archive's digest that the log gives instead of the true one."""
    log_lacks: frozenset[str] = frozenset()
    """Fields that the log does not have, such as issues."""
    log_leaves_out: frozenset[str] = frozenset()
    """CDHashes (40 hex digits) that the log and the ticket do not list although the submission is accepted."""
    tickets_late: int = 0
    """So many lookups of each record answer NOT_FOUND although its ticket exists."""
    tickets_revoked: bool = False
    """Tickets are given out with flags 1."""
    upload_credentials_live: timedelta = timedelta(hours=12)
    """How long the object store honours the credentials of a submission; zero: expired on arrival."""
    clock_skew: timedelta = timedelta(0)
    """How far the clock of every service is ahead of the host's."""

    _scheduled: list[_Scheduled] = field(default_factory=list, init=False, repr=False)
    _seen: Counter[Endpoint] = field(default_factory=Counter, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def schedule(self, endpoint: Endpoint, fault: Fault, *, at: int = 1, times: int = 1) -> None:
        """The `at`-th request from now on to `endpoint`, and the `times - 1` after it, meet `fault`."""
        with self._lock:
            first = self._seen[endpoint] + at
            self._scheduled.append(_Scheduled(endpoint=endpoint, first=first, last=first + times - 1, fault=fault))

    def cancel_faults(self) -> None:
        """No request meets a fault any more."""
        with self._lock:
            self._scheduled.clear()

    def arrived(self, endpoint: Endpoint) -> Fault | None:
        """Counts a request; the fault that it is to meet, if any. Of several, the one scheduled first."""
        with self._lock:
            self._seen[endpoint] += 1
            number = self._seen[endpoint]
            due = (one for one in self._scheduled if one.endpoint is endpoint and one.first <= number <= one.last)
            return next((one.fault for one in due), None)

    def seen(self, endpoint: Endpoint) -> int:
        """How many requests to this endpoint have arrived."""
        with self._lock:
            return self._seen[endpoint]
