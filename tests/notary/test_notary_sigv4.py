"""The signature of the upload against the vector that Amazon publishes."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from pipeline.notary.object_store import sign
from pipeline.notary.wire import UploadGrant
from pipeline.redact import Secret


def test_the_published_example_of_s3_comes_out() -> None:
    """GET Object of the S3 documentation ("Signature calculations: examples") has the signature printed there."""
    grant = UploadGrant(
        submission="x",
        bucket="examplebucket",
        object="test.txt",
        access_key=Secret("AKIAIOSFODNN7EXAMPLE"),
        secret_key=Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        session_token=Secret(""),
    )
    headers = sign(
        "GET",
        "https://examplebucket.s3.amazonaws.com/test.txt",
        {"Range": "bytes=0-9"},
        hashlib.sha256(b"").hexdigest(),
        grant,
        "us-east-1",
        datetime(2013, 5, 24, tzinfo=UTC),
    )
    assert headers["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )
    assert headers["Range"] == "bytes=0-9"
    assert headers["X-Amz-Date"] == "20130524T000000Z"
