"""The shapes of the notary's answers: read here, turned into our own types, and nowhere else known.

A body is decoded by trying JSON, never by its Content-Type, which says `application/octet-stream` for JSON. `type` is
not looked at: the documentation and the service do not agree on it. What is not understood raises ServiceUnavailable.
https://developer.apple.com/documentation/notaryapi
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipeline.errors import ServiceUnavailable
from pipeline.redact import Secret

# A submission's id is a UUID. It becomes a part of an address, so nothing else is let through.
_ID = re.compile(r"[0-9A-Za-z-]{8,64}", re.ASCII)
_LONGEST_TEXT = 4096


class NotaryStatus(StrEnum):
    """What the notary says of a submission: all the words that are documented."""

    IN_PROGRESS = "In Progress"
    ACCEPTED = "Accepted"
    INVALID = "Invalid"
    REJECTED = "Rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A submission as status and list tell it. `status` is None for a word that is not documented, told in `said`."""

    id: str
    name: str
    status: NotaryStatus | None
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadGrant:
    """Leave to upload one object, for 12 hours: temporary credentials of the object store."""

    submission: str
    bucket: str
    object: str
    access_key: Secret
    secret_key: Secret
    session_token: Secret


def submit_request(name: str, sha256: str) -> bytes:
    """The body of POST submissions; `sha256` of the archive, 64 hex digits."""
    return json.dumps({"submissionName": name, "sha256": sha256, "notifications": []}).encode()


def parse_grant(body: bytes) -> UploadGrant:
    """The answer to it."""
    data = _member(_document(body), "data")
    attributes = _member(data, "attributes")
    return UploadGrant(
        submission=_id(data),
        bucket=_text(attributes, "bucket"),
        object=_text(attributes, "object"),
        access_key=Secret(_text(attributes, "awsAccessKeyId")),
        secret_key=Secret(_text(attributes, "awsSecretAccessKey")),
        session_token=Secret(_text(attributes, "awsSessionToken")),
    )


def parse_status(body: bytes) -> Listed:
    """The answer to GET submissions/ID."""
    return _listed(_member(_document(body), "data"))


def parse_list(body: bytes) -> tuple[Listed, ...]:
    """Newest first, at most 100."""
    data = _document(body).get("data")
    if not isinstance(data, list):
        raise _not_understood("data is no list")
    return tuple(_listed(entry) for entry in data)


def parse_log_address(body: bytes) -> Secret:
    """A pre-signed address: whoever has it can read the log."""
    return Secret(_text(_member(_member(_document(body), "data"), "attributes"), "developerLogUrl"))


def try_json(body: bytes) -> Any:
    """The document, or None if the body is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _document(body: bytes) -> Mapping[str, Any]:
    document = try_json(body)
    if not isinstance(document, dict):
        raise _not_understood("it is no JSON object")
    return document


def _listed(data: object) -> Listed:
    if not isinstance(data, dict):
        raise _not_understood("an entry is no object")
    attributes = _member(data, "attributes")
    said = _text(attributes, "status")
    status = NotaryStatus(said) if said in {member.value for member in NotaryStatus} else None
    # The name is absent where the service lost it; it only serves to find a submission again.
    name = attributes.get("name")
    return Listed(id=_id(data), name=name if isinstance(name, str) else "", status=status, said=said)


def _member(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    member = document.get(key)
    if not isinstance(member, dict):
        raise _not_understood(f"{key} is no object")
    return member


def _text(document: Mapping[str, Any], key: str) -> str:
    text = document.get(key)
    if not isinstance(text, str) or not text or len(text) > _LONGEST_TEXT or not text.isprintable():
        raise _not_understood(f"{key} is no text")
    return text


def _id(data: Mapping[str, Any]) -> str:
    text = _text(data, "id")
    if not _ID.fullmatch(text):
        raise _not_understood("id is none")
    return text


def _not_understood(reason: str) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"the notary answered something that is not understood: {reason}",
        remedy="run again; if it stays so, Apple has changed the service",
    )
