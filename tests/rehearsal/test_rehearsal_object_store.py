"""The object store, asked with signatures by botocore: what it takes, what it refuses, and when an upload counts."""

from __future__ import annotations

import hashlib
import re
import socket
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from botocore.credentials import Credentials
from builders.hosts import host_with
from builders.notary_user import Grant, NotaryUser

from pipeline.host import SystemClock
from pipeline.rehearsal import Levers, Rehearsal

DATA = bytes(range(256)) * 40
DIGEST = hashlib.sha256(DATA).hexdigest()
MIB = 1024 * 1024


@pytest.fixture
def grant(user: NotaryUser) -> Grant:
    return user.submit("a.zip", DIGEST)


def code_of(answer: requests.Response) -> str:
    """The error code of S3's XML."""
    found = re.search(r"<Code>(\w+)</Code>", answer.text)
    assert found is not None, answer.text
    assert answer.headers["Content-Type"] == "application/xml"
    return found[1]


def uploads(rehearsal: Rehearsal) -> int:
    (submission,) = rehearsal.state.submissions()
    return submission.uploads


def test_a_signed_put_is_stored(user: NotaryUser, grant: Grant, rehearsal: Rehearsal) -> None:
    """The object is on disk, byte for byte, and its ETag is its MD5."""
    answer = user.upload(grant, DATA)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["ETag"] == f'"{hashlib.md5(DATA, usedforsecurity=False).hexdigest()}"'
    (submission,) = rehearsal.state.submissions()
    assert submission.uploads == 1
    assert submission.uploaded is not None
    assert rehearsal.state.object_path(submission.bucket, submission.object).read_bytes() == DATA


def test_the_colon_of_the_key_may_come_escaped_or_not(user: NotaryUser, grant: Grant, rehearsal: Rehearsal) -> None:
    """SigV4 escapes `:` in the canonical path whichever way the request line has it."""
    url, headers = user.signed(grant, DATA)
    assert "%3A" in url
    plain = url.replace("%3A", ":")
    assert requests.put(plain, data=DATA, headers=headers, timeout=60).status_code == 200
    assert uploads(rehearsal) == 1


def test_other_content_than_was_signed_is_refused(user: NotaryUser, grant: Grant, rehearsal: Rehearsal) -> None:
    """One changed byte: the content hash does not hold, and nothing is stored."""
    url, headers = user.signed(grant, DATA)
    answer = requests.put(url, data=b"\xff" + DATA[1:], headers=headers, timeout=60)
    assert (answer.status_code, code_of(answer)) == (400, "XAmzContentSHA256Mismatch")
    assert uploads(rehearsal) == 0


