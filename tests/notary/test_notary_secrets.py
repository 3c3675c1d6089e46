"""No secret in any file or on any screen: the keys, the tokens, the object store's credentials, the log's address."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from builders.notary_desk import WAIT, Desk, Killed, killing

from pipeline.host import Http, Response, Upload
from pipeline.notary import APPLE_POLICY, notarize
from pipeline.notary.client import NotaryClient
from pipeline.rehearsal import CutRequest, Endpoint, answers


class Eavesdropper(Http):
    """Sends what it is given, and keeps every secret that passes."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: set[str] = set()
        self.authorised: list[str] = []

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Upload | None = None,
        timeout: timedelta = timedelta(seconds=60),
    ) -> Response:
        for name, value in (headers or {}).items():
            if name == "Authorization" and value.startswith("Bearer "):
                self.heard.add(value.removeprefix("Bearer "))
                self.authorised.append(url)
            elif name == "X-Amz-Security-Token":
                self.heard.add(value)
        self.heard.update([url.partition("?")[2]] if "?" in url else [])
        response = super().request(method, url, headers=headers, body=body, timeout=timeout)
        if method == "POST" and response.status == 200:
            attributes = json.loads(response.body)["data"]["attributes"]
            self.heard.update(value for name, value in attributes.items() if name.startswith("aws"))
        return response


def run(desk: Desk, ears: Eavesdropper) -> None:
    services = desk.rehearsal.services
    assert services.notary is not None
    assert services.credentials is not None
    host = replace(desk.host(), http=ears)
    notarize(host, services.notary, services.credentials, [desk.archive()], desk.records, APPLE_POLICY, WAIT)


def texts(desk: Desk, folder: Path) -> list[str]:
    return [path.read_text() for path in folder.rglob("*") if path.is_file()] + [desk.terminal.text()]


def private_lines(desk: Desk) -> set[str]:
    assert desk.rehearsal.services.credentials is not None
    key = desk.rehearsal.services.credentials.private_key.reveal()
    return {line for line in key.splitlines() if not line.startswith("-----")}


def test_nothing_that_passed_is_in_a_file_or_on_the_screen(desk: Desk) -> None:
    """After a run with faults, every byte of every record and of the terminal is free of every secret that was used."""
    ears = Eavesdropper()
    desk.levers.schedule(Endpoint.UPLOAD, CutRequest(at=20))
    desk.levers.schedule(Endpoint.UPLOAD, answers.EXPIRED_TOKEN, at=2)
    run(desk, ears)
    assert len(ears.heard) >= 8
    secrets = ears.heard | private_lines(desk)
    for text in texts(desk, desk.records):
        assert [secret for secret in secrets if secret in text] == []


def test_leave_to_upload_is_redacted_as_it_arrives(desk: Desk) -> None:
    """Before anything is done with the object store's credentials, nothing can print them any more."""
    services, host = desk.rehearsal.services, desk.host()
    assert services.notary is not None
    assert services.credentials is not None
    grant = NotaryClient(host, services.notary, services.credentials).submit("tool.zip", "00" * 32)
    for secret in (grant.access_key, grant.secret_key, grant.session_token):
        assert host.redact(f"x {secret.reveal()} x") == "x [redacted] x"


def test_the_token_goes_to_the_notary_alone(desk: Desk) -> None:
    """No bearer token is sent to the object store or with the log's address."""
    ears = Eavesdropper()
    run(desk, ears)
    assert desk.rehearsal.services.notary is not None
    assert len(ears.authorised) >= 3
    assert [url for url in ears.authorised if not url.startswith(desk.rehearsal.services.notary.base_url)] == []


def test_the_leave_to_upload_is_only_where_it_must_be(desk: Desk) -> None:
    """Killed at any moment, the object store's credentials are in the one file with mode 0600, or nowhere."""
    for number in range(1, 12):
        archive = desk.archive(f"{number}.zip", b"%d" % number)
        with pytest.raises(Killed):
            desk.notarize([archive], observe=killing(number))
        for path in desk.records.rglob("*"):
            if "ASIA" in path.read_text() or "session-token" in path.read_text():
                assert path.name.endswith(".upload")
                assert path.stat().st_mode & 0o777 == 0o600
