"""The notary's endpoints, asked by a client that is not ours: requests and PyJWT as they come."""

from __future__ import annotations

import hashlib
import time
import urllib.parse
from datetime import timedelta
from typing import Any

import pytest
import requests
from builders.hosts import host_with
from builders.notary_user import NotaryUser
from builders.zips import zip_of
from cryptography.hazmat.primitives.asymmetric import ec
from fakes.clock import FakeClock

from pipeline.rehearsal import Endpoint, Rehearsal, Status
from pipeline.rehearsal.state import State

DIGEST = hashlib.sha256(b"an archive").hexdigest()
NOTHING = zip_of({"readme": b"no code at all"})
NOTHING_DIGEST = hashlib.sha256(NOTHING).hexdigest()


def test_a_submission_from_post_to_log(user: NotaryUser, rehearsal: Rehearsal) -> None:
    """A submission without code is accepted, with an empty ticket and no issues."""
    log = user.judge(NOTHING, "nothing.zip")
    assert log["status"] == "Accepted"
    assert log["archiveFilename"] == "nothing.zip"
    assert log["sha256"] == NOTHING_DIGEST
    assert (log["ticketContents"], log["issues"]) == ([], None)
    (submission,) = rehearsal.state.submissions()
    assert submission.status is Status.ACCEPTED
    assert submission.uploads == 1
    assert log["jobId"] == submission.id


def test_the_answer_to_a_submission_has_the_real_shape(user: NotaryUser) -> None:
    """Bucket, object, temporary credentials, and an application/octet-stream of JSON."""
    answer = user.call("POST", "submissions", json={"submissionName": "a.zip", "sha256": DIGEST})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/octet-stream"
    document = answer.json()
    assert document["meta"] == {}
    data = document["data"]
    assert data["type"] == "newSubmissions"
    said = data["attributes"]
    assert set(said) == {"awsAccessKeyId", "awsSecretAccessKey", "awsSessionToken", "bucket", "object"}
    assert said["bucket"] == "notary-submissions-prod"
    assert said["object"] == f"prod/AROARQRX7CZS3PRF6ZA5L:{data['id']}"
    assert said["awsAccessKeyId"].startswith("ASIA")
    assert len(said["awsAccessKeyId"]) == 20
    assert len(said["awsSecretAccessKey"]) == 40


def test_every_post_makes_a_submission(user: NotaryUser, rehearsal: Rehearsal) -> None:
    """The same archive twice is two submissions, and the list shows both, newest first."""
    first, second = user.submit("a.zip", DIGEST), user.submit("a.zip", DIGEST)
    assert first.submission != second.submission
    listed = user.call("GET", "submissions").json()["data"]
    assert [one["id"] for one in listed] == [second.submission, first.submission]
    assert {one["attributes"]["status"] for one in listed} == {"In Progress"}
    assert {one["type"] for one in listed} == {"submissions"}
    assert len(rehearsal.state.submissions()) == 2
    assert not any(one.is_uploaded for one in rehearsal.state.submissions())


def test_the_list_ends_at_a_hundred(user: NotaryUser) -> None:
    """The list shows the hundred newest."""
    made = [user.submit(f"{number}.zip", DIGEST).submission for number in range(102)]
    listed = [one["id"] for one in user.call("GET", "submissions").json()["data"]]
    assert listed == made[:1:-1]


def test_without_an_upload_nothing_becomes_final(user: NotaryUser) -> None:
    """A submission that nobody uploads stays in progress, and has no log."""
    grant = user.submit("a.zip", DIGEST)
    assert [user.status(grant.submission) for _ in range(20)] == ["In Progress"] * 20
    assert user.call("GET", f"submissions/{grant.submission}/logs").status_code == 404


def test_other_bytes_than_submitted_are_invalid(user: NotaryUser) -> None:
    """The digest of the POST binds the upload."""
    grant = user.submit("a.zip", DIGEST)
    assert user.upload(grant, NOTHING).status_code == 200
    assert user.status(grant.submission) == "Invalid"
    log = user.log(grant.submission)
    assert log["sha256"] == NOTHING_DIGEST
    assert "SHA-256" in log["issues"][0]["message"]


