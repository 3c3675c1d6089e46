"""The body of an upload: written to disk while its digests are made, and held against what the headers promised."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

from pipeline.rehearsal import answers
from pipeline.rehearsal.levers import Answer
from pipeline.rehearsal.server import Request


def receive(request: Request, stream: BinaryIO) -> str | Answer:
    """Writes the body to `stream` and gives its ETag, or S3's refusal where it is not what the headers promised."""
    promised = request.headers["x-amz-content-sha256"]
    if promised.startswith("STREAMING-"):
        return answers.s3_error(501, "NotImplemented", "A header you provided implies functionality not implemented")
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    while block := request.body.read_block():
        sha256.update(block)
        md5.update(block)
        stream.write(block)
    if promised not in (sha256.hexdigest(), "UNSIGNED-PAYLOAD"):
        return answers.CONTENT_HASH_MISMATCH
    return f'"{md5.hexdigest()}"'
