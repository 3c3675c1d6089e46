"""Apple's ticket service: which notarization tickets exist for these CDHashes.

It is the public database that `stapler` asks: one POST, no account. The answer is HTTP 200 even where nothing was
found; each record says for itself whether it is there, not there (yet), or to be asked for again later. What comes
back is not verified here: `verify_ticket` does that.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pipeline.errors import ConfigurationError, ServiceUnavailable, StapleError
from pipeline.host import Clock, Http, Response
from pipeline.tickets.s8ch import HashType

APPLE_URL = "https://api.apple-cloudkit.com/database/1/com.apple.gk.ticket-delivery/production/public/records/lookup"

# CloudKit Web Services refuses a request of more records.
_RECORDS_A_REQUEST = 200
_NOT_THERE = "NOT_FOUND"
_LATER = {"THROTTLED", "TRY_AGAIN_LATER", "INTERNAL_ERROR", "SERVICE_UNAVAILABLE", "NETWORK_ERROR"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupPolicy:
    """How long to keep asking. Both waits are counted in requests, so that they end whatever the clock does."""

    pauses: tuple[timedelta, ...] = tuple(timedelta(seconds=seconds) for seconds in (5, 10, 20, 40))
    """Before each further try of one lookup that was throttled, refused for the moment or cut off."""
    longest_pause: timedelta = timedelta(minutes=2)
    """A service that asks for a longer pause than this is unavailable."""
    publication: tuple[timedelta, ...] = tuple(
        timedelta(seconds=seconds) for seconds in (15, 15, 30, 30, 60, 60, 120, 120, 120, 120)
    )
    """Before each further lookup of tickets that are not there yet; Apple takes up to 12 minutes to publish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Later:
    """An answer that says: ask again; `pause` where the service named one."""

    reason: str
    pause: timedelta | None


class TicketClient:
    def __init__(self, http: Http, clock: Clock, url: str = APPLE_URL, policy: LookupPolicy | None = None) -> None:
        self._http = http
        self._clock = clock
        self._url = url
        self._policy = policy or LookupPolicy()

    def lookup(self, cdhashes: Sequence[str], hash_type: int = HashType.SHA256) -> Mapping[str, bytes | None]:
        """For each CDHash (40 hex digits) its ticket, or None where the service has none (yet).

        All are asked for in one request. Raises ServiceUnavailable where the service cannot be reached, keeps putting
        us off, or answers what we do not understand: that is never taken for "no ticket".
        """
        names = {f"2/{hash_type:d}/{_forty_digits(one)}": one for one in cdhashes}
        found: dict[str, bytes | None] = {}
        pauses = iter(self._policy.pauses)
        while missing := [name for name, one in names.items() if one not in found][:_RECORDS_A_REQUEST]:
            later = self._ask(missing, names, found)
            if later is not None:
                self._put_off(later, pauses)
        return {one: found[one] for one in cdhashes}

    def wait_for(self, cdhashes: Sequence[str], hash_type: int = HashType.SHA256) -> Mapping[str, bytes]:
        """The ticket of each CDHash, waited for as long as the policy says; StapleError where one stays away."""
        for pause in (*self._policy.publication, None):
            found = self.lookup(cdhashes, hash_type)
            there = {one: ticket for one, ticket in found.items() if ticket is not None}
            if len(there) == len(found):
                return there
            if pause is not None:
                self._clock.sleep(pause)
        missing = ", ".join(one for one in cdhashes if one not in there)
        raise StapleError(
            f"the ticket service has no ticket for CDHash {missing} (yet)",
            remedy="if the notary accepted exactly these bytes, run again later; else notarize them first",
        )

    def _ask(self, wanted: Sequence[str], names: Mapping[str, str], found: dict[str, bytes | None]) -> _Later | None:
        """One request; puts what it answers finally into `found`, and returns the reason where something is left."""
        body = json.dumps({"records": [{"recordName": name} for name in wanted]}).encode()
        try:
            response = self._http.request("POST", self._url, headers={"Content-Type": "application/json"}, body=body)
        except ServiceUnavailable as error:
            return _Later(reason=error.message, pause=None)
        if response.status == 429 or response.status >= 500:
            return _Later(reason=f"HTTP {response.status}", pause=_retry_after_header(response))
        if response.status != 200:
            raise self._unavailable(f"HTTP {response.status}")
        answer = self._decode(response)
        if "serverErrorCode" in answer:
            return self._later(answer)
        records = self._records(answer)
        if missing := set(wanted) - records.keys():
            raise self._unavailable(f"no answer for {', '.join(sorted(missing))}")
        put_off = None
        for name in wanted:
            record = records[name]
            if "serverErrorCode" not in record:
                found[names[name]] = self._ticket(record)
            elif record["serverErrorCode"] == _NOT_THERE:
                found[names[name]] = None
            else:
                put_off = self._later(record)
        return put_off

    def _put_off(self, later: _Later, pauses: Iterator[timedelta]) -> None:
        """Wait as told before the next try; ServiceUnavailable where there is none, or the wait is too long."""
        ours = next(pauses, None)
        pause = later.pause or ours
        if ours is None or pause is None:
            raise self._unavailable(f"put off {len(self._policy.pauses) + 1} times, last with {later.reason}")
        if pause > self._policy.longest_pause:
            raise self._unavailable(f"{later.reason}: asks to wait {pause.total_seconds():.0f} s")
        self._clock.sleep(pause)

    def _decode(self, response: Response) -> dict[str, Any]:
        try:
            answer = json.loads(response.body)
        except (ValueError, RecursionError) as error:
            raise self._unavailable("an answer that is not JSON") from error
        if not isinstance(answer, dict):
            raise self._unavailable("an answer of another shape")
        return answer

    def _records(self, answer: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        records = answer.get("records")
        if not isinstance(records, list) or not all(isinstance(one, dict) for one in records):
            raise self._unavailable("an answer of another shape")
        return {str(one.get("recordName")): one for one in records}

    def _later(self, problem: Mapping[str, Any]) -> _Later:
        """What an answer with a `serverErrorCode` asks of us; an unknown code is an error at once."""
        code = problem["serverErrorCode"]
        if not isinstance(code, str) or code not in _LATER:
            raise self._unavailable(f"{code} ({problem.get('reason', 'no reason given')})")
        seconds = problem.get("retryAfter")
        if not isinstance(seconds, int | float) or not 0 < seconds < timedelta.max.total_seconds():
            seconds = None
        return _Later(reason=str(code), pause=None if seconds is None else timedelta(seconds=seconds))

    def _ticket(self, record: Mapping[str, Any]) -> bytes:
        try:
            return base64.b64decode(record["fields"]["signedTicket"]["value"], validate=True)
        except (KeyError, TypeError, binascii.Error, ValueError) as error:
            raise self._unavailable(f"no ticket in the record {record.get('recordName')}") from error

    def _unavailable(self, what: str) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"the ticket service gave no usable answer: {what}", where=self._url, remedy="run again later"
        )


def _forty_digits(cdhash: str) -> str:
    if len(cdhash) != 40 or not all(digit in "0123456789abcdefABCDEF" for digit in cdhash):
        raise ConfigurationError(f"{cdhash!r} is not a CDHash of 40 hex digits")
    return cdhash.lower()


def _retry_after_header(response: Response) -> timedelta | None:
    seconds = response.headers.get("retry-after", "")
    is_number = seconds.isascii() and seconds.isdigit() and len(seconds) < 8
    return timedelta(seconds=int(seconds)) if is_number else None