def bad_tokens(now: int) -> dict[str, dict[str, Any]]:
    """Changes to a good token, at the time (seconds since 1970) when it is sent."""
    return {
        "another issuer": {"iss": "00000000-0000-4000-8000-000000000000"},
        "no issuer": {"iss": None},
        "an individual key": {"iss": None, "sub": "user"},
        "another audience": {"aud": "appstoreconnect-v2"},
        "expired": {"iat": now - 1000, "exp": now - 100},
        "from the future": {"iat": now + 600, "exp": now + 900},
        "longer than 20 minutes": {"exp": now - 30 + 1201 + 60},
        "no iat": {"iat": None},
        "no exp": {"exp": None},
        "another kid": {"headers": {"kid": "ABCDEFGHIJ"}},
        "another typ": {"headers": {"typ": "JOSE"}},
        "a narrower scope": {"scope": ["GET /notary/v2/submissions/other"]},
        "a scope of another method": {"scope": ["POST /notary/v2/submissions"]},
    }


@pytest.mark.parametrize("name", bad_tokens(0))
def test_a_bad_token_is_answered_in_plain_text(user: NotaryUser, name: str) -> None:
    """401, text/plain, "Unauthenticated", and nothing is told."""
    answer = user.call("GET", "submissions", token=user.token(**bad_tokens(int(time.time()))[name]))
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.text.startswith("Unauthenticated\n\nRequest ID: ")


@pytest.mark.parametrize("scope", [["/notary/v2"], ["GET /notary/v2/submissions"], None])
def test_the_scopes_of_other_clients_are_understood(user: NotaryUser, scope: list[str] | None) -> None:
    """quill and signapple send a scope, relic and rcodesign none."""
    assert user.call("GET", "submissions", token=user.token(scope=scope)).status_code == 200


def test_a_token_of_another_key_is_refused(user: NotaryUser) -> None:
    """The signature is checked, not only the claims."""
    import jwt

    good = user.token()
    claims = jwt.decode(good, options={"verify_signature": False})
    other = jwt.encode(
        claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers=jwt.get_unverified_header(good)
    )
    assert user.call("GET", "submissions", token=other).status_code == 401
    head, body, signature = good.split(".")
    spoilt = signature[:-3] + ("AAA" if not signature.endswith("AAA") else "BBB")
    assert user.call("GET", "submissions", token=f"{head}.{body}.{spoilt}").status_code == 401
    assert user.call("GET", "submissions", token="nonsense").status_code == 401
    assert requests.get(f"{user.base}/submissions", timeout=60).status_code == 401


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"submissionName": "a.zip"}, "Must specify both"),
        ({"sha256": DIGEST}, "Must specify both"),
        ({"submissionName": "", "sha256": DIGEST}, "Must specify both"),
        ({"submissionName": "a.zip", "sha256": DIGEST[:63]}, "64-digit hexadecimal"),
        ({"submissionName": "a.zip", "sha256": "g" * 64}, "64-digit hexadecimal"),
    ],
)
def test_a_bad_submission_is_answered_as_apple_does(user: NotaryUser, body: dict[str, str], words: str) -> None:
    """400, JSON, code BAD_REQUEST, and no submission."""
    answer = user.call("POST", "submissions", json=body)
    assert answer.status_code == 400
    error = answer.json()["errors"][0]
    assert (error["code"], error["title"]) == ("BAD_REQUEST", "Improperly formatted request")
    assert words in error["detail"]
    assert user.call("GET", "submissions").json()["data"] == []


def test_a_get_with_a_body_meets_html(user: NotaryUser) -> None:
    """What stands before the service refuses it in HTML."""
    answer = user.call("GET", "submissions", json={})
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "text/html"
    assert "could not understand" in answer.text


