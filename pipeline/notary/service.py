"""Which notary, and who asks: addresses, the hosts that may be talked to, the key of the team.

Here are the two things that the caller brings. What is said to the service is in `client` and `object_store`.
https://developer.apple.com/documentation/notaryapi
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from pipeline.errors import ServiceUnavailable
from pipeline.redact import Secret

# Names that Amazon's S3 allows for a bucket: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# A host and its port, and nothing that one parser of addresses reads otherwise than another: no user, no backslash.
_HOST = re.compile(r"[a-z0-9.-]+(?::[0-9]{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotaryService:
    """A notary's addresses. Nothing else is ever talked to."""

    base_url: str
    """Of the API, without a slash at the end: `{base_url}/submissions`."""
    object_store: str | None = None
    """Where archives are uploaded: the address of a bucket, `{bucket}` standing for its name; the object's key follows
    after a slash. A rehearsal gives `http://127.0.0.1:PORT/{bucket}`; None is Amazon's S3 in `region`."""
    log_hosts: tuple[str, ...]
    """Hosts (with the port, if the address has one) that a submission's log may be fetched from. One that begins with
    a dot stands for every host under it."""
    region: str = "us-west-2"
    """Of the object store, for its signatures: Apple's bucket is in us-west-2."""
    part: int = 32 * 1024 * 1024
    """Bytes of a part of an upload: an archive larger than two goes in parts. S3 takes 10,000, of 5 MB at least."""

    def object_url(self, bucket: str, key: str) -> str:
        """The address of an object, its key percent-encoded as SigV4 wants it: a colon is %3A.

        Raises ServiceUnavailable for a bucket's name that is none: it would lead to another host.
        """
        if not _BUCKET.fullmatch(bucket):
            raise ServiceUnavailable("the notary names a bucket that cannot be one", where=self.base_url)
        store = self.object_store or f"https://{{bucket}}.s3.{self.region}.amazonaws.com"
        return f"{store.replace('{bucket}', bucket)}/{quote(key, safe='/~')}"

    def check_log_address(self, address: Secret) -> None:
        """Raises ServiceUnavailable unless the address is one of `log_hosts`, by https (plain on loopback only)."""
        try:
            parts = urlsplit(address.reveal())
        except ValueError:
            parts = urlsplit("")
        host = parts.netloc.lower().removesuffix(":443")
        known = _HOST.fullmatch(host) is not None and any(
            host == one or (one.startswith(".") and host.endswith(one)) for one in self.log_hosts
        )
        safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        if not (known and safe):
            raise ServiceUnavailable(
                "the notary says that the log is at an address which is not the notary's own; it was not fetched",
                where=f"{parts.scheme}://{host.rpartition('@')[2]}",
                remedy="if Apple has moved its logs, add the host to the service's log_hosts",
            )


APPLE = NotaryService(
    base_url="https://appstoreconnect.apple.com/notary/v2",
    log_hosts=(
        "notary-artifacts-prod.s3.amazonaws.com",
        "notary-artifacts-prod.s3.us-west-2.amazonaws.com",
        ".apple.com",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotaryCredentials:
    """A team key of App Store Connect (role Developer is enough). An individual key cannot use the notary."""

    issuer: str
    """UUID of the team's keys."""
    key_id: str
    private_key: Secret
    """PEM of the P-256 key: the `.p8` file's text."""
