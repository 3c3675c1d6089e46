"""The upload: one object put into the bucket that the notary names, streamed from disk, signed with SigV4.

The signature is botocore's; its credentials are arguments, never the environment's, a profile's or a machine's. The
request itself goes through the host, as every other. One try, one result: who tries again is `steps`.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from pipeline.errors import CredentialsError, ReleaseError, ServiceUnavailable
from pipeline.explain import explain
from pipeline.host import Host, Response, Upload
from pipeline.notary.service import NotaryService
from pipeline.notary.submission import Archive
from pipeline.notary.wire import UploadGrant

# A store that checks a large object before it answers is silent for a while.
_SILENCE = timedelta(minutes=5)
# The credentials are at their end, or have been taken back: no upload with them can succeed any more.
_ENDED = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId"}
# Refusals by status 4xx that a second try may not meet: the bytes came damaged or not at all, or two tries met.
_PASSING = {
    "RequestTimeout",
    "IncompleteBody",
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "OperationAborted",
    "ConditionalRequestConflict",
}


class GrantEnded(ServiceUnavailable):
    """The leave to upload has ended: this submission can never be processed."""


def put_object(
    host: Host,
    service: NotaryService,
    grant: UploadGrant,
    archive: Archive,
    *,
    again: bool,
    sent: Callable[[int], object],
) -> None:
    """Upload the archive; on return the object store has it whole, and has checked its SHA-256.

    `again`: an earlier try may have succeeded without our knowing. The object is then put only where none is
    (`If-None-Match: *`), and one that is there already is a success: its name belongs to this submission alone.
    Raises GrantEnded, CredentialsError, ServiceUnavailable for what can pass, ReleaseError for any other refusal.
    """
    url = service.object_url(grant.bucket, grant.object)
    headers = {"Content-Type": "application/octet-stream"} | ({"If-None-Match": "*"} if again else {})
    signed = sign("PUT", url, headers, archive.sha256, grant, service.region, host.clock.now())
    body = Upload(path=archive.path, length=archive.size, sent=sent)
    response = host.http.request("PUT", url, headers=signed, body=body, timeout=_SILENCE)
    if again and response.status == 412:
        return
    _check(response, f"PUT {urlsplit(url).netloc}")


def sign(
    method: str,
    url: str,
    headers: dict[str, str],
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
    request = AWSRequest(method=method, url=url, headers=headers)
    WithDigest(credentials, "s3", region).add_auth(request)
    return dict(request.headers.items())


def _check(response: Response, where: str) -> None:
    """Returns for 2xx; raises what the object store's error (XML) means."""
    status = response.status
    if 200 <= status < 300:
        return
    code, said = _told(response.body)
    message = f"the object store answered {status}" + (f" {code}" if code else "") + (f": {said}" if said else "")
    remedy = next((found.remedy for found in explain(code)), None) if code else None
    if code in _ENDED:
        raise GrantEnded(message, where=where)
    if status >= 500 or status in (408, 429) or code in _PASSING:
        raise ServiceUnavailable(message, where=where, remedy="run again later: it resumes")
    if status == 403:
        raise CredentialsError(message, where=where, remedy=remedy)
    raise ReleaseError(message, where=where, remedy=remedy)


def _told(body: bytes) -> tuple[str, str]:
    text = body[: 16 * 1024].decode("utf-8", "replace")
    found = {name: re.search(rf"<{name}>([^<]*)</{name}>", text) for name in ("Code", "Message")}
    code, said = (" ".join(one[1].split())[:300] if one else "" for one in (found["Code"], found["Message"]))
    return code, said
