"""Uploads in parts, as S3 takes them: start, parts, complete or abort.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from pipeline.host import Files
from pipeline.rehearsal import answers
from pipeline.rehearsal.levers import Answer, Endpoint
from pipeline.rehearsal.server import Now, Request
from pipeline.rehearsal.state import State, Submission
from pipeline.rehearsal.upload_body import receive

_SMALLEST_PART = 5 * 1024 * 1024  # of all but the last
_LAST_NUMBER = 10_000
_XML = {"Server": "AmazonS3", "Content-Type": "application/xml"}
_NO_SUCH_UPLOAD = answers.s3_error(404, "NoSuchUpload", "The specified multipart upload does not exist.")
_MALFORMED = answers.s3_error(400, "MalformedXML", "The XML you provided was not well-formed")
_INVALID_PART = answers.s3_error(400, "InvalidPart", "One or more of the specified parts could not be found.")


class Multipart:
    """One folder for each upload that is not completed; `object` in it says what it is for."""

    def __init__(self, state: State, files: Files, now: Now) -> None:
        self._state = state
        self._files = files
        self._now = now

    def answer(self, endpoint: Endpoint, request: Request, submission: Submission) -> Answer:
        if endpoint is Endpoint.UPLOAD_START:
            return self._start(submission)
        asked = parse_qs(request.query)
        identifier = asked.get("uploadId", [""])[-1]
        folder = self._state.parts(identifier)
        if not identifier or not self._is_for(folder, submission):
            return _NO_SUCH_UPLOAD
        if endpoint is Endpoint.UPLOAD_PART:
            return self._part(request, folder, asked.get("partNumber", [""])[-1])
        if endpoint is Endpoint.UPLOAD_COMPLETE:
            return self._complete(request, folder, submission)
        self._files.remove(folder)
        return Answer(status=204, headers={"Server": "AmazonS3"})

    def _start(self, submission: Submission) -> Answer:
        identifier = uuid.uuid4().hex
        self._files.write(self._state.parts(identifier) / "object", submission.id.encode())
        return _document(
            "InitiateMultipartUploadResult",
            Bucket=submission.bucket,
            Key=submission.object,
            UploadId=identifier,
        )

    def _is_for(self, folder: Path, submission: Submission) -> bool:
        said = folder / "object"
        return said.exists() and self._files.read(said) == submission.id.encode()

    def _part(self, request: Request, folder: Path, number: str) -> Answer:
        if not number.isdecimal() or not 1 <= int(number) <= _LAST_NUMBER:
            message = "Part number must be an integer between 1 and 10000, inclusive"
            return answers.s3_error(400, "InvalidArgument", message)
        with self._state.receiving() as (place, stream):
            etag = receive(request, stream)
            if isinstance(etag, Answer):
                return etag
            stream.flush()
            self._files.move(place, folder / str(int(number)))
        return Answer(status=200, headers={"Server": "AmazonS3", "ETag": etag})

    def _complete(self, request: Request, folder: Path, submission: Submission) -> Answer:
        document = request.body.document()
        if hashlib.sha256(document).hexdigest() != request.headers["x-amz-content-sha256"]:
            return answers.CONTENT_HASH_MISMATCH
        try:
            root = ET.fromstring(document)
        except ET.ParseError:
            return _MALFORMED
        listed = [(one.findtext("{*}PartNumber", ""), one.findtext("{*}ETag", "")) for one in root.findall("{*}Part")]
        if not listed or not all(number.isdecimal() for number, _ in listed):
            return _MALFORMED
        numbers = [int(number) for number, _ in listed]
        if numbers != sorted(set(numbers)):
            return answers.s3_error(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
        parts = [folder / str(number) for number in numbers]
        if any(not part.exists() for part in parts):
            return _INVALID_PART
        if any(part.stat().st_size < _SMALLEST_PART for part in parts[:-1]):
            message = "Your proposed upload is smaller than the minimum allowed size"
            return answers.s3_error(400, "EntityTooSmall", message)
        digests = [_md5(part) for part in parts]
        if [digest.hex() for digest in digests] != [etag.strip('"') for _, etag in listed]:
            return _INVALID_PART
        with self._state.receiving() as (place, stream):
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, stream)
            stream.flush()
            self._state.store(place, submission, self._now())
        self._files.remove(folder)
        whole = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
        return _document(
            "CompleteMultipartUploadResult",
            Bucket=submission.bucket,
            Key=submission.object,
            ETag=f'"{whole}-{len(parts)}"',
        )


def _md5(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).digest()


def _document(root: str, **fields: str) -> Answer:
    inside = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} {space}>{inside}</{root}>'
    return Answer(status=200, headers=_XML, body=text.encode())