REFUSALS = {
    "another secret": (403, "SignatureDoesNotMatch"),
    "another access key": (403, "InvalidAccessKeyId"),
    "another token": (400, "InvalidToken"),
    "no token": (400, "InvalidToken"),
    "another region": (400, "AuthorizationHeaderMalformed"),
    "a header that is not signed": (403, "AccessDenied"),
    "another date": (403, "SignatureDoesNotMatch"),
    "no signature": (403, "AccessDenied"),
    "the notary's token": (400, "InvalidArgument"),
    "another object": (403, "AccessDenied"),
    "another bucket": (403, "AccessDenied"),
    "another method": (403, "SignatureDoesNotMatch"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_is_not_signed_for_is_refused(user: NotaryUser, grant: Grant, rehearsal: Rehearsal, what: str) -> None:
    """Each part of the signature counts, and each refusal has S3's code."""
    said = grant.credentials
    id_, secret, token = said.access_key, said.secret_key, said.token
    changed = {
        "another secret": Credentials(id_, "x" * 40, token),
        "another access key": Credentials("ASIA" + "X" * 16, secret, token),
        "another token": Credentials(id_, secret, token[:-4] + "AAA="),
        "no token": Credentials(id_, secret),
    }.get(what, said)
    region = "us-east-1" if what == "another region" else "us-west-2"
    method = "POST" if what == "another method" else "PUT"
    used = Grant(submission=grant.submission, url=grant.url, credentials=changed)
    url, headers = user.signed(used, DATA, region=region, method=method)
    if what == "a header that is not signed":
        headers["x-amz-acl"] = "private"
    if what == "another date":
        day = headers["X-Amz-Date"]
        headers["X-Amz-Date"] = f"{day[:9]}{(int(day[9:11]) + 0):02}{(int(day[11:13]) + 1) % 60:02}{day[13:]}"
    if what == "no signature":
        del headers["Authorization"]
    if what == "the notary's token":
        headers["Authorization"] = f"Bearer {user.token()}"
    if what == "another object":
        url += "2"
    if what == "another bucket":
        url = url.replace("notary-submissions-prod", "notary-submissions-other")
    answer = requests.put(url, data=DATA, headers=headers, timeout=60)
    assert (answer.status_code, code_of(answer)) == REFUSALS[what]
    assert uploads(rehearsal) == 0


def test_credentials_are_those_of_one_submission(user: NotaryUser) -> None:
    """What was granted for one upload cannot be used for another."""
    one, other = user.submit("a.zip", DIGEST), user.submit("b.zip", DIGEST)
    mixed = Grant(submission=other.submission, url=other.url, credentials=one.credentials)
    assert code_of(user.upload(mixed, DATA)) == "InvalidAccessKeyId"


def test_credentials_end(folder: Path) -> None:
    """After their life the token is expired, with S3's word for it."""
    levers = Levers(upload_credentials_live=timedelta(0))
    with Rehearsal(folder, host_with(SystemClock()), levers) as running:
        user = NotaryUser(services=running.services)
        grant = user.submit("a.zip", DIGEST)
        answer = user.upload(grant, DATA)
        assert (answer.status_code, code_of(answer)) == (400, "ExpiredToken")
        levers.upload_credentials_live = timedelta(hours=12)
        assert user.upload(grant, DATA).status_code == 200


def test_clocks_too_far_apart(user: NotaryUser, grant: Grant, rehearsal: Rehearsal) -> None:
    """Sixteen minutes are too many, for S3 and for the notary."""
    rehearsal.levers.clock_skew = timedelta(minutes=16)
    answer = user.upload(grant, DATA)
    assert (answer.status_code, code_of(answer)) == (403, "RequestTimeTooSkewed")
    assert user.call("GET", "submissions").status_code == 401
    rehearsal.levers.clock_skew = timedelta(minutes=-10)
    assert user.upload(grant, DATA).status_code == 200
    assert user.call("GET", "submissions").status_code == 401, "issued in the future, by the service's clock"


def test_an_object_is_put_once_on_condition(user: NotaryUser, grant: Grant, rehearsal: Rehearsal) -> None:
    """`If-None-Match: *` stores where nothing is and answers 412 elsewhere; without it the object is replaced."""
    url, headers = user.signed(grant, DATA, headers={"If-None-Match": "*"})
    assert requests.put(url, data=DATA, headers=headers, timeout=60).status_code == 200
    answer = requests.put(url, data=DATA, headers=headers, timeout=60)
    assert (answer.status_code, code_of(answer)) == (412, "PreconditionFailed")
    assert uploads(rehearsal) == 1
    assert user.upload(grant, DATA).status_code == 200
    assert uploads(rehearsal) == 2


def test_an_upload_that_ends_early_does_not_count(user: NotaryUser, grant: Grant, rehearsal: Rehearsal) -> None:
    """A client that goes away in the middle leaves nothing behind."""
    url, headers = user.signed(grant, DATA)
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    lines = [f"PUT /{path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(DATA)}"]
    lines += [f"{key}: {value}" for key, value in headers.items()]
    with socket.create_connection((name, int(port))) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + DATA[:5000])
    assert user.status(grant.submission) == "In Progress"
    assert uploads(rehearsal) == 0
    (submission,) = rehearsal.state.submissions()
    assert not rehearsal.state.object_path(submission.bucket, submission.object).exists()


class Multipart:
    """An upload in parts, request by request."""

    def __init__(self, user: NotaryUser, grant: Grant) -> None:
        self._user = user
        self._grant = grant
        self.id = ""

    def ask(self, method: str, query: str, data: bytes = b"") -> requests.Response:
        url, headers = self._user.signed(self._grant, data, method=method, query=query)
        return requests.request(method, url, data=data, headers=headers, timeout=60)

    def start(self) -> None:
        answer = self.ask("POST", "?uploads=")
        assert answer.status_code == 200, answer.text
        found = re.search(r"<UploadId>(\w+)</UploadId>", answer.text)
        assert found is not None
        self.id = found[1]

    def part(self, number: int, data: bytes) -> str:
        answer = self.ask("PUT", f"?partNumber={number}&uploadId={self.id}", data)
        assert answer.status_code == 200, answer.text
        return str(answer.headers["ETag"])

    def complete(self, etags: dict[int, str]) -> requests.Response:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in etags.items()
        )
        space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
        document = f"<CompleteMultipartUpload {space}>{parts}</CompleteMultipartUpload>"
        return self.ask("POST", f"?uploadId={self.id}", document.encode())


