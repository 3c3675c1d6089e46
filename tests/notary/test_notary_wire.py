"""The shapes of the notary's answers: the documented ones, and anything else."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ServiceUnavailable
from pipeline.notary import APPLE, NotaryService, NotaryStatus
from pipeline.notary.wire import parse_grant, parse_list, parse_log_address, parse_status, submit_request
from pipeline.redact import Secret

ID = "2efe2717-52ef-43a5-96dc-0797e4ca1041"
GRANT = {
    "data": {
        "attributes": {
            "awsAccessKeyId": "ASIAIOSFODNN7EXAMPLE",
            "awsSecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "awsSessionToken": "AQoDYXdzEJr...",
            "bucket": "notary-submissions-prod",
            "object": f"prod/AROARQRX7CZS3PRF6ZA5L:{ID}",
        },
        "id": ID,
        "type": "newSubmissions",
    },
    "meta": {},
}
STATUS = {
    "data": {
        "attributes": {"createdDate": "2022-06-08T01:38:09.498Z", "name": "x.zip", "status": "Accepted"},
        "id": ID,
        "type": "submissions",
    },
    "meta": {},
}


def test_the_request_holds_what_apple_documents() -> None:
    """Name, digest and notifications are sent under Apple's names."""
    assert json.loads(submit_request("x.zip", "ab" * 32)) == {
        "submissionName": "x.zip",
        "sha256": "ab" * 32,
        "notifications": [],
    }


def test_a_grant_is_read_and_its_secrets_are_secrets() -> None:
    """The answer to a submission is read whole, and shows none of its credentials."""
    grant = parse_grant(json.dumps(GRANT).encode())
    assert (grant.submission, grant.bucket) == (ID, "notary-submissions-prod")
    assert grant.secret_key.reveal() == "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    for hidden in ("ASIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI", "AQoDYXdzEJr"):
        assert hidden not in repr(grant)


@pytest.mark.parametrize("status", list(NotaryStatus))
def test_every_documented_status_is_known(status: NotaryStatus) -> None:
    """The four documented words are answers; `type` is not looked at."""
    document = json.loads(json.dumps(STATUS))
    document["data"]["attributes"]["status"] = status.value
    document["data"]["type"] = "anything"
    assert parse_status(json.dumps(document).encode()).status is status


def test_an_undocumented_status_is_told_and_decides_nothing() -> None:
    """Another word is kept as it is, and is no status."""
    document = json.loads(json.dumps(STATUS))
    document["data"]["attributes"]["status"] = "accepted"
    listed = parse_status(json.dumps(document).encode())
    assert listed.status is None
    assert listed.said == "accepted"


def test_a_list_is_read_in_its_order() -> None:
    """The list is an array of what a status is."""
    entry = STATUS["data"]
    other = json.loads(json.dumps(entry)) | {"id": ID.replace("2", "3")}
    listed = parse_list(json.dumps({"data": [entry, other], "meta": {}}).encode())
    assert [one.id for one in listed] == [ID, ID.replace("2", "3")]


@pytest.mark.parametrize("key", ["awsAccessKeyId", "awsSecretAccessKey", "awsSessionToken", "bucket", "object"])
@pytest.mark.parametrize("value", [None, "", 7, ["x"], "a\nb"])
def test_a_grant_that_lacks_something_is_not_understood(key: str, value: object) -> None:
    """No field of a grant may be missing, empty, of another kind, or steer a header."""
    document = json.loads(json.dumps(GRANT))
    document["data"]["attributes"][key] = value
    with pytest.raises(ServiceUnavailable, match=key):
        parse_grant(json.dumps(document).encode())


@pytest.mark.parametrize("identifier", ["", "../../logs", "a/b", "x" * 65, "é" * 10, None])
def test_an_id_that_is_none_is_not_understood(identifier: object) -> None:
    """What becomes a part of an address is only ever an id."""
    document = json.loads(json.dumps(GRANT))
    document["data"]["id"] = identifier
    with pytest.raises(ServiceUnavailable, match="id"):
        parse_grant(json.dumps(document).encode())


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("az", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "attributes", "id", "status", "developerLogUrl"]), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(_JSON, st.sampled_from([parse_grant, parse_status, parse_list, parse_log_address]))
def test_any_answer_is_read_or_not_understood(document: Any, parse: Any) -> None:
    """Whatever JSON a service answers, the reading succeeds or says ServiceUnavailable."""
    with suppress(ServiceUnavailable):
        parse(json.dumps(document).encode())


@given(st.binary(max_size=100), st.sampled_from([parse_grant, parse_status, parse_list, parse_log_address]))
def test_what_is_no_json_is_not_understood(body: bytes, parse: Any) -> None:
    """HTML, plain text and noise are told as not understood."""
    with pytest.raises(ServiceUnavailable):
        parse(b"<" + body)


@pytest.mark.parametrize("bucket", ["", "a", "evil.example/x", "A" * 10, "b@evil.example", "x" * 64, "../x", "b#c"])
def test_a_bucket_that_leads_elsewhere_is_refused(bucket: str) -> None:
    """The name of a bucket cannot change the host that an archive goes to."""
    with pytest.raises(ServiceUnavailable, match="bucket"):
        APPLE.object_url(bucket, "prod/x")


def test_an_objects_key_is_escaped_for_sigv4() -> None:
    """Apple's keys hold a colon, which is %3A in the address and in the canonical path."""
    assert (
        APPLE.object_url("notary-submissions-prod", "prod/AROA:1238aa04 ü")
        == "https://notary-submissions-prod.s3.us-west-2.amazonaws.com/prod/AROA%3A1238aa04%20%C3%BC"
    )
    store = NotaryService(base_url="x", object_store="http://127.0.0.1:7/{bucket}", log_hosts=())
    assert store.object_url("some-bucket", "a/b") == "http://127.0.0.1:7/some-bucket/a/b"


@pytest.mark.parametrize(
    "address",
    [
        "https://notary-artifacts-prod.s3.amazonaws.com/prod/x/developer_log.json?Signature=x",
        "https://notary-artifacts-prod.s3.amazonaws.com:443/prod/x",
        "https://NOTARY-ARTIFACTS-PROD.s3.us-west-2.amazonaws.com/x",
        "https://logs.apple.com/x",
    ],
)
def test_a_log_is_fetched_from_apple(address: str) -> None:
    """Apple's bucket and Apple's own hosts are let through."""
    APPLE.check_log_address(Secret(address))


@pytest.mark.parametrize(
    "address",
    [
        "http://notary-artifacts-prod.s3.amazonaws.com/x",
        "https://evil.s3.amazonaws.com/x",
        "https://notary-artifacts-prod.s3.amazonaws.com.evil.example/x",
        "https://notary-artifacts-prod.s3.amazonaws.com@evil.example/x",
        "https://user@notary-artifacts-prod.s3.amazonaws.com/x",
        "https://user@logs.apple.com/x",
        "https://evilapple.com/x",
        "https://evil.example\\.apple.com/x",
        "https://evil.example\\@logs.apple.com/x",
        "https://evil.example%2f.apple.com/x",
        "https://notary-artifacts-prod.s3.amazonaws.com:8443/x",
        "file:///etc/passwd",
        "https:///x",
        "https://[::1/x",
        "",
    ],
)
def test_a_log_is_fetched_from_nowhere_else(address: str) -> None:
    """Any other host, scheme, user or port is refused, and the address is not in the message."""
    with pytest.raises(ServiceUnavailable, match="not fetched") as refused:
        APPLE.check_log_address(Secret(address))
    assert "/x" not in str(refused.value)
