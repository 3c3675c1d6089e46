"""A user of the notary that is not our client: requests, PyJWT and botocore as they come."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import jwt
import requests
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pipeline.rehearsal import answers
from pipeline.toolchain.services import Services

REFUSED_KEYS = {
    "401": (answers.UNAUTHENTICATED, "issuer, key id and .p8"),
    "agreement": (answers.AGREEMENT_MISSING, "Account Holder"),
    "provider": (answers.PROVIDER_MISSING, "issuer and key id"),
    "role": (answers.ROLE_TOO_NARROW, "role Developer"),
}
"""Each answer with which the notary refuses a key, and words that are said of this one alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a POST answered."""

    submission: str
    url: str
    credentials: Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class NotaryUser:
    services: Services

    @property
    def base(self) -> str:
        assert self.services.notary is not None
        return self.services.notary.base_url

    def token(self, *, headers: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """A good token, with claims or header fields changed; a claim of None is left out."""
        credentials = self.services.credentials
        assert credentials is not None
        now = int(datetime.now(UTC).timestamp())
        claims = {"iss": credentials.issuer, "iat": now - 30, "exp": now + 900, "aud": "appstoreconnect-v1"} | changes
        kept = {name: value for name, value in claims.items() if value is not None}
        named = {"kid": credentials.key_id} | dict(headers or {})
        return jwt.encode(kept, credentials.private_key.reveal(), algorithm="ES256", headers=named)

    def call(self, method: str, path: str, *, token: str | None = None, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token or self.token()}"}
        return requests.request(method, f"{self.base}/{path}", headers=headers, timeout=60, **more)

    def submit(self, name: str, sha256: str) -> Grant:
        answer = self.call("POST", "submissions", json={"submissionName": name, "sha256": sha256})
        assert answer.status_code == 200, answer.text
        data = answer.json()["data"]
        said = data["attributes"]
        assert self.services.notary is not None
        assert self.services.notary.object_store is not None
        return Grant(
            submission=data["id"],
            url=f"{self.services.notary.object_store.format(bucket=said['bucket'])}/{quote(said['object'])}",
            credentials=Credentials(said["awsAccessKeyId"], said["awsSecretAccessKey"], said["awsSessionToken"]),
        )

    def signed(
        self,
        grant: Grant,
        data: bytes,
        *,
        method: str = "PUT",
        query: str = "",
        region: str = "us-west-2",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[str, dict[str, str]]:
        """Address and headers of a request to the object store, signed by botocore."""
        url = grant.url + query
        request = AWSRequest(method, url, data=data, headers=dict(headers or {}))
        S3SigV4Auth(grant.credentials, "s3", region).add_auth(request)
        return url, dict(request.headers)

    def upload(self, grant: Grant, data: bytes) -> requests.Response:
        url, headers = self.signed(grant, data)
        return requests.put(url, data=data, headers=headers, timeout=60)

    def status(self, submission: str) -> str:
        answer = self.call("GET", f"submissions/{submission}")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["data"]["attributes"]["status"])

    def log(self, submission: str) -> dict[str, Any]:
        answer = self.call("GET", f"submissions/{submission}/logs")
        assert answer.status_code == 200, answer.text
        document = requests.get(answer.json()["data"]["attributes"]["developerLogUrl"], timeout=60)
        assert document.status_code == 200, document.text
        return dict(document.json())

    def judge(self, archive: bytes, name: str = "tool.zip") -> dict[str, Any]:
        """Submit, upload, ask until there is a verdict; the log."""
        grant = self.submit(name, hashlib.sha256(archive).hexdigest())
        assert self.upload(grant, archive).status_code == 200
        for _ in range(100):
            if self.status(grant.submission) != "In Progress":
                return self.log(grant.submission)
        raise AssertionError("no verdict after a hundred polls")
