"""Secrets with tell-tale values through whole runs with --debug: every byte of every file and of every output."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

import pytest
from builders.hosts import host_with
from builders.submissions import submissions
from builders.workshop import COPY, LEVERED, Ran, Workshop

from pipeline.host import SystemClock
from pipeline.redact import Secret
from pipeline.rehearsal import Rehearsal
from pipeline.rehearsal.grants import upload_credentials

TELL_TALE = "tell-tale-0123456789-of-the-object-store"
IN_THE_ENVIRONMENT = "tell-tale-9876543210-of-the-build-service"


@dataclass(frozen=True, slots=True)
class Found:
    path: str
    what: str


@pytest.fixture
def rehearsed(workshop: Workshop) -> Workshop:
    """A checkout whose rehearsal has its keys already, the object store's one of our choice."""
    folder = workshop.outputs / "rehearsal"
    with Rehearsal(folder, host_with(SystemClock())):
        pass
    (folder / "keys" / "object-store.key").write_text(TELL_TALE)
    # A build that hands on whatever it can see.
    workshop.configure(command=["sh", "-c", 'env > "$0.environment"; exec "$@"', "../seen.{arch}", *COPY])
    return workshop


def secrets(workshop: Workshop) -> dict[str, str]:
    """Everything that must not be seen, by name: long-lived keys, and what was granted for each submission."""
    keys = workshop.outputs / "rehearsal" / "keys"
    found = {"object store": TELL_TALE, "environment": IN_THE_ENVIRONMENT}
    for pem in ("AuthKey.p8", "developer-id.pem", "timestamp.pem", "ticket.pem"):
        lines = (keys / pem).read_text().partition("PRIVATE KEY-----\n")[2].splitlines()[:-1]
        found |= {f"{pem} line {number}": line for number, line in enumerate(lines) if len(line) > 20}
    for one in submissions(workshop.outputs):
        granted = upload_credentials(Secret(TELL_TALE), one, timedelta(hours=12))
        found |= {
            f"access key of {one.id}": granted.access_key_id,
            f"secret key of {one.id}": granted.secret_access_key,
            f"session token of {one.id}": granted.session_token,
        }
    return found


def forms(secret: str) -> Iterator[bytes]:
    yield secret.encode()
    yield quote(secret, safe="").encode()
    yield json.dumps(secret)[1:-1].encode()
    # Three encodings, by where in a larger text the secret begins; their ends depend on what is beside it.
    for shift in range(3):
        yield base64.b64encode(b"\0" * shift + secret.encode())[4:-4]


# What no secret's value is known of: a bearer token, a signed request, a pre-signed address.
SHAPES = (b"eyJhbGciOi", b"eyJ0eXAiOi", b"AWS4-HMAC-SHA256", b"X-Amz-Signature", b"&Signature=", b"?Signature=")


def search(workshop: Workshop, *ran: Ran) -> list[Found]:
    """Where a secret shows: in files, but those of the rehearsal's keys, and in what the processes printed."""
    keys = workshop.outputs / "rehearsal" / "keys"
    places: Iterable[tuple[str, bytes]] = [
        *((f"output {number}", (one.out + one.err).encode()) for number, one in enumerate(ran)),
        *(
            (str(path.relative_to(workshop.folder)), path.read_bytes())
            for path in workshop.folder.rglob("*")
            if path.is_file() and not path.is_relative_to(keys)
        ),
    ]
    wanted = [(what, form) for what, secret in secrets(workshop).items() for form in set(forms(secret))]
    wanted += [(shape.decode(), shape) for shape in SHAPES]
    return [Found(place, what) for place, data in places for what, form in wanted if form in data]


def release(workshop: Workshop, levers: str = "") -> Ran:
    environment = {"LEVERS": levers, "NOTARY_KEY": IN_THE_ENVIRONMENT}
    return workshop.invoke("release", "--debug", lever=LEVERED, environment=environment)


def test_a_whole_run_shows_no_secret(rehearsed: Workshop) -> None:
    """With --debug and faults on the way: in no file but the rehearsal's keys, and in no output."""
    ran = release(rehearsed, "submit=cut-answer:0; upload=cut-request:100; status=500; log-document=cut-answer:50")
    assert ran.code == 0, ran.err
    assert len(submissions(rehearsed.outputs)) == 2
    assert (rehearsed.folder / "seen.arm64.environment").stat().st_size > 0
    assert len(secrets(rehearsed)) > 60
    assert search(rehearsed, ran) == []


def test_a_run_that_stops_in_its_upload_keeps_its_leave_to_itself(rehearsed: Workshop) -> None:
    """Between two runs the object store's credentials are in one file, closed to others, and afterwards in none."""
    stopped = release(rehearsed, "upload=s3-internal-error,times=100000")
    assert stopped.code == 11, stopped.err
    found = search(rehearsed, stopped)
    (leave,) = {one.path for one in found}
    assert leave.startswith("build/macos/notary/")
    assert leave.endswith(".upload")
    assert {one.what.partition(" of ")[0] for one in found} == {"access key", "secret key", "session token"}
    assert (rehearsed.folder / leave).stat().st_mode & 0o777 == 0o600
    resumed = release(rehearsed)
    assert resumed.code == 0, resumed.err
    assert search(rehearsed, stopped, resumed) == []


def test_a_refusal_with_its_traceback_shows_no_secret(rehearsed: Workshop) -> None:
    """A defect's or an error's traceback with --debug names no key, no token and no address that opens anything."""
    ran = release(rehearsed, "log-document=s3-access-denied,times=100000; status=401,at=3")
    assert ran.code in (7, 10, 11), ran.err
    assert "Traceback" in ran.err
    assert search(rehearsed, ran) == []


def test_the_search_finds_what_is_there(rehearsed: Workshop) -> None:
    """Each form of each secret, put into a file on purpose, is found: the tests above can fail."""
    place = rehearsed.folder / "planted"
    for what, secret in list(secrets(rehearsed).items())[:5]:
        for form in set(forms(secret)):
            place.write_bytes(b"before " + form + b" after")
            assert Found("planted", what) in search(rehearsed)
    place.write_bytes(b"x" + base64.b64encode(b"a " + TELL_TALE.encode() + b" b"))
    assert search(rehearsed) == [Found("planted", "object store")]