@pytest.fixture
def multipart(user: NotaryUser, grant: Grant) -> Multipart:
    return Multipart(user, grant)


def test_an_upload_in_parts_is_put_together(multipart: Multipart, rehearsal: Rehearsal) -> None:
    """Only the completion counts as an upload, and the object is the parts in order."""
    first, last = bytes(5 * MIB), b"the end"
    multipart.start()
    etags = {2: multipart.part(2, last), 1: multipart.part(1, first)}
    assert uploads(rehearsal) == 0
    answer = multipart.complete(dict(sorted(etags.items())))
    assert answer.status_code == 200
    assert "<CompleteMultipartUploadResult" in answer.text
    assert '-2"' in answer.text
    assert uploads(rehearsal) == 1
    (submission,) = rehearsal.state.submissions()
    assert rehearsal.state.object_path(submission.bucket, submission.object).read_bytes() == first + last
    assert code_of(multipart.ask("DELETE", f"?uploadId={multipart.id}")) == "NoSuchUpload"


def test_parts_that_do_not_fit_are_refused(multipart: Multipart, rehearsal: Rehearsal) -> None:
    """A part too small, one missing, one with another ETag, the wrong order, no upload, no XML."""
    multipart.start()
    etags = {1: multipart.part(1, b"small"), 2: multipart.part(2, b"end")}
    assert code_of(multipart.complete(etags)) == "EntityTooSmall"
    assert code_of(multipart.complete({2: etags[2], 3: etags[1]})) == "InvalidPart"
    assert code_of(multipart.complete({2: '"00"'})) == "InvalidPart"
    assert code_of(multipart.complete({2: etags[2], 1: etags[1]})) == "InvalidPartOrder"
    assert code_of(multipart.complete({})) == "MalformedXML"
    assert code_of(multipart.ask("POST", f"?uploadId={multipart.id}", b"<no")) == "MalformedXML"
    assert code_of(multipart.ask("PUT", f"?partNumber=0&uploadId={multipart.id}", b"x")) == "InvalidArgument"
    assert code_of(multipart.ask("PUT", "?partNumber=1&uploadId=unknown", b"x")) == "NoSuchUpload"
    assert uploads(rehearsal) == 0


def test_an_aborted_upload_is_gone(multipart: Multipart, rehearsal: Rehearsal, folder: Path) -> None:
    """Abort removes the parts; a later completion finds no upload."""
    multipart.start()
    etags = {1: multipart.part(1, b"only")}
    assert multipart.ask("DELETE", f"?uploadId={multipart.id}").status_code == 204
    assert code_of(multipart.complete(etags)) == "NoSuchUpload"
    assert not list(folder.glob("parts/*"))
    assert uploads(rehearsal) == 0
