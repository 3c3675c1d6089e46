"""One request, one answer: what it may not do on the way, and what it may not tell."""

from __future__ import annotations

import socket
import traceback

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
