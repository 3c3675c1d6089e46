"""The upload of an archive: one PUT, streamed from disk; above 64 MB in parts, so that a cut costs one part.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

from __future__ import annotations

from collections.abc import Callable
from xml.sax.saxutils import escape

from pipeline.errors import ServiceUnavailable
from pipeline.host import Files, Upload
from pipeline.notary.object_store import AlreadyThere, ObjectStore, element
from pipeline.notary.submission import Archive
from pipeline.notary.waiting import Patience


def put_archive(
    store: ObjectStore,
    files: Files,
    archive: Archive,
    patience: Patience,
    *,
    again: bool,
    sent: Callable[[int], object],
) -> None:
    """Upload the archive; on return the store has it whole, and has checked its SHA-256 or that of each part.

    `again`: an earlier try may have succeeded without our knowing. The object is then put only where none is, and one
    that is there already is a success: its name belongs to this submission alone.
    Raises what `ObjectStore.call` raises, but AlreadyThere.
    """
    condition = {"If-None-Match": "*"} if again else {}
    try:
        if archive.size <= 2 * store.part:
            body = Upload(path=archive.path, length=archive.size, sent=sent)
            headers = {"Content-Type": "application/octet-stream", **condition}
            store.call("PUT", headers=headers, body=body, sha256=archive.sha256)
        else:
            _put_parts(store, files, archive, patience, condition, sent)
    except AlreadyThere:
        if not again:
            raise


def _put_parts(
    store: ObjectStore,
    files: Files,
    archive: Archive,
    patience: Patience,
    condition: dict[str, str],
    sent: Callable[[int], object],
) -> None:
    started = patience.persist(lambda: store.call("POST", query={"uploads": ""}))
    upload = element(started.body, "UploadId")
    if not upload:
        raise ServiceUnavailable("the object store began no upload in parts", remedy="run again later: it resumes")
    tags = []
    for number, offset in enumerate(range(0, archive.size, store.part), 1):
        part = _Part(store, files, archive, {"partNumber": str(number), "uploadId": upload}, offset, sent)
        tags.append(patience.persist(part.put))
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(tag)}</ETag></Part>"
        for number, tag in enumerate(tags, 1)
    )
    document = (
        f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{parts}</CompleteMultipartUpload>'
    )
    headers = {"Content-Type": "application/xml", **condition}
    store.call("POST", query={"uploadId": upload}, headers=headers, body=document.encode())


class _Part:
    """One part; putting it twice is putting it once."""

    def __init__(
        self,
        store: ObjectStore,
        files: Files,
        archive: Archive,
        query: dict[str, str],
        offset: int,
        sent: Callable[[int], object],
    ) -> None:
        length = min(store.part, archive.size - offset)
        self._store = store
        self._query = query
        self._sha256 = files.sha256(archive.path, offset, length)
        self._body = Upload(path=archive.path, offset=offset, length=length, sent=self._count)
        self._sent = sent
        self._counted = 0

    def put(self) -> str:
        """The part's ETag."""
        self._sent(-self._counted)
        self._counted = 0
        tag = self._store.call("PUT", query=self._query, body=self._body, sha256=self._sha256).headers.get("etag")
        if not tag:
            raise ServiceUnavailable(
                "the object store took a part without a word", remedy="run again later: it resumes"
            )
        return tag

    def _count(self, count: int) -> None:
        self._counted += count
        self._sent(count)
