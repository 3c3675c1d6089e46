"""What the notary grants in the object store: credentials for one upload, and addresses of logs that anyone may fetch.

Both are derived from the object store's key and the submission's id, so that nothing secret is kept for a submission
and every process that has the folder honours the same ones.
"""

from __future__ import annotations

import base64
import hmac
from datetime import datetime, timedelta
from urllib.parse import parse_qs, quote, urlencode

from pipeline.redact import Secret
from pipeline.rehearsal.signature_v4 import UploadCredentials
from pipeline.rehearsal.state import Submission

SUBMISSIONS = "notary-submissions-prod"
ARTIFACTS = "notary-artifacts-prod"
_LOG_LIVES = timedelta(hours=1)


def upload_credentials(key: Secret, submission: Submission, live: timedelta) -> UploadCredentials:
    """In the forms of temporary AWS credentials: 20 characters, 40 characters, a long token with `+`, `/` and `=`."""
    name = submission.id
    return UploadCredentials(
        access_key_id="ASIA" + base64.b32encode(_derived(key, f"id {name}")).decode()[:16],
        secret_access_key=base64.b64encode(_derived(key, f"secret {name}")).decode()[:40],
        session_token=base64.b64encode(_derived(key, f"token {name}") * 8).decode(),
        expires=submission.created + live,
    )


def log_path(identifier: str) -> str:
    return f"/{ARTIFACTS}/prod/{quote(identifier)}/developer_log.json"


def log_address(key: Secret, origin: str, identifier: str, now: datetime) -> str:
    """A pre-signed address at `origin` (scheme and host), good for an hour."""
    expires = int((now + _LOG_LIVES).timestamp())
    path = log_path(identifier)
    query = {
        "AWSAccessKeyId": "ASIA" + base64.b32encode(_derived(key, "artifacts")).decode()[:16],
        "Signature": _log_signature(key, path, expires),
        "x-amz-security-token": base64.b64encode(_derived(key, "artifacts token") * 8).decode(),
        "Expires": str(expires),
    }
    return f"{origin}{path}?{urlencode(query)}"


def may_read_log(key: Secret, path: str, query: str, now: datetime) -> bool:
    """Is this the path and the query of an address that `log_address` gave out less than an hour ago?"""
    said = {name: values[-1] for name, values in parse_qs(query).items()}
    expires = said.get("Expires", "")
    if not expires.isdecimal() or now.timestamp() > int(expires):
        return False
    expected = _log_signature(key, path, int(expires))
    return hmac.compare_digest(said.get("Signature", "").encode(), expected.encode())


def _log_signature(key: Secret, path: str, expires: int) -> str:
    return base64.b64encode(_derived(key, f"GET {expires} {path}")).decode()


def _derived(key: Secret, purpose: str) -> bytes:
    return hmac.digest(key.reveal().encode(), purpose.encode(), "sha256")
