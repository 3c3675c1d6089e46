"""A client of a time-stamp authority: asks, verifies, and asks again, a few times, where that can help.

No token leaves here that was not verified: granted, for this signature, with our nonce, signed by a chain to a trusted
root. Never falls back to signing without a time stamp. Apple's service is known to fail now and then (empty bodies,
HTTP 400 and 5xx, answers of a proxy's cache); the tries and waits are data.

Statuses: `tsaSupport.c` of Apple's Security.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from pipeline.codesign.timestamp_token import verify_token
from pipeline.errors import MalformedFile, ReleaseError, ServiceUnavailable, SigningError, VerificationError
from pipeline.host import Clock, Entropy, Http
from pipeline.timestamps.messages import (
    APPLE_POLICY,
    PASSING_FAILURES,
    Rejected,
    Request,
    build_request,
    parse_response,
)

# Plain HTTP by design: what comes back is signed. The older path /ts no longer answers rightly.
APPLE_URL = "http://timestamp.apple.com/ts01"

_NONCE_BYTES = 8
_REMEDY = "run again; a network or proxy that changes answers must let timestamp.apple.com through"

# Everything else that is not 200 means that this is no time-stamp service, and asking again would not change it.
_PASSING_STATUSES = {
    204: "no content",
    400: "not permitted or supported",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    408: "request timeout",
    409: "conflict",
    417: "expectation failed",
    429: "too many requests",
    500: "internal server error",
    502: "bad gateway",
    503: "service unavailable",
    504: "gateway timeout",
    507: "insufficient storage",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, how patiently. There is one try more than there are waits."""

    waits: tuple[timedelta, ...] = tuple(timedelta(seconds=each) for each in (2, 4, 8, 16, 30))
    timeout: timedelta = timedelta(seconds=15)
    """Of one try's connection, and of each silence."""


class TimestampClient:
    def __init__(
        self,
        http: Http,
        clock: Clock,
        entropy: Entropy,
        url: str = APPLE_URL,
        *,
        roots: tuple[bytes, ...],
        retries: RetryPolicy | None = None,
        told: Callable[[str], None] = lambda _message: None,
    ) -> None:
        """`roots` (DER) are what tokens must lead to; `told` hears in words of each try that failed."""
        self._http = http
        self._clock = clock
        self._entropy = entropy
        self._roots = roots
        self._url = url
        self._retries = retries or RetryPolicy()
        self._told = told

    def token(self, signature: bytes) -> bytes:
        """A verified token (DER) for these signature bytes.

        Raises, after the last try: ServiceUnavailable where the service could not be reached or had trouble,
        SigningError where it refused, or answered with what is no token for this request.
        """
        for wait in self._retries.waits:
            try:
                return self._ask(signature)
            except _Passing as passing:
                self._told(f"{passing.error.message}; asking again in {wait.total_seconds():g} s")
                self._clock.sleep(wait)
        try:
            return self._ask(signature)
        except _Passing as passing:
            raise passing.error from passing

    def _ask(self, signature: bytes) -> bytes:
        nonce = int.from_bytes(self._entropy.bytes(_NONCE_BYTES), "big")
        request = Request(imprint=hashlib.sha256(signature).digest(), nonce=nonce)
        body = self._post(build_request(request))
        try:
            encoded = parse_response(body)
            token = verify_token(encoded, signature, self._roots)
        except Rejected as rejected:
            if rejected.failures & PASSING_FAILURES:
                raise _Passing(rejected.at(self._url)) from rejected
            raise rejected.at(self._url) from rejected
        except MalformedFile as error:
            raise self._bad_answer(f"the answer is none of a time-stamp authority: {error.message}") from error
        except VerificationError as error:
            raise self._bad_answer(f"the token does not hold: {error.message}") from error
        if token.nonce != nonce:
            raise self._bad_answer("the token answers another request (its nonce is not ours)")
        if token.digest != "sha256":
            raise self._bad_answer(f"the token's imprint is {token.digest}, where sha256 was asked for")
        if token.policy != APPLE_POLICY:
            raise self._bad_answer(f"the token is of policy {token.policy}, where {APPLE_POLICY} was asked for")
        return encoded

    def _post(self, query: bytes) -> bytes:
        headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
        try:
            response = self._http.request("POST", self._url, headers=headers, body=query, timeout=self._retries.timeout)
        except ServiceUnavailable as error:
            raise _Passing(error) from error
        if response.status in _PASSING_STATUSES:
            meaning = _PASSING_STATUSES[response.status]
            raise _Passing(self._unavailable(f"the time-stamp service answered {response.status} ({meaning})"))
        if response.status != 200:
            raise self._unavailable(f"the time-stamp service answered {response.status}")
        if not response.body:
            raise _Passing(self._unavailable("the time-stamp service answered with nothing"))
        return response.body

    def _unavailable(self, message: str) -> ServiceUnavailable:
        return ServiceUnavailable(message, where=self._url, remedy="run again later")

    def _bad_answer(self, message: str) -> _Passing:
        """A proxy's cache or an answer cut short can be another's next time; what stays wrong is no one's network."""
        return _Passing(SigningError(message, where=self._url, remedy=_REMEDY))


class _Passing(Exception):
    """A failure that another try may not meet; `error` is what it becomes if all do."""

    def __init__(self, error: ReleaseError) -> None:
        super().__init__(error.message)
        self.error = error
