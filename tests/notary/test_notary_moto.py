"""The upload against an S3 that is not ours: moto's server, which checks every signature and every permission."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from builders.hosts import host_with
from moto.server import ThreadedMotoServer

from pipeline.errors import CredentialsError
from pipeline.host import Host, SystemClock
from pipeline.notary import APPLE_POLICY, Archive, NotaryService
from pipeline.notary.object_store import AlreadyThere, GrantEnded, ObjectStore
from pipeline.notary.upload import put_archive
from pipeline.notary.waiting import Patience
from pipeline.notary.wire import UploadGrant
from pipeline.redact import Secret

PART = 5 * 1024 * 1024
REGION = "us-west-2"
BUCKET = "notary-submissions-prod"
# What a grant of Apple's lets its holder do, and reading back for the tests.
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["s3:PutObject", "s3:GetObject"], "Resource": f"arn:aws:s3:::{BUCKET}/prod/*"}
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket of moto's, and temporary credentials for what lies under prod/ in it."""

    url: str
    access_key: str
    secret_key: str
    session_token: str

    def grant(self, name: str) -> UploadGrant:
        return UploadGrant(
            submission="2efe2717-52ef-43a5-96dc-0797e4ca1041",
            bucket=BUCKET,
            object=name,
            access_key=Secret(self.access_key),
            secret_key=Secret(self.secret_key),
            session_token=Secret(self.session_token),
        )

    def stored(self, name: str) -> dict[str, Any]:
        """The object as boto3 gets it."""
        client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            aws_session_token=self.session_token,
        )
        found: dict[str, Any] = client.get_object(Bucket=BUCKET, Key=name)
        return found


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    anybody = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "endpoint_url": url, "region_name": REGION}
    boto3.client("s3", **anybody).create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    identities = boto3.client("iam", **anybody)
    role = identities.create_role(RoleName="upload", AssumeRolePolicyDocument=json.dumps(POLICY))["Role"]
    identities.put_role_policy(RoleName="upload", PolicyName="upload", PolicyDocument=json.dumps(POLICY))
    given = boto3.client("sts", **anybody).assume_role(RoleArn=role["Arn"], RoleSessionName="notary")["Credentials"]
    # From here on every request is held against IAM: its signature, its token, its permissions.
    assert requests.post(f"{url}/moto-api/reset-auth", data="0", timeout=60).status_code == 200
    yield Bucket(
        url=url,
        access_key=given["AccessKeyId"],
        secret_key=given["SecretAccessKey"],
        session_token=given["SessionToken"],
    )
    server.stop()


@pytest.fixture
def host() -> Host:
    return host_with(SystemClock())


def archive_of(folder: Path, size: int, mark: bytes = b"one") -> Archive:
    """A file of that size, sparse but for a mark in each part."""
    path = folder / f"{mark.decode()}-{size}.zip"
    with path.open("wb") as stream:
        for offset in range(0, size, PART):
            stream.seek(offset)
            stream.write(mark + b"%d" % offset)
        stream.truncate(size)
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Archive(path=path, sha256=digest, size=size)


def put(host: Host, bucket: Bucket, archive: Archive, name: str, *, again: bool = False) -> int:
    """Upload as a release does; how many bytes the progress bar was told of."""
    service = NotaryService(base_url="unused", object_store=f"{bucket.url}/{{bucket}}", log_hosts=(), part=PART)
    patience = Patience(host.clock, APPLE_POLICY, timedelta(minutes=1), resume="", say=host.console.say)
    told: list[int] = []
    store = ObjectStore(host, service, bucket.grant(name))
    put_archive(store, host.files, archive, patience, again=again, sent=told.append)
    return sum(told)


# One PUT; one of just two parts; three parts, the last of one byte.
SIZES = pytest.mark.parametrize("size", [1000, 2 * PART, 2 * PART + 1], ids=["single", "just-single", "parts"])


@SIZES
def test_an_archive_arrives_whole(host: Host, bucket: Bucket, tmp_path: Path, size: int) -> None:
    """Single or in parts, under a name with a colon as Apple's: the bytes that boto3 reads back are the archive's."""
    archive = archive_of(tmp_path, size)
    name = f"prod/AROARQRX7CZS3PRF6ZA5L:whole-{size}"
    assert put(host, bucket, archive, name) == size
    found = bucket.stored(name)
    assert hashlib.sha256(found["Body"].read()).hexdigest() == archive.sha256
    assert found["ETag"].endswith('-3"') == (size > 2 * PART)


@SIZES
def test_what_is_there_is_not_uploaded_again(host: Host, bucket: Bucket, tmp_path: Path, size: int) -> None:
    """A try that may have succeeded is repeated on the condition that nothing is there, and is a success if it is."""
    first, second = archive_of(tmp_path, size, b"first"), archive_of(tmp_path, size, b"second")
    name = f"prod/AROARQRX7CZS3PRF6ZA5L:again-{size}"
    put(host, bucket, first, name, again=True)
    put(host, bucket, second, name, again=True)
    assert hashlib.sha256(bucket.stored(name)["Body"].read()).hexdigest() == first.sha256


def test_a_condition_that_fails_is_an_error_where_nothing_was_tried_before(host: Host, bucket: Bucket) -> None:
    """The store's own 412 is what the client's rule rests on."""
    service = NotaryService(base_url="unused", object_store=f"{bucket.url}/{{bucket}}", log_hosts=())
    store = ObjectStore(host, service, bucket.grant("prod/condition"))
    store.call("PUT", headers={"If-None-Match": "*"}, body=b"first")
    with pytest.raises(AlreadyThere):
        store.call("PUT", headers={"If-None-Match": "*"}, body=b"second")


@pytest.mark.parametrize(
    ("changes", "name", "kind", "words"),
    [
        ({"secret_key": "wrong"}, "prod/refused", CredentialsError, "SignatureDoesNotMatch"),
        ({"access_key": "ASIAWRONG"}, "prod/refused", GrantEnded, "InvalidAccessKeyId"),
        ({"session_token": "wrong"}, "prod/refused", GrantEnded, "InvalidToken"),
        ({}, "elsewhere", CredentialsError, "AccessDenied"),
    ],
    ids=["signature", "key", "token", "another-object"],
)
def test_a_refusal_is_understood(
    host: Host, bucket: Bucket, tmp_path: Path, changes: dict[str, str], name: str, kind: type[Exception], words: str
) -> None:
    """Wrong credentials and another object are refused by moto in S3's words, and become our kinds of error."""
    with pytest.raises(kind, match=words):
        put(host, replace(bucket, **changes), archive_of(tmp_path, 1000), name)
