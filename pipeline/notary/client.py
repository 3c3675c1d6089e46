"""The notary's endpoints: one call, one request, one answer in our own types. No retries, no waiting.

Every call raises CredentialsError (401, 403), Throttled (429), NotThere (404), ServiceUnavailable (no answer, 5xx, an
answer that is not understood) or ReleaseError (any other refusal).
https://developer.apple.com/documentation/notaryapi
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from pipeline.errors import ServiceUnavailable
from pipeline.host import Host, Response
from pipeline.notary.answers import check
from pipeline.notary.bearer import Bearer
from pipeline.notary.service import NotaryCredentials, NotaryService
from pipeline.notary.wire import (
    Listed,
    UploadGrant,
    parse_grant,
    parse_list,
    parse_log_address,
    parse_status,
    submit_request,
)
from pipeline.redact import Secret


class NotaryClient:
    def __init__(self, host: Host, service: NotaryService, credentials: NotaryCredentials) -> None:
        self._host = host
        self._service = service
        host.redact.register(credentials.private_key)
        self._bearer = Bearer(credentials, host.clock, host.redact)

    def submit(self, name: str, sha256: str) -> UploadGrant:
        """Begin a submission. Not idempotent: after an error that leaves it open whether it was taken, look in
        `submissions` before doing it again."""
        response = self._call("POST", "/submissions", submit_request(name, sha256))
        grant = parse_grant(response.body)
        for secret in (grant.access_key, grant.secret_key, grant.session_token):
            self._host.redact.register(secret)
        return grant

    def submissions(self) -> tuple[Listed, ...]:
        """The team's newest submissions, at most 100."""
        return parse_list(self._call("GET", "/submissions").body)

    def status(self, submission: str) -> Listed:
        return parse_status(self._call("GET", f"/submissions/{quote(submission, safe='')}").body)

    def log(self, submission: str) -> bytes:
        """The log document as it is. Raises NotThere while there is none.

        Its address is pre-signed: it is fetched from the service's log hosts only, and without the token.
        """
        address = parse_log_address(self._call("GET", f"/submissions/{quote(submission, safe='')}/logs").body)
        self._host.redact.register(address)
        self._service.check_log_address(address)
        self._host.redact.register(Secret(urlsplit(address.reveal()).query))
        response = self._host.http.request("GET", address.reveal())
        if response.status != 200:
            # The object store speaks here, not the notary: its 403 says nothing about the team's key.
            raise ServiceUnavailable(
                f"the log's address answered {response.status}", where=f"GET {urlsplit(address.reveal()).netloc}"
            )
        return response.body

    def _call(self, method: str, path: str, body: bytes | None = None) -> Response:
        headers = {"Authorization": f"Bearer {self._bearer.token().reveal()}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        url = f"{self._service.base_url}{path}"
        response = self._host.http.request(method, url, headers=headers, body=body)
        check(response, f"{method} {url}", self._host.clock.now())
        return response
