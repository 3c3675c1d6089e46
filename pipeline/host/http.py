"""The network: one request, one response; no retries, no redirects, no judgement of a status."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.errors import ServiceUnavailable
from pipeline.host.observer import Observer, nobody

if TYPE_CHECKING:
    import requests

# The largest answer that any service we call has a reason to give: a notary log of some thousand issues is about 2 MB.
LARGEST_ANSWER = 64 * 1024 * 1024
# That largest answer over a line of a megabit a second takes nine minutes.
LONGEST_ANSWER = timedelta(minutes=15)
_REMEDY = "check the network and run again"
_BLOCK = 1024 * 1024
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# No proxy of the environment's, whatever NO_PROXY says: a rehearsal's services are on no other machine.
_DIRECT = {"http": None, "https": None, "all": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A part of a file as a request's body, read in blocks while it is sent. `sent` is told of each block's length."""

    path: Path
    length: int
    offset: int = 0
    sent: Callable[[int], object] = field(default=lambda _count: None)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[bytes]:
        left = self.length
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            while left and (block := stream.read(min(_BLOCK, left))):
                left -= len(block)
                yield block
                self.sent(len(block))


class Http:
    def __init__(self, *, observe: Observer = nobody, longest: timedelta = LONGEST_ANSWER) -> None:
        """`longest`: the time that an answer may take from its beginning, however many pieces it comes in."""
        self._observe = observe
        self._longest = longest
        self._session: requests.Session | None = None

    def _open(self) -> requests.Session:
        if self._session is None:
            import requests  # heavy: kept off the way to `invoke --list`

            self._session = requests.Session()
            self._session.trust_env = True
        return self._session

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Upload | None = None,
        timeout: timedelta = timedelta(seconds=60),
    ) -> Response:
        """Send one request and read the whole answer, whatever its status.

        Raises ServiceUnavailable where no whole answer came: refused, cut, timed out, TLS, larger than LARGEST_ANSWER;
        or where what another service told us makes no request: an address, a header's text.
        `timeout` bounds the connection and each silence. Nothing of the URL but scheme and host enters a message:
        addresses can be pre-signed.
        """
        import requests
        from urllib3.exceptions import HTTPError

        try:
            parts = urlsplit(url)
        except ValueError:
            raise ServiceUnavailable("an address that is none") from None
        place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._observe("http", f"{method} {place}{parts.path}")
        sent = dict(headers or {})
        if isinstance(body, Upload):
            sent["Content-Length"] = str(len(body))
        # Without an auth of ours, requests would take one from ~/.netrc.
        no_auth: Callable[[requests.PreparedRequest], requests.PreparedRequest] = lambda request: request  # noqa: E731
        try:
            with self._open().request(
                method,
                url,
                headers=sent,
                data=body,
                timeout=timeout.total_seconds(),
                allow_redirects=False,
                proxies=_DIRECT if parts.hostname in _LOOPBACK else None,  # type: ignore[arg-type]  # None is "none"
                stream=True,
                auth=no_auth,
            ) as answer:
                lower = {name.lower(): value for name, value in answer.headers.items()}
                return Response(status=answer.status_code, headers=lower, body=self._whole(answer, place))
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            # Without the library's own words, not even in a traceback: they hold the whole address.
            raise ServiceUnavailable(f"no answer ({_reason(error)})", where=place, remedy=_REMEDY) from None

    def _whole(self, answer: requests.Response, place: str) -> bytes:
        received = bytearray()
        began = time.monotonic()
        # What has come, however little: who sends a byte a minute must not keep us.
        while block := answer.raw.read1(_BLOCK, decode_content=True):
            received += block
            if len(received) > LARGEST_ANSWER:
                raise ServiceUnavailable(f"answer larger than {LARGEST_ANSWER} bytes", where=place)
            if time.monotonic() - began > self._longest.total_seconds():
                raise ServiceUnavailable(f"no answer (not whole after {self._longest})", where=place, remedy=_REMEDY)
        return bytes(received)


def _reason(error: BaseException) -> str:
    """The kind of an error and, where the operating system said why, its words."""
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, OSError) and cause.strerror):
        cause = cause.__cause__ or cause.__context__
    return f"{type(error).__name__}: {cause.strerror}" if isinstance(cause, OSError) else type(error).__name__
