"""One request, one answer: what it may not do on the way, and what it may not tell."""

from __future__ import annotations

import socket
import traceback
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest

from pipeline.errors import ServiceUnavailable
from pipeline.host import Http, SystemClock
from pipeline.rehearsal import Answer, Endpoint, Levers
from pipeline.rehearsal.server import LoopbackServer, Request


@pytest.fixture
def nobody() -> str:
    """The address of a port where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


def test_a_pre_signed_address_is_in_no_traceback(nobody: str) -> None:
    """However a library writes the address (here it makes %2b %2B), no trace of its query is left; the reason is."""
    address = f"http://{nobody}/log.json?Signature=tell%2btale&x-amz-security-token=IQoJ%2b"
    with pytest.raises(ServiceUnavailable, match="Connection refused") as failed:
        Http().request("GET", address)
    told = "".join(traceback.format_exception(failed.value))
    assert "tale" not in told
    assert "IQoJ" not in told


class Echo:
    """A service that says what it was sent."""

    def endpoint(self, method: str, path: str, query: str) -> Endpoint | None:
        return None

    def answer(self, request: Request) -> Answer:
        return Answer(status=200, body=request.body.document())


@pytest.mark.parametrize("no_proxy", ["", "example.org"])
def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    nobody: str, no_proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a company's proxy a rehearsal meets its own services all the same."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://{nobody}")
    monkeypatch.setenv("no_proxy", no_proxy)
    with LoopbackServer({"/": Echo()}, Levers(), SystemClock().now) as server:
        assert Http().request("POST", f"http://{server.address}/", body=b"hello").body == b"hello"
    with pytest.raises(ServiceUnavailable, match="ProxyError"):
        Http().request("GET", "http://notary.example/")


class Told:
    """A service that gives one answer."""

    def __init__(self, body: bytes, headers: dict[str, str]) -> None:
        self._body, self._headers = body, headers

    def endpoint(self, method: str, path: str, query: str) -> Endpoint | None:
        return None

    def answer(self, request: Request) -> Answer:
        return Answer(status=200, body=self._body, headers=self._headers)


@pytest.fixture
def told() -> Iterator[Callable[..., str]]:
    """Starts such a service: its address."""
    with ExitStack() as stack:

        def start(body: bytes, **headers: str) -> str:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            server = LoopbackServer({"/": Told(body, named)}, Levers(), SystemClock().now)
            return f"http://{stack.enter_context(server).address}/"

        yield start


def test_who_sends_a_little_for_ever_does_not_keep_us(told: Callable[..., str]) -> None:
    """The whole answer has a limit in time, not each silence alone."""
    address = told(b"a little")
    assert Http().request("GET", address).body == b"a little"
    with pytest.raises(ServiceUnavailable, match="not whole after"):
        Http(longest=timedelta(seconds=-1)).request("GET", address)


def test_what_unpacks_without_end_is_cut(told: Callable[..., str]) -> None:
    packed = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packed.compress(bytes(1 << 20)) for _ in range(65)) + packed.flush()
    with pytest.raises(ServiceUnavailable, match="larger than"):
        Http().request("GET", told(bomb, content_encoding="gzip"))
    with pytest.raises(ServiceUnavailable, match="no answer"):
        Http().request("GET", told(b"not packed at all", content_encoding="gzip"))


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("http://[::1", {}),
        ("http://127.0.0.1:1/", {"x-amz-security-token": "\u20ac"}),
        ("http://127.0.0.1:1/", {"x-amz-security-token": "a\r\nHost: b"}),
        (f"http://{'b' * 70}.example/", {}),
        ("http://\ud800/", {}),
        ("file:///etc/passwd", {}),
    ],
)
def test_what_a_service_told_us_may_make_no_request(address: str, headers: dict[str, str]) -> None:
    with pytest.raises(ServiceUnavailable):
        Http().request("GET", address, headers=headers)
