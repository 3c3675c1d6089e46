"""Which notary, and who asks: addresses, the hosts that may be talked to, the key of the team.

Here are the two things that the caller brings. What is said to the service is in `client` and `upload`.
https://developer.apple.com/documentation/notaryapi
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.redact import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class NotaryService:
    """A notary's addresses. Nothing else is ever talked to."""

    base_url: str
    """Of the API, without a slash at the end: `{base_url}/submissions`."""
    object_store: str | None = None
    """Where archives are uploaded: the address of a bucket, `{bucket}` standing for its name; the object's key follows
    after a slash. A rehearsal gives `http://127.0.0.1:PORT/{bucket}`; None is Amazon's S3 in `region`."""
    log_hosts: tuple[str, ...]
    """Hosts (with the port, if the address has one) that a submission's log may be fetched from."""
    region: str = "us-west-2"
    """Of the object store, for its signatures: Apple's bucket is in us-west-2."""


APPLE = NotaryService(
    base_url="https://appstoreconnect.apple.com/notary/v2",
    log_hosts=("notary-artifacts-prod.s3.amazonaws.com",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotaryCredentials:
    """A team key of App Store Connect (role Developer is enough). An individual key cannot use the notary."""

    issuer: str
    """UUID of the team's keys."""
    key_id: str
    private_key: Secret
    """PEM of the P-256 key: the `.p8` file's text."""
