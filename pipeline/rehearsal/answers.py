"""Answers in the shapes that the real services give, content types that lie included.

App Store Connect answers success and most JSON errors as `application/octet-stream`, 401 and 500 as plain text, and
what stands before it answers HTML; the server calls itself `daiquiri/3.0.0`. S3 answers errors in XML, CloudKit in
JSON. Sources: public captures of these answers (mitchellh/gon, JetBrains and Ewert-Technologies notary clients,
anchore/quill, goreleaser, macadmins/nudge), the S3 API reference, the CloudKit Web Services reference (error codes).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

from pipeline.rehearsal.levers import Answer

_DAIQUIRI = {"Server": "daiquiri/3.0.0"}
_REQUEST_ID = "4LBNFD32YYRMV2263S4YLLG2ZE.0.0"


def json_answer(document: Mapping[str, Any], status: int = 200, **headers: str) -> Answer:
    """App Store Connect's JSON, under the content type that it really has."""
    named = _DAIQUIRI | {"Content-Type": "application/octet-stream"} | headers
    return Answer(status=status, headers=named, body=json.dumps(document).encode())


def api_error(status: int, code: str, title: str, detail: str, **more: Any) -> Answer:
    error = {"id": _REQUEST_ID, "status": str(status), "code": code, "title": title, "detail": detail} | more
    return json_answer({"errors": [error]}, status)


def bad_request(detail: str) -> Answer:
    return api_error(400, "BAD_REQUEST", "Improperly formatted request", detail)


def not_found(kind: str, identifier: str) -> Answer:
    """`kind` is `submissions` or `submissionsLog`."""
    detail = f"There is no resource of type '{kind}' with id '{identifier}'"
    if kind == "submissionsLog":
        detail = f"There is no resource of type 'submissionsLog' for id '{identifier}'"
    return api_error(404, "NOT_FOUND", "The specified resource does not exist", detail)


def _text(status: int, text: str) -> Answer:
    return Answer(status=status, headers=_DAIQUIRI | {"Content-Type": "text/plain"}, body=text.encode())


def _html(status: int, title: str, text: str) -> Answer:
    page = f"<HTML><HEAD>\n<TITLE>{title}</TITLE>\n</HEAD><BODY>\n<H1>{title}</H1>\n{text}\n</BODY></HTML>\n"
    return Answer(status=status, headers={"Server": "AkamaiGHost", "Content-Type": "text/html"}, body=page.encode())


UNAUTHENTICATED = _text(401, f"Unauthenticated\n\nRequest ID: {_REQUEST_ID}\n")
AGREEMENT_MISSING = api_error(
    403,
    "FORBIDDEN.REQUIRED_AGREEMENTS_MISSING_OR_EXPIRED",
    "A required agreement is missing or has expired.",
    "This request requires an in-effect agreement that has not been signed or has expired.",
    links={"see": "/business"},
)
PROVIDER_MISSING = api_error(
    403,
    "FORBIDDEN.MISSING_PROVIDER",
    "This provider does not exist.",
    "This provider does not exist.",
    links={"see": "/landing"},
)
ROLE_TOO_NARROW = api_error(
    403,
    "FORBIDDEN_ERROR",
    "This request is forbidden for security reasons",
    "The API key in use does not allow this request",
)
RATE_LIMITED = json_answer(
    {
        "errors": [
            {
                "status": "429",
                "code": "RATE_LIMIT",
                "title": "Too many requests",
                "detail": "Exceeded hourly limit of requests. Try again later.",
            }
        ]
    },
    429,
)
INTERNAL_ERROR = _text(500, f"Internal Server Error\n\nRequest ID: {_REQUEST_ID}\nPlease try again at a later time.\n")
GATEWAY_TIMEOUT = _html(
    504, "Gateway Timeout", f"The gateway did not answer in time.<P>\nCorrelation Key: {_REQUEST_ID}"
)
BODY_IN_GET = _html(400, "Bad Request", "Your browser sent a request that this server could not understand.<P>")
NO_SUCH_PATH = Answer(status=404, headers=_DAIQUIRI)


def rate_limited(retry_after: int) -> Answer:
    """429 with the header that says how many seconds to wait; the plain RATE_LIMITED has none."""
    headers = dict(RATE_LIMITED.headers) | {"Retry-After": str(retry_after)}
    return Answer(status=429, headers=headers, body=RATE_LIMITED.body)


def s3_error(status: int, code: str, message: str) -> Answer:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{escape(message)}</Message>"
        "<RequestId>REHEARSAL0000000</RequestId><HostId>REHEARSAL</HostId></Error>"
    )
    return Answer(status=status, headers={"Server": "AmazonS3", "Content-Type": "application/xml"}, body=text.encode())


EXPIRED_TOKEN = s3_error(400, "ExpiredToken", "The provided token has expired.")
INVALID_TOKEN = s3_error(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
ACCESS_DENIED = s3_error(403, "AccessDenied", "Access Denied")
TIME_TOO_SKEWED = s3_error(
    403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."
)
SIGNATURE_MISMATCH = s3_error(
    403,
    "SignatureDoesNotMatch",
    "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
)
UNKNOWN_ACCESS_KEY = s3_error(
    403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."
)
CONTENT_HASH_MISMATCH = s3_error(
    400,
    "XAmzContentSHA256Mismatch",
    "The provided 'x-amz-content-sha256' header does not match what was computed.",
)
S3_INTERNAL_ERROR = s3_error(500, "InternalError", "We encountered an internal error. Please try again.")
S3_SLOW_DOWN = s3_error(503, "SlowDown", "Please reduce your request rate.")
PRECONDITION_FAILED = s3_error(
    412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold"
)
NO_SUCH_KEY = s3_error(404, "NoSuchKey", "The specified key does not exist.")
METHOD_NOT_ALLOWED = s3_error(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")


def throttled(retry_after: int = 10, status: int = 429) -> Answer:
    """CloudKit's answer to a whole request that came too soon."""
    document = {
        "uuid": "2aaf9188-0000-4000-8000-000000000000",
        "serverErrorCode": "THROTTLED",
        "retryAfter": retry_after,
    }
    return cloudkit(document, status)


def cloudkit(document: Mapping[str, Any], status: int = 200) -> Answer:
    headers = {"Server": "AppleHttpServer/rehearsal", "Content-Type": "application/json; charset=UTF-8"}
    return Answer(status=status, headers=headers, body=json.dumps(document).encode())


TIMESTAMP_UNAVAILABLE = Answer(status=503)
TIMESTAMP_EMPTY_400 = Answer(status=400)


def iso_milliseconds(moment: datetime) -> str:
    """2022-06-08T01:38:09.498Z"""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
