"""One object in the store that the notary names: requests signed with SigV4, refusals in our words. No retries.

The signature is botocore's; its credentials are arguments, never the environment's, a profile's or a machine's. The
requests themselves go through the host, as every other.
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import quote, urlsplit

from pipeline.errors import CredentialsError, ReleaseError, ServiceUnavailable
from pipeline.explain import explain
from pipeline.host import Host, Response, Upload
from pipeline.notary.service import NotaryService
from pipeline.notary.wire import UploadGrant

# A store that checks a large object before it answers is silent for a while.
_SILENCE = timedelta(minutes=5)
# The credentials are at their end, or have been taken back: no upload with them can succeed any more.
_ENDED = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId"}
# Refusals by status 4xx that a second try may not meet: the bytes came damaged or not at all, two tries met, or an
# upload in parts is over.
_PASSING = {
    "RequestTimeout",
    "IncompleteBody",
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "OperationAborted",
    "ConditionalRequestConflict",
    "NoSuchUpload",
}


class GrantEnded(ReleaseError):
    """The leave to upload has ended. If the object is not there whole, its submission can never be processed."""

    unclear = False
    """An earlier try, whose answer was lost, may have put it there."""


class AlreadyThere(ReleaseError):
    """The object was to be put only where none is (`If-None-Match: *`), and one is."""


class ObjectStore:
    """What a grant gives leave to: one object."""

    def __init__(self, host: Host, service: NotaryService, grant: UploadGrant) -> None:
        self._host = host
        self._region = service.region
        self.part = service.part
        self._grant = grant
        self._url = service.object_url(grant.bucket, grant.object)

    def call(
        self,
        method: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Upload = b"",
        sha256: str | None = None,
    ) -> Response:
        """One request, answered with 2xx. `sha256` is the digest of a body that is an Upload: the store checks it.

        Raises GrantEnded, AlreadyThere, CredentialsError, ServiceUnavailable for what can pass, ReleaseError for any
        other refusal.
        """
        asked = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in (query or {}).items())
        url = f"{self._url}?{asked}" if asked else self._url
        digest = sha256 or hashlib.sha256(body if isinstance(body, bytes) else b"").hexdigest()
        signed = sign(method, url, headers or {}, digest, self._grant, self._region, self._host.clock.now())
        response = self._host.http.request(method, url, headers=signed, body=body, timeout=_SILENCE)
        _check(response, f"{method} {urlsplit(url).netloc}")
        return response


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body_sha256: str,
    grant: UploadGrant,
    region: str,
    now: datetime,
) -> dict[str, str]:
    """The headers with those of SigV4 (service s3) added. `url` is percent-encoded already."""
    from botocore.auth import SIGV4_TIMESTAMP, S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    class WithDigest(S3SigV4Auth):  # type: ignore[misc]
        """Signs for a given moment a body whose digest is known: botocore takes its own clock, and reads the body."""

        def payload(self, _request: object) -> str:
            return body_sha256

        def add_auth(self, request: AWSRequest) -> None:
            request.context["timestamp"] = now.strftime(SIGV4_TIMESTAMP)
            self._modify_request_before_signing(request)
            text = self.string_to_sign(request, self.canonical_request(request))
            self._inject_signature_to_request(request, self.signature(text, request))

    credentials = Credentials(grant.access_key.reveal(), grant.secret_key.reveal(), grant.session_token.reveal())
    request = AWSRequest(method=method, url=url, headers=dict(headers))
    WithDigest(credentials, "s3", region).add_auth(request)
    return dict(request.headers.items())


def element(body: bytes, name: str) -> str | None:
    """The text of the first such element in an answer of the store, on one line; its answers are small and flat."""
    found = re.search(rf"<{name}>([^<]*)</{name}>", body[: 16 * 1024].decode("utf-8", "replace"))
    return " ".join(found[1].split())[:1024] if found else None


def _check(response: Response, where: str) -> None:
    """Returns for success; raises what the store's error means.

    Completing an upload in parts can answer 200 with an error in its body.
    """
    status, code = response.status, element(response.body, "Code")
    if 200 <= status < 300 and code is None:
        return
    said = element(response.body, "Message")
    message = f"the object store answered {status}" + (f" {code}" if code else "") + (f": {said}" if said else "")
    remedy = next((found.remedy for found in explain(code)), None) if code else None
    if code in _ENDED:
        raise GrantEnded(message, where=where)
    if status == 412:
        raise AlreadyThere(message, where=where)
    if status >= 500 or status < 300 or status in (408, 429) or code in _PASSING:
        raise ServiceUnavailable(message, where=where, remedy="run again later: it resumes")
    if status == 403:
        raise CredentialsError(message, where=where, remedy=remedy)
    raise ReleaseError(message, where=where, remedy=remedy)
