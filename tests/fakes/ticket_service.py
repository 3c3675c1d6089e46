"""A simulator of Apple's ticket lookup on loopback: the real shapes of answers, and levers for what can go wrong.

Shapes: a found record as knightsc's article on syspolicyd prints it, NOT_FOUND and THROTTLED as in logs of stapler.
"""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

PATH = "/database/1/com.apple.gk.ticket-delivery/production/public/records/lookup"


class TicketService:
    """`with TicketService() as service:` serves at `service.url`.

    Levers: `tickets` (record name → bytes), `published_after` (requests answered with NOT_FOUND before any ticket
    shows), `throttled_records` and `throttled_requests` (how many answers put the client off), `retry_after`, `cut`
    (connections dropped), `statuses` (HTTP statuses to give first), `answer` (this body instead of ours).
    """

    def __init__(self) -> None:
        self.tickets: dict[str, bytes] = {}
        self.published_after = 0
        self.throttled_records = 0
        self.throttled_requests = 0
        self.retry_after: float | None = 10
        self.cut = 0
        self.statuses: list[int] = []
        self.answer: bytes | None = None
        self.requests: list[list[str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{PATH}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _lookup(self, names: list[str]) -> dict[str, Any]:
        self.requests.append(names)
        if self.throttled_requests:
            self.throttled_requests -= 1
            return self._put_off({"uuid": "2aaf9188-0000-0000-0000-000000000000"})
        records = []
        for name in names:
            ticket = self.tickets.get(name) if len(self.requests) > self.published_after else None
            if self.throttled_records:
                self.throttled_records -= 1
                records.append(self._put_off({"recordName": name}))
            elif ticket is None:
                not_found = {"recordName": name, "reason": "Record not found", "serverErrorCode": "NOT_FOUND"}
                records.append(not_found)
            else:
                value = {"value": base64.b64encode(ticket).decode(), "type": "BYTES"}
                records.append(
                    {
                        "recordName": name,
                        "recordType": "DeveloperIDTicket",
                        "fields": {"signedTicket": value},
                        "pluginFields": {},
                        "recordChangeTag": "jo2vy2jx",
                        "created": {"timestamp": 1541307800000, "userRecordName": "_d2", "deviceID": "2"},
                        "deleted": False,
                    }
                )
        return {"records": records}

    def _put_off(self, record: dict[str, Any]) -> dict[str, Any]:
        pause = {} if self.retry_after is None else {"retryAfter": self.retry_after}
        return {**record, "serverErrorCode": "THROTTLED", **pause}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if service.cut:
                    service.cut -= 1
                    self.connection.close()
                    return
                status = service.statuses.pop(0) if service.statuses else 200
                names = [record["recordName"] for record in json.loads(body)["records"]]
                if self.path != PATH or self.headers["Content-Type"] != "application/json":
                    status = 400
                answer = json.dumps(service._lookup(names)).encode() if status == 200 else b"<html>busy</html>"
                if service.answer is not None:
                    answer = service.answer
                self.send_response(status)
                self.send_header("Content-Type", "application/json; charset=UTF-8")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Silence: tests print their own."""

        return Handler
