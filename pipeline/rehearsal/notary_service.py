"""The notary: App Store Connect's Notary API v2, in the shapes and with the bodies that it really has.

A submission is judged when its status or its log is first asked for after its upload; the verdict, the log and the
ticket are then on disk and stay. How an archive is judged is in `inspection`.
https://developer.apple.com/documentation/notaryapi
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from pipeline.host import Entropy
from pipeline.rehearsal import answers, grants
from pipeline.rehearsal.bearer import is_authenticated
from pipeline.rehearsal.keys import Keys
from pipeline.rehearsal.levers import Answer, Endpoint, Levers
from pipeline.rehearsal.server import Now, Request
from pipeline.rehearsal.state import State, Status, Submission

PATH = "/notary/v2"
_SUBMISSIONS = f"{PATH}/submissions"
_ONE = re.compile(rf"{_SUBMISSIONS}/(?P<id>[^/]+)(?P<logs>/logs)?")
_LONGEST_LIST = 100

Judge = Callable[[Submission], Submission]
"""Judges what was uploaded for a submission, leaves log and ticket in the state, returns it with its final status."""


class NotaryService:
    def __init__(self, keys: Keys, state: State, levers: Levers, entropy: Entropy, now: Now, judge: Judge) -> None:
        self._keys = keys
        self._state = state
        self._levers = levers
        self._entropy = entropy
        self._now = now
        self._judge = judge
        self._polls: Counter[str] = Counter()
        self._log_requests: Counter[str] = Counter()
        self._judging = threading.Lock()

    def endpoint(self, method: str, path: str, query: str) -> Endpoint | None:
        if path == _SUBMISSIONS:
            return {"POST": Endpoint.SUBMIT, "GET": Endpoint.LIST}.get(method)
        one = _ONE.fullmatch(path)
        if one is None or method != "GET":
            return None
        return Endpoint.LOG_ADDRESS if one["logs"] else Endpoint.STATUS

    def answer(self, request: Request) -> Answer:
        now = self._now()
        authorization = request.headers.get("authorization")
        if not is_authenticated(authorization, self._keys.api, request.method, request.path, now):
            return answers.UNAUTHENTICATED
        if request.method == "GET" and request.body.length:
            return answers.BODY_IN_GET
        endpoint = self.endpoint(request.method, request.path, request.query)
        if endpoint is Endpoint.SUBMIT:
            return self._submit(request, now)
        if endpoint is Endpoint.LIST:
            listed = [_data(one, one.status.value) for one in self._state.submissions()[:_LONGEST_LIST]]
            return answers.json_answer({"data": listed, "meta": {}})
        one = _ONE.fullmatch(request.path)
        if endpoint is None or one is None:
            return answers.NO_SUCH_PATH
        submission = self._state.submission(one["id"])
        if endpoint is Endpoint.STATUS:
            return self._status(submission) if submission else answers.not_found("submissions", one["id"])
        if submission is None or not self._has_log(submission):
            return answers.not_found("submissionsLog", one["id"])
        return self._log_address(submission, request, now)

    def _submit(self, request: Request, now: datetime) -> Answer:
        try:
            asked = json.loads(request.body.document())
        except (ValueError, RecursionError):
            return answers.bad_request("The request entity is not a valid request document object")
        name, sha256 = (asked.get("submissionName"), asked.get("sha256")) if isinstance(asked, dict) else (None, None)
        if not (isinstance(name, str) and name and isinstance(sha256, str) and sha256):
            detail = "Must specify both submissionName and sha256 digest of the submission file contents"
            return answers.bad_request(detail)
        if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
            detail = "Provided sha256 digest of the submission must be a 64-digit hexadecimal string"
            return answers.bad_request(detail)
        identifier = str(uuid.UUID(bytes=self._entropy.bytes(16), version=4))
        with self._state.changing():
            earlier = self._state.submissions()
            submission = Submission(
                id=identifier,
                number=1 + (earlier[0].number if earlier else 0),
                name=name,
                sha256=sha256.lower(),
                created=now,
                bucket=grants.SUBMISSIONS,
                object=f"prod/AROARQRX7CZS3PRF6ZA5L:{identifier}",
            )
            self._state.save(submission)
        key = self._keys.object_store
        credentials = grants.upload_credentials(key, submission, self._levers.upload_credentials_live)
        attributes = {
            "awsAccessKeyId": credentials.access_key_id,
            "awsSecretAccessKey": credentials.secret_access_key,
            "awsSessionToken": credentials.session_token,
            "bucket": submission.bucket,
            "object": submission.object,
        }
        return answers.json_answer(
            {"data": {"attributes": attributes, "id": identifier, "type": "newSubmissions"}, "meta": {}}
        )

    def _status(self, submission: Submission) -> Answer:
        text = Status.IN_PROGRESS.value
        if submission.is_uploaded:
            self._polls[submission.id] += 1
            if self._polls[submission.id] > self._levers.polls_in_progress:
                text = self._judged(submission).status.value
        return answers.json_answer({"data": _data(submission, self._levers.status_text or text), "meta": {}})

    def _has_log(self, submission: Submission) -> bool:
        """Usually only once the status has said the verdict."""
        if submission.is_uploaded and self._levers.log_early:
            submission = self._judged(submission)
        if submission.status is Status.IN_PROGRESS:
            return False
        self._log_requests[submission.id] += 1
        return self._log_requests[submission.id] > self._levers.log_late

    def _log_address(self, submission: Submission, request: Request, now: datetime) -> Answer:
        origin = f"http://{request.headers.get('host', '')}"
        address = grants.log_address(self._keys.object_store, origin, submission.id, now)
        data = {"attributes": {"developerLogUrl": address}, "id": submission.id, "type": "submissionsLog"}
        return answers.json_answer({"data": data, "meta": {}})

    def _judged(self, submission: Submission) -> Submission:
        """The submission with its verdict; judged once, however many ask at the same time."""
        with self._judging:
            current = self._state.submission(submission.id) or submission
            if current.status is not Status.IN_PROGRESS:
                return current
            judged = self._judge(current)
            with self._state.changing():
                latest = self._state.submission(submission.id) or judged
                self._state.save(replace(latest, status=judged.status))
            return judged


def _data(submission: Submission, status: str) -> dict[str, object]:
    created = answers.iso_milliseconds(submission.created)
    attributes = {"createdDate": created, "name": submission.name, "status": status}
    return {"attributes": attributes, "id": submission.id, "type": "submissions"}
