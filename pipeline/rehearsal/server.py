"""The loopback HTTP server: reads requests, lets faults meet them, sends answers. What is asked and answered is
elsewhere.

One server for all services: their real paths do not collide. Its Date header tells the services' clock. Requests run in
threads; leaving the block ends every connection and joins every thread.
"""

from __future__ import annotations

import http
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from types import TracebackType
from typing import Any, Protocol, Self

from pipeline.errors import Interrupted, Terminated
from pipeline.host.files import refused
from pipeline.rehearsal.levers import Answer, CutAnswer, CutRequest, Endpoint, Levers, TimestampFault

_BLOCK = 1024 * 1024
# Nothing but an uploaded object is larger; a lookup of 10,000 CDHashes has 700 kB.
_LARGEST_DOCUMENT = 4 * 1024 * 1024


Now = Callable[[], datetime]
"""The clock of the services: the host's, and what a lever adds to it. Aware, in UTC."""


class ConnectionEnded(Exception):
    """The client went away in the middle of its request, or a lever cut it: nothing has been asked."""


class Body:
    """The body of a request, read once from the connection; shorter than announced is ConnectionEnded."""

    def __init__(self, stream: BufferedIOBase, length: int, cut_at: int | None) -> None:
        self._stream = stream
        self._left = length
        self._until_cut = cut_at
        self.length = length

    def read_block(self) -> bytes:
        """The next bytes, empty at the end."""
        if self._until_cut is not None and self._until_cut < self._left:
            self._take(self._until_cut)
            raise ConnectionEnded
        return self._take(min(self._left, _BLOCK))

    def document(self) -> bytes:
        """The rest, or as much of it as any document may have."""
        received = bytearray()
        while block := self.read_block():
            if len(received) <= _LARGEST_DOCUMENT:
                received += block
        return bytes(received)

    def skip(self) -> None:
        while self.read_block():
            pass

    def _take(self, count: int) -> bytes:
        try:
            data = self._stream.read(count)
        except ConnectionError:
            data = b""
        if len(data) < count:
            raise ConnectionEnded
        self._left -= count
        if self._until_cut is not None:
            self._until_cut -= count
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`path` and `query` as they came, still escaped; header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Body
    fault: TimestampFault | None = None


class Service(Protocol):
    def endpoint(self, method: str, path: str, query: str) -> Endpoint | None:
        """What a request asks for, so that a fault can meet it; None where nobody offers such a thing."""
        ...

    def answer(self, request: Request) -> Answer: ...


class LoopbackServer:
    """Serves on 127.0.0.1, at a port that the system chooses, until the block ends.

    `routes`: beginnings of paths and who answers them; the longest that fits. A defect of ours in a service, or a disk
    that is full, is answered with 400, which no client asks again after, and raised when the block ends, in place of
    what the client made of it.
    """

    def __init__(self, routes: Mapping[str, Service], levers: Levers, now: Now) -> None:
        self._server = _Server(routes, levers, now)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="rehearsal")

    @property
    def address(self) -> str:
        """127.0.0.1:PORT"""
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.end_connections()
        self._server.server_close()
        if self._server.defects and not isinstance(error, (KeyboardInterrupt, Interrupted, Terminated)):
            raise self._server.defects[0] from error


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close joins them
    request_queue_size = 128

    def __init__(self, routes: Mapping[str, Service], levers: Levers, now: Now) -> None:
        self.now = now
        self.routes = dict(sorted(routes.items(), key=lambda item: -len(item[0])))
        self.levers = levers
        self.defects: list[BaseException] = []
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def service_at(self, path: str) -> Service:
        return next(service for start, service in self.routes.items() if path.startswith(start))

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self._lock:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        with self._lock:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client ended it first

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away while it is answered is no defect; `_Handler` has kept what is."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def serve(self) -> None:
        path, _, query = self.path.partition("?")
        levers = self.server.levers
        service = self.server.service_at(path)
        endpoint = service.endpoint(self.command, path, query)
        fault = levers.arrived(endpoint) if endpoint else None
        request = Request(
            method=self.command,
            path=path,
            query=query,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=Body(self.rfile, self._announced(), fault.at if isinstance(fault, CutRequest) else None),
            fault=fault if isinstance(fault, TimestampFault) else None,
        )
        try:
            answer = fault if isinstance(fault, Answer) else self._ask(service, request)
            # What is left of the body would be read as the next request.
            request.body.skip()
        except ConnectionEnded:
            self._reset()
            return
        data = self._encode(answer)
        if isinstance(fault, CutAnswer):
            data = data[: fault.at]
            self.close_connection = True
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = serve  # noqa: N815  # the names that http.server looks for

    def _announced(self) -> int:
        text = self.headers.get("Content-Length", "0")
        return int(text) if text.isdecimal() else 0

    def _ask(self, service: Service, request: Request) -> Answer:
        try:
            return service.answer(request)
        except ConnectionEnded:
            raise
        except Exception as error:
            defect = refused(error, error.filename or "the rehearsal") if isinstance(error, OSError) else error
            self.server.defects.append(defect)
            return Answer(status=400, body=f"a defect of the rehearsal: {defect!r}\n".encode())

    def _encode(self, answer: Answer) -> bytes:
        reason = http.HTTPStatus(answer.status).phrase
        lines = [f"HTTP/1.1 {answer.status} {reason}", f"Content-Length: {len(answer.body)}"]
        lines += [f"Date: {format_datetime(self.server.now(), usegmt=True)}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        body = b"" if self.command == "HEAD" else answer.body
        return "\r\n".join([*lines, "", ""]).encode() + body

    def _reset(self) -> None:
        """Ends the connection so that the other side cannot take it for an orderly end (TCP reset)."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name is http.server's
        """What services say belongs to nobody's terminal."""