def test_unknown_ids_and_paths(user: NotaryUser) -> None:
    """404 as JSON for an id, with an empty body for a path."""
    unknown = "11111111-1111-4111-8111-111111111111"
    error = user.call("GET", f"submissions/{unknown}").json()["errors"][0]
    assert error["code"] == "NOT_FOUND"
    assert error["detail"] == f"There is no resource of type 'submissions' with id '{unknown}'"
    answer = user.call("GET", f"submissions/{unknown}/logs")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert "'submissionsLog'" in answer.json()["errors"][0]["detail"]
    nowhere = user.call("GET", "nowhere")
    assert (nowhere.status_code, nowhere.content) == (404, b"")


def test_the_log_is_fetched_without_the_token(user: NotaryUser) -> None:
    """The address is signed itself: a token beside it, or a changed signature, is refused."""
    user.judge(NOTHING)
    (listed,) = user.call("GET", "submissions").json()["data"]
    url = user.call("GET", f"submissions/{listed['id']}/logs").json()["data"]["attributes"]["developerLogUrl"]
    parts = urllib.parse.urlsplit(url)
    assert user.services.notary is not None
    assert parts.netloc in user.services.notary.log_hosts
    assert set(urllib.parse.parse_qs(parts.query)) == {
        "AWSAccessKeyId",
        "Signature",
        "x-amz-security-token",
        "Expires",
    }
    assert requests.get(url, timeout=60).status_code == 200
    leaked = requests.get(url, headers={"Authorization": f"Bearer {user.token()}"}, timeout=60)
    assert leaked.status_code == 400
    assert "InvalidArgument" in leaked.text
    assert requests.get(url.replace("Expires=", "Expires=9"), timeout=60).status_code == 403
    assert requests.get(url.partition("?")[0], timeout=60).status_code == 403


def test_an_address_of_a_log_ends(folder: Any) -> None:
    """An hour later the same address is refused."""
    clock = FakeClock()
    with Rehearsal(folder, host_with(clock)) as running:
        user = NotaryUser(services=running.services)
        now = int(clock.now().timestamp())
        token = user.token(iat=now, exp=now + 600)
        answer = user.call("POST", "submissions", token=token, json={"submissionName": "a", "sha256": NOTHING_DIGEST})
        identifier = answer.json()["data"]["id"]
        (submission,) = running.state.submissions()
        (folder / "received").write_bytes(NOTHING)
        running.state.store(folder / "received", submission, clock.now())
        assert user.call("GET", f"submissions/{identifier}", token=token).json()["data"]["attributes"]["status"]
        url = user.call("GET", f"submissions/{identifier}/logs", token=token).json()["data"]["attributes"]
        assert requests.get(url["developerLogUrl"], timeout=60).status_code == 200
        clock.sleep(timedelta(hours=2))
        assert requests.get(url["developerLogUrl"], timeout=60).status_code == 403


def test_a_later_process_meets_the_same_submissions(folder: Any, host: Any) -> None:
    """What one rehearsal was sent, another one over the same folder judges and shows."""
    with Rehearsal(folder, host) as first:
        user = NotaryUser(services=first.services)
        grant = user.submit("a.zip", NOTHING_DIGEST)
        assert user.upload(grant, NOTHING).status_code == 200
    with Rehearsal(folder, host) as second:
        user = NotaryUser(services=second.services)
        assert user.status(grant.submission) == "Accepted"
        assert user.log(grant.submission)["jobId"] == grant.submission
    (kept,) = State(folder, host.files).submissions()
    assert (kept.id, kept.status, kept.uploads) == (grant.submission, Status.ACCEPTED, 1)


def test_requests_are_counted(user: NotaryUser, rehearsal: Rehearsal) -> None:
    """Tests can ask how often each endpoint was asked."""
    user.judge(NOTHING)
    seen = rehearsal.levers.seen
    assert (seen(Endpoint.SUBMIT), seen(Endpoint.UPLOAD), seen(Endpoint.STATUS)) == (1, 1, 1)
    assert (seen(Endpoint.LOG_ADDRESS), seen(Endpoint.LOG_DOCUMENT), seen(Endpoint.LIST)) == (1, 1, 0)
