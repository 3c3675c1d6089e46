"""notarytool(1): submits to a rehearsal's notary with the key that it is given. It speaks at its end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from doubles.bench import Job, option
from pipeline.errors import CredentialsError, ReleaseError
from pipeline.notary import REHEARSAL_POLICY, Archive, NotaryCredentials, NotaryService
from pipeline.notary.answers import NotThere
from pipeline.notary.client import NotaryClient
from pipeline.notary.object_store import ObjectStore
from pipeline.notary.upload import put_archive
from pipeline.notary.waiting import Patience
from pipeline.notary.wire import Listed
from pipeline.redact import Secret
from pipeline.rehearsal import Levers, Rehearsal, lever_words

_OPTIONS = {"--key", "--key-id", "--issuer", "--keychain-profile", "--output-format"}
_OF_SUBMIT = {"--no-wait", "--no-progress"}
_NO_LOG = "Submission log is not yet available or submissionId does not exist"


def act(job: Job) -> int:
    if job.words == ["--version"]:
        job.tell("1.1.0 (40)")
        return 0
    known = _OPTIONS | _OF_SUBMIT if job.words[0] == "submit" else _OPTIONS
    if unknown := [word for word in job.words if word.startswith("--") and word not in known]:
        job.say(f"Error: Unknown option '{unknown[0]}'")
        return 64
    levers = Levers()
    for text in job.bench.lever("services") or ():
        lever_words.pull(levers, text)
    with Rehearsal(job.bench.rehearsal, job.host, levers) as rehearsal:
        services = rehearsal.services
        assert services.notary is not None
        credentials = _credentials(job)
        if credentials is None:
            return 69
        client = NotaryClient(job.host, services.notary, credentials)
        command = {"submit": _submit, "info": _info, "log": _log, "history": _history}[job.words[0]]
        try:
            return command(job, client, services.notary)
        except CredentialsError:
            job.say(
                "Error: HTTP status code: 401. Unauthenticated. Ensure that all authentication arguments are correct."
            )
            return 1
        except ReleaseError as error:
            job.say(f"Error: invalidJSONResponse(statusCode: Optional(504), data: {error.message})")
            return 1


def _credentials(job: Job) -> NotaryCredentials | None:
    """From --key, --key-id and --issuer, or a profile of the lever's."""
    key = option(job.words, "--key")
    if key is None:
        name = option(job.words, "--keychain-profile")
        known: Mapping[str, Any] = job.bench.lever("profiles") or {}
        if name not in known:
            job.say(
                f"Error: No Keychain password item found for profile: {name}",
                "",
                "Run 'notarytool store-credentials' to create another credential profile.",
            )
            return None
        key, key_id, issuer = known[str(name)]
    else:
        key_id, issuer = option(job.words, "--key-id"), option(job.words, "--issuer")
    return NotaryCredentials(
        issuer=str(issuer), key_id=str(key_id), private_key=Secret(Path(str(key)).read_text("ascii"))
    )


def _submit(job: Job, client: NotaryClient, service: NotaryService) -> int:
    path = Path(job.words[1])
    if path.suffix not in (".zip", ".pkg", ".dmg"):
        job.say(
            f"Error: {path.name} must be a zip archive (.zip), flat installer package (.pkg), or UDIF disk image "
            "(.dmg), use 'notarytool submit --force' to skip this validation and submit anyway."
        )
        return 64
    archive = Archive(path=path, sha256=job.host.files.sha256(path), size=path.stat().st_size)
    grant = client.submit(path.name, archive.sha256)
    broken = job.bench.folder / "counts" / "broken"
    if _count(broken) < (job.bench.lever("uploads-break") or 0):
        broken.write_text("x" * (_count(broken) + 1))
        job.say("Error: abortedUpload(resumeRequest: SotoS3.S3.ResumeMultipartUploadRequest(uploadRequest: …")
        return 1
    patience = Patience(job.host.clock, REHEARSAL_POLICY, timedelta(minutes=1), resume="", say=lambda _words: None)
    store = ObjectStore(job.host, service, grant)
    put_archive(store, job.host.files, archive, patience, again=False, sent=lambda _count: None)
    job.tell(json.dumps({"path": str(path), "message": "Successfully uploaded file", "id": grant.submission}))
    return 0


def _count(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _info(job: Job, client: NotaryClient, _service: NotaryService) -> int:
    try:
        found = client.status(job.words[1])
    except NotThere:
        job.say(
            json.dumps({"id": job.words[1], "message": "Submission does not exist or does not belong to your team."})
        )
        return 69
    job.tell(json.dumps(_entry(found) | {"message": "Successfully received submission info"}))
    return 0


def _log(job: Job, client: NotaryClient, _service: NotaryService) -> int:
    try:
        job.tell(client.log(job.words[1]).decode())
    except NotThere:
        job.tell(json.dumps({"id": job.words[1], "message": _NO_LOG}))
        return 69
    return 0


def _history(job: Job, client: NotaryClient, _service: NotaryService) -> int:
    entries = [_entry(one) for one in client.submissions()]
    job.tell(json.dumps({"history": entries, "message": "Successfully received submission history."}))
    return 0


def _entry(one: Listed) -> dict[str, str]:
    return {"createdDate": "2026-11-21T06:15:30.000Z", "id": one.id, "name": one.name, "status": one.said}
