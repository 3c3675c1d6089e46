"""An object store in S3's shape, path-style: `/{bucket}/{object}`. It takes uploads of submissions and serves logs.

It stores only what a submission was made for, with that submission's credentials, and counts an upload only once the
object stands whole on disk. Here is the single PUT; uploads in parts are in `multipart`.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
"""

from __future__ import annotations

import json
from urllib.parse import parse_qs, unquote

from pipeline.host import Files
from pipeline.redact import Secret
from pipeline.rehearsal import answers, grants
from pipeline.rehearsal.levers import Answer, Endpoint, Levers
from pipeline.rehearsal.multipart import Multipart
from pipeline.rehearsal.server import Now, Request
from pipeline.rehearsal.signature_v4 import refusal
from pipeline.rehearsal.state import State, Submission
from pipeline.rehearsal.upload_body import receive

_LARGEST_OBJECT = 5 * 1024**3  # of one PUT, by S3's documentation


class ObjectStore:
    def __init__(self, key: Secret, state: State, files: Files, levers: Levers, now: Now) -> None:
        self._key = key
        self._state = state
        self._levers = levers
        self._now = now
        self._multipart = Multipart(state, files, now)

    def endpoint(self, method: str, path: str, query: str) -> Endpoint | None:
        asked = parse_qs(query, keep_blank_values=True)
        if method == "GET":
            return Endpoint.LOG_DOCUMENT if path.startswith(f"/{grants.ARTIFACTS}/") else None
        if method == "PUT":
            return Endpoint.UPLOAD_PART if "uploadId" in asked else Endpoint.UPLOAD
        if method == "POST" and "uploads" in asked:
            return Endpoint.UPLOAD_START
        if method == "POST" and "uploadId" in asked:
            return Endpoint.UPLOAD_COMPLETE
        return Endpoint.UPLOAD_ABORT if method == "DELETE" and "uploadId" in asked else None

    def answer(self, request: Request) -> Answer:
        endpoint = self.endpoint(request.method, request.path, request.query)
        if endpoint is None:
            return answers.METHOD_NOT_ALLOWED
        if endpoint is Endpoint.LOG_DOCUMENT:
            return self._log(request)
        bucket, _, key = unquote(request.path[1:]).partition("/")
        submission = self._state.submission_of_object(bucket, key)
        if submission is None:
            return answers.ACCESS_DENIED
        live = self._levers.upload_credentials_live
        if refused := refusal(request, grants.upload_credentials(self._key, submission, live), self._now()):
            return refused
        is_there = self._state.object_path(submission.bucket, submission.object).exists()
        if is_there and request.headers.get("if-none-match") == "*":
            return answers.PRECONDITION_FAILED
        if endpoint is Endpoint.UPLOAD:
            return self._put(request, submission)
        return self._multipart.answer(endpoint, request, submission)

    def _put(self, request: Request, submission: Submission) -> Answer:
        if "content-length" not in request.headers:
            return answers.s3_error(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
        if request.body.length > _LARGEST_OBJECT:
            return answers.s3_error(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
        with self._state.receiving() as (place, stream):
            etag = receive(request, stream)
            if isinstance(etag, Answer):
                return etag
            stream.flush()
            self._state.store(place, submission, self._now())
        return Answer(status=200, headers={"Server": "AmazonS3", "ETag": etag})

    def _log(self, request: Request) -> Answer:
        if "authorization" in request.headers:
            # An address that is pre-signed needs no header; a client that sends the notary's token here gives it away.
            return answers.s3_error(400, "InvalidArgument", "Only one auth mechanism allowed")
        if not grants.may_read_log(self._key, request.path, request.query, self._now()):
            return answers.ACCESS_DENIED
        identifier = unquote(request.path.split("/")[3])
        document = self._state.log(identifier)
        if document is None:
            return answers.NO_SUCH_KEY
        headers = {"Server": "AmazonS3", "Content-Type": "application/json"}
        return Answer(status=200, headers=headers, body=json.dumps(document, indent=2).encode())
