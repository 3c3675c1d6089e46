"""The loopback server: it ends with its block, whatever its clients do, and hides no defect."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import struct
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from builders.hosts import host_with
from fakes.clock import FakeClock

from pipeline.errors import HostRefused, ReleaseError
from pipeline.host import Host, SystemClock
from pipeline.notary import REHEARSAL_POLICY, Archive, notarize
from pipeline.rehearsal import Answer, Endpoint, Levers, Rehearsal, Status
from pipeline.rehearsal.server import LoopbackServer, Request
from pipeline.rehearsal.state import State


class Clumsy:
    """A service with a defect."""

    def endpoint(self, method: str, path: str, query: str) -> Endpoint | None:
        return None

    def answer(self, request: Request) -> Answer:
        raise ZeroDivisionError("a defect")


class Friendly(Clumsy):
    """A service that repeats what it was sent."""

    def answer(self, request: Request) -> Answer:
        return Answer(status=200, body=request.body.document())


def test_threads_end_with_the_block(folder: Path, host: Host) -> None:
    """A client that keeps its connection open, and one in the middle of a request, hold nobody up."""
    before = set(threading.enumerate())
    session = requests.Session()
    with Rehearsal(folder, host) as running:
        assert running.services.timestamp_url is not None
        assert session.get(running.services.timestamp_url, timeout=60).status_code == 404
        name, port = running.services.notary.log_hosts[0].split(":")  # type: ignore[union-attr]
        waiting = socket.create_connection((name, int(port)))
        waiting.sendall(b"PUT /bucket/object HTTP/1.1\r\nContent-Length: 100\r\n\r\nnot all")
        assert set(threading.enumerate()) - before
    assert set(threading.enumerate()) == before
    with pytest.raises(requests.ConnectionError):
        session.get(f"http://{name}:{port}/ts01", timeout=60)
    waiting.close()


def test_what_a_killed_process_was_doing_is_swept(folder: Path, host: Host) -> None:
    """Its half an upload goes; that of a process that lives stays."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left, alive = folder / "work" / f"{dead.pid}-0", folder / "work" / f"{os.getppid()}-0"
    for one in (left, alive):
        one.mkdir(parents=True)
        (one / "received").write_bytes(b"half")
    with Rehearsal(folder, host):
        assert not left.exists()
        assert (alive / "received").read_bytes() == b"half"


def test_two_rehearsals_side_by_side(folder: Path, host: Host) -> None:
    """Over one folder, at two ports."""
    with Rehearsal(folder, host) as one, Rehearsal(folder, host) as other:
        assert one.services.tickets_url != other.services.tickets_url
        assert one.services.identity is not None
        assert other.services.identity is not None
        assert one.services.identity.chain == other.services.identity.chain


def test_a_defect_of_a_service_is_raised_at_the_end() -> None:
    """The client gets an answer that it does not ask again after; the block ends with the defect itself."""
    server = LoopbackServer({"/": Clumsy()}, Levers(), SystemClock().now)
    server.__enter__()
    answer = requests.get(f"http://{server.address}/", timeout=60)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        server.__exit__(None, None, None)
    assert answer.status_code == 400
    assert "ZeroDivisionError" in answer.text


def test_a_disk_that_is_full_ends_the_wait_for_a_verdict(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the services cannot keep is the host's refusal, at once: not half an hour of a notary that answers 500."""

    def full(_self: State, _identifier: str, _document: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(State, "save_log", full)
    rehearsal.levers.verdict = Status.ACCEPTED
    services, archive = rehearsal.services, rehearsal.state.object_path("any", "tool.zip")
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"archive")
    sent = Archive(path=archive, sha256=hashlib.sha256(b"archive").hexdigest(), size=7)
    assert services.notary is not None
    assert services.credentials is not None
    clock = FakeClock(SystemClock().now())
    with pytest.raises(ReleaseError, match="no space left") as stopped:
        notarize(
            host_with(clock),
            services.notary,
            services.credentials,
            [sent],
            archive.parent,
            REHEARSAL_POLICY,
            timedelta(minutes=30),
        )
    assert clock.slept < timedelta(seconds=1)
    with pytest.raises(HostRefused, match="no space left"):
        rehearsal.__exit__(type(stopped.value), stopped.value, None)


def test_a_client_that_breaks_off_is_no_defect(folder: Path, host: Host) -> None:
    """A connection that is reset in the middle of an upload is the client's affair; the block ends well."""
    with Rehearsal(folder, host) as running:
        name, port = running.services.notary.log_hosts[0].split(":")  # type: ignore[union-attr]
        going = socket.create_connection((name, int(port)))
        head = ["POST /ts01 HTTP/1.1", "Content-Type: application/timestamp-query", "Content-Length: 100"]
        going.sendall("\r\n".join([*head, "Expect: 100-continue", "", ""]).encode())
        assert going.recv(100).startswith(b"HTTP/1.1 100")
        going.sendall(b"not all")
        going.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        going.close()


def test_the_longest_path_answers() -> None:
    """A service at a longer beginning of the path goes before the one at `/`."""
    with LoopbackServer({"/": Friendly(), "/a": Clumsy(), "/a/b": Friendly()}, Levers(), SystemClock().now) as server:
        said = requests.post(f"http://{server.address}/a/b/c", data=b"hello", timeout=60)
        assert (said.status_code, said.content) == (200, b"hello")
        assert requests.post(f"http://{server.address}/other", data=b"", timeout=60).content == b""


def test_one_connection_serves_many_requests() -> None:
    """A body that a service leaves unread is not taken for the next request."""
    levers = Levers()

    class Deaf(Friendly):
        def answer(self, request: Request) -> Answer:
            return Answer(status=200)

    with LoopbackServer({"/": Deaf()}, levers, SystemClock().now) as server, requests.Session() as session:
        for _ in range(3):
            data = b"GET / HTTP/1.1\r\n\r\n" * 100
            assert session.post(f"http://{server.address}/", data=data, timeout=60).status_code == 200
