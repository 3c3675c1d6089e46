"""notarytool through its double: one submission whatever goes wrong, and every text that it can say."""

from __future__ import annotations

import hashlib
import json
import plistlib
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from builders.apple_host import REQUEST, Mac
from doubles.bench import Fault

from pipeline.errors import (
    CredentialsError,
    NotaryPending,
    NotaryRejected,
    ReleaseError,
    ServiceUnavailable,
    VerificationError,
)
from pipeline.model import NotaryMode, World
from pipeline.notary import Records
from pipeline.toolchain import ArchiveToNotarize, Notarized, SignRequest
from pipeline.toolchain.apple import AppleToolchain
from pipeline.toolchain.portable import PortableToolchain

WAIT = timedelta(milliseconds=500)


def archive_of(mac: Mac, tool: Path, request: SignRequest = REQUEST) -> ArchiveToNotarize:
    """A zip of the executable; signed anew where the request is another than that of `signed`."""
    path, member = mac.folder / "tool-1.0.zip", tool
    if request is not REQUEST:
        member = mac.folder / "member"
        mac.toolchain().sign(tool, member, request)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(member, "tool")
    data = path.read_bytes()
    return ArchiveToNotarize(path=path, sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def notarize(mac: Mac, *archives: ArchiveToNotarize, mode: NotaryMode = NotaryMode.PARALLEL) -> tuple[Notarized, ...]:
    toolchain = mac.toolchain()
    return toolchain.notarize(archives, mac.folder / "notary", wait=WAIT, mode=mode, event=lambda *_a, **_k: None)


def demand_one_upload(mac: Mac) -> None:
    submissions = mac.rehearsal.state.submissions()
    assert sum(one.uploads for one in submissions) == 1


def test_an_archive_is_accepted(mac: Mac, signed: Path) -> None:
    """The submission has the archive's name with its digest, one upload, and a log that covers the slice."""
    archive = archive_of(mac, signed)
    (verdict,) = notarize(mac, archive)
    (submission,) = mac.rehearsal.state.submissions()
    assert verdict.submission == submission.id
    assert submission.name == f"tool-1.0-{archive.sha256[:12]}.zip"
    assert {one.arch for one in verdict.log.ticket_contents or ()} == {"arm64"}
    assert not list((mac.folder / "notary").glob("*.sending"))
    assert not list((mac.folder / ".work" / "apple").iterdir())


def test_the_key_is_in_no_argv(mac: Mac, signed: Path) -> None:
    """notarytool is given the path of a key file; no word of any call is a part of the key."""
    notarize(mac, archive_of(mac, signed))
    credentials = mac.rehearsal.services.credentials
    assert credentials is not None
    lines = credentials.private_key.reveal().splitlines()[1:-1]
    argvs = json.dumps([entry["argv"] for entry in mac.events])
    assert "--key" in argvs
    assert not [line for line in lines if line in argvs]


def test_invalid_is_a_no_although_notarytool_exits_0(mac: Mac, signed: Path) -> None:
    """The status and the log decide: an archive that the notary calls Invalid is refused with the log's table."""
    debug = replace(REQUEST, entitlements=plistlib.dumps({"com.apple.security.get-task-allow": True}))
    with pytest.raises(NotaryRejected, match="get-task-allow"):
        notarize(mac, archive_of(mac, signed, debug))
    assert all(entry["exit"] == 0 for entry in mac.events)


def test_a_refusal_of_submit_leaves_no_submission(mac: Mac, signed: Path) -> None:
    """What is final is asked for once; what can pass is, after a look into the history, asked for again."""
    archive = archive_of(mac, signed)
    limit = "Error: HTTP status code: 429. Exceeded hourly limit of requests. Try again later."
    for text, kind, tries in (
        ("Error: HTTP status code: 401. Unauthenticated.", CredentialsError, 1),
        ("Error: abortedUpload(resumeRequest: SotoS3.S3.ResumeMultipartUploadRequest(", ServiceUnavailable, 8),
        ("words that nobody knows", ServiceUnavailable, 8),
        (limit, NotaryPending, None),
    ):
        mac.events.clear()
        mac.bench.set(
            Fault(tool="notarytool", words=("submit",), err=text + "\n"),
            Fault(tool="notarytool", words=("history",), exit=0, out='{"history": []}\n'),
        )
        with pytest.raises(ReleaseError) as caught:
            notarize(mac, archive)
        error: BaseException = caught.value
        assert isinstance(error, kind)
        calls = mac.calls("notarytool", "submit")
        assert calls == tries if tries else calls > 1
        # The first run knows that nothing was sent; the others find a record that does not say so.
        assert tries is None or mac.calls("notarytool", "history") in (tries - 1, tries)
        assert mac.rehearsal.state.submissions() == ()


def test_the_answer_counts_and_not_the_exit_code(mac: Mac, signed: Path) -> None:
    """A submission, a status and a log that are told in JSON count whatever the exit code is, and with text around."""
    archive = archive_of(mac, signed)
    mac.bench.set(
        Fault(tool="notarytool", words=("submit",), works=True, exit=124, err="warning: something\n"),
        Fault(tool="notarytool", words=("info",), works=True, exit=1, err="[11:02:03] progress\n"),
        Fault(tool="notarytool", words=("log",), works=True, exit=69),
    )
    (verdict,) = notarize(mac, archive)
    assert verdict.submission
    demand_one_upload(mac)


def test_an_answer_that_was_lost_is_found_in_the_history(mac: Mac, signed: Path) -> None:
    """Uploaded, and then the connection broke: the submission is taken over, and nothing is sent twice."""
    archive = archive_of(mac, signed)
    text = 'Error: HTTPError(statusCode: nil, error: Error Domain=NSURLErrorDomain Code=-1001 "The request timed out.")'
    toolchain = mac.toolchain()
    notarize(mac, archive)
    (done,) = mac.rehearsal.state.submissions()
    mac.host.files.remove(mac.folder / "notary")
    mac.bench.set(Fault(tool="notarytool", words=("submit",), times=1, err=text))
    event = lambda *_a, **_k: None  # noqa: E731
    (verdict,) = toolchain.notarize([archive], mac.folder / "notary", wait=WAIT, mode=NotaryMode.PARALLEL, event=event)
    assert verdict.submission == done.id
    demand_one_upload(mac)


def test_an_upload_that_broke_is_abandoned_and_made_anew(mac: Mac, signed: Path) -> None:
    """The submissions of aborted uploads are on record as abandoned; another one is uploaded once."""
    archive = archive_of(mac, signed)
    mac.bench.set(**{"uploads-break": 2})
    (verdict,) = notarize(mac, archive)
    demand_one_upload(mac)
    (record,) = Records(mac.host, mac.folder / "notary").all()
    never = {one.id for one in mac.rehearsal.state.submissions() if not one.is_uploaded}
    assert len(never) == 2
    assert {one.id for one in record.abandoned} == never
    assert record.id == verdict.submission


def test_an_unknown_answer_is_never_taken_for_accepted(mac: Mac, signed: Path) -> None:
    """Half answers, other answers and none end in an error with the submission on record; the next run completes."""
    archive = archive_of(mac, signed)
    for command, answer in (
        ("info", '{"id": "x"}'),
        ("info", '{"message": "Successfully received submission info", "status": "Accepted"}'),
        ("info", "Accepted"),
        ("info", "[]"),
        ("log", '{"id":"…","message":"Submission log is not yet available or submissionId does not exist"}'),
        ("log", '{"jobId": "another", "status": "Accepted"}'),
        ("log", ""),
    ):
        mac.bench.set(Fault(tool="notarytool", words=(command,), exit=0, out=answer + "\n"))
        with pytest.raises(ReleaseError):
            notarize(mac, archive)
    mac.bench.set()
    notarize(mac, archive)
    demand_one_upload(mac)


def test_an_archive_that_ditto_unpacks_otherwise_is_not_sent(mac: Mac, signed: Path) -> None:
    """What ditto unpacks is verified before it is sent: an AppleDouble file beside the tool stops the release."""
    archive = archive_of(mac, signed)
    with zipfile.ZipFile(archive.path, "a") as opened:
        opened.writestr("._tool", b"\0\5\x16\7")
    with pytest.raises(VerificationError, match=r"\._tool"):
        notarize(mac, archive)
    assert mac.rehearsal.state.submissions() == ()


def test_a_profile_that_notarytool_keeps_is_named(mac: Mac, signed: Path) -> None:
    """Without credentials of ours notarytool's own profile is used; one that it has not is a credentials error."""
    archive = archive_of(mac, signed)
    services = replace(mac.rehearsal.services, credentials=None)
    engine = PortableToolchain(mac.host, lambda: services, mac.folder, World.REHEARSAL)
    toolchain = AppleToolchain(mac.tools, engine, mac.folder, World.REHEARSAL, identity=None, profile="ci")
    event = lambda *_a, **_k: None  # noqa: E731
    with pytest.raises(CredentialsError, match="profile"):
        toolchain.notarize([archive], mac.folder / "notary", wait=WAIT, mode=NotaryMode.PARALLEL, event=event)
    real = mac.rehearsal.services.credentials
    assert real is not None
    key = mac.folder / "kept.p8"
    key.write_text(real.private_key.reveal())
    mac.bench.set(profiles={"ci": [str(key), real.key_id, real.issuer]})
    toolchain.notarize([archive], mac.folder / "notary", wait=WAIT, mode=NotaryMode.PARALLEL, event=event)
    demand_one_upload(mac)
