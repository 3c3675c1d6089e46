"""`invoke rehearsal.serve` as a real process, used by tools that know only what it prints."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import requests
from builders.clients import need
from builders.mach import image
from builders.notary_user import NotaryUser
from builders.workshop import ROOT
from builders.zips import zip_of

from pipeline.codesign.requirements import compile_requirement
from pipeline.disk import verify_path
from pipeline.host import Files, Host
from pipeline.identity import load_anchors
from pipeline.notary import NotaryCredentials, NotaryService
from pipeline.redact import Secret
from pipeline.rehearsal import Rehearsal
from pipeline.tickets import covers, verify_ticket
from pipeline.toolchain.services import Services

NO_CODE = zip_of({"readme": b"no code"})


@contextmanager
def serving(folder: Path, *words: str, end: int = signal.SIGTERM) -> Iterator[dict[str, str]]:
    """The services as a process of their own; what it printed. Ended by a signal, it has to say that all is well."""
    process = subprocess.Popen(
        [sys.executable, "-m", "invoke", "rehearsal.serve", "--json", "--folder", str(folder), *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has them ignore Ctrl-C, and children inherit that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if line == "}\n":
            break
    assert printed, process.communicate()[1]
    try:
        yield json.loads(printed)
    finally:
        process.send_signal(end)
        out, err = process.communicate()
    assert (process.returncode, out, err.splitlines()[-1]) == (0, "", "ended")


def services_of(said: dict[str, str]) -> Services:
    """What the printed words are enough for."""
    return Services(
        identity=None,
        anchors=load_anchors(Files(), Path(said["anchors"])),
        timestamp_url=said["timestamps"],
        tickets_url=said["tickets"],
        notary=NotaryService(
            base_url=said["notary"], object_store=said["object-store"], region=said["region"], log_hosts=()
        ),
        credentials=NotaryCredentials(
            issuer=said["issuer"], key_id=said["key-id"], private_key=Secret(Path(said["key"]).read_text())
        ),
    )


def test_a_client_needs_no_more_than_what_is_printed(folder: Path, universal: bytes) -> None:
    """Submitted, uploaded and accepted over the printed addresses; the ticket found there covers both slices."""
    with serving(folder) as said:
        services = services_of(said)
        log = NotaryUser(services=services).judge(zip_of({"tool": universal}))
        assert log["status"] == "Accepted"
        hashes = [one["cdhash"] for one in log["ticketContents"]]
        names = {"records": [{"recordName": f"2/2/{one}"} for one in hashes]}
        records = requests.post(said["tickets"], json=names, timeout=60).json()["records"]
    (signed,) = {record["fields"]["signedTicket"]["value"] for record in records}
    ticket = verify_ticket(base64.b64decode(signed), services.anchors.ticket_roots)
    assert len(hashes) == 2
    assert all(covers(ticket, one) for one in hashes)


@pytest.mark.openssl
def test_openssl_gets_a_time_stamp(folder: Path, tmp_path: Path) -> None:
    """The page's three lines: query, POST, and a verification against the printed anchors."""
    openssl = need("openssl")
    (tmp_path / "data").write_bytes(b"some data")

    def ts(*words: str) -> None:
        subprocess.run([openssl, "ts", *words], cwd=tmp_path, check=True, capture_output=True)

    with serving(folder) as said:
        ts("-query", "-data", "data", "-sha256", "-cert", "-out", "query.tsq")
        headers = {"Content-Type": "application/timestamp-query"}
        query = (tmp_path / "query.tsq").read_bytes()
        answer = requests.post(said["timestamps"], data=query, headers=headers, timeout=60)
        (tmp_path / "answer.tsr").write_bytes(answer.content)
        roots = f"{said['anchors']}/timestamps.pem"
    ts("-verify", "-in", "answer.tsr", "-queryfile", "query.tsq", "-CAfile", roots)


@pytest.mark.rcodesign
def test_rcodesign_signs_with_the_printed_identity_and_its_result_is_notarized(folder: Path, tmp_path: Path) -> None:
    """Signed and time-stamped by a tool of others, verified here, accepted by the served notary."""
    rcodesign = need("rcodesign")
    tool = tmp_path / "tool"
    tool.write_bytes(image(arch="arm64"))
    # Left to itself, rcodesign demands of a chain that is not Apple's that its leaf be the root.
    (tmp_path / "requirement").write_bytes(compile_requirement("identifier tool and anchor apple generic"))
    with serving(folder) as said:
        words = ["--pem-file", said["identity"], "--timestamp-url", said["timestamps"]]
        words += ["--code-signature-flags", "runtime", "--team-name", "REHEARSAL0"]
        words += ["--code-requirements-path", str(tmp_path / "requirement")]
        argv = [str(rcodesign), "sign", *words, str(tool)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        services = services_of(said)
        (found,) = verify_path(tool, anchors=services.anchors)
        assert (found.team, found.timestamp is not None) == ("REHEARSAL0", True)
        log = NotaryUser(services=services).judge(zip_of({"tool": tool.read_bytes()}))
    assert log["status"] == "Accepted", log["issues"]
    assert [one["cdhash"] for one in log["ticketContents"]] == [found.cdhash]


def test_levers_and_faults_are_options(folder: Path) -> None:
    """What the options say happens: a verdict, a wait, a throttled list."""
    levers = ["--lever", "verdict=rejected", "--lever", "polls-in-progress=1"]
    with serving(folder, *levers, "--fault", "list=429-for-10-minutes,at=2") as said:
        user = NotaryUser(services=services_of(said))
        answers = [user.call("GET", "submissions") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 429, 200]
        assert answers[1].headers["Retry-After"] == "600"
        log = user.judge(NO_CODE)
    assert (log["status"], log["statusCode"]) == ("Rejected", 7000)


def test_what_was_served_is_served_again(folder: Path) -> None:
    """Ended by Ctrl-C and started anew over the same folder: the same key, the same submissions."""
    with serving(folder, end=signal.SIGINT) as first:
        submission = NotaryUser(services=services_of(first)).submit("a.zip", "ab" * 32).submission
    with serving(folder) as second:
        assert (second["issuer"], second["key-id"]) == (first["issuer"], first["key-id"])
        assert NotaryUser(services=services_of(second)).status(submission) == "In Progress"


def test_two_processes_share_a_folder(folder: Path, host: Host) -> None:
    """Submissions made at both at the same time are all there, each with its own number."""
    with serving(folder) as said, Rehearsal(folder, host) as rehearsal:
        users = [NotaryUser(services=services_of(said)), NotaryUser(services=rehearsal.services)]
        threads = [
            threading.Thread(target=lambda user=user: [user.submit("a.zip", "ab" * 32) for _ in range(15)])
            for user in users
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(one.number for one in rehearsal.state.submissions()) == list(range(1, 31))


@pytest.mark.parametrize(
    ("words", "advice"), [(["--lever", "ticket-late=1"], "tickets-late"), (["--fault", "stats=500"], "status")]
)
def test_an_unknown_lever_serves_nothing(tmp_path: Path, words: list[str], advice: str) -> None:
    """Exit 2 with what was probably meant, before a key is made."""
    argv = [sys.executable, "-m", "invoke", "rehearsal.serve", "--folder", str(tmp_path / "new"), *words]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"did you mean {advice}?" in done.stderr
    assert not (tmp_path / "new").exists()


def test_dry_serves_nothing(tmp_path: Path) -> None:
    """`--dry` says what would be served, and makes no key."""
    argv = [sys.executable, "-m", "invoke", "--dry", "rehearsal.serve", "--folder", str(tmp_path / "new")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "would serve" in done.stderr
    assert not (tmp_path / "new").exists()
