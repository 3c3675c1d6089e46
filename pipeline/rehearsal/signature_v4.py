"""AWS Signature Version 4 of a request, checked from the specification and not with the library that signs ours.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from pipeline.rehearsal import answers
from pipeline.rehearsal.levers import Answer
from pipeline.rehearsal.server import Request

REGION = "us-west-2"
_SKEW = timedelta(minutes=15)
_UNRESERVED = "-._~"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[^/,\s]+)/(?P<date>\d{8})"
    r"/(?P<region>[^/,\s]+)/(?P<service>[^/,\s]+)/aws4_request"
    r",\s*SignedHeaders=(?P<headers>[a-z0-9;-]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadCredentials:
    """What the notary hands out for one submission's upload."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expires: datetime


def refusal(request: Request, credentials: UploadCredentials, now: datetime) -> Answer | None:
    """What S3 says to a request that `credentials` do not cover at `now`; None for a good one. The body is not read."""
    header = request.headers.get("authorization")
    if header is None:
        return answers.ACCESS_DENIED
    if not header.startswith("AWS4-HMAC-SHA256 "):
        return answers.s3_error(400, "InvalidArgument", "Unsupported Authorization Type")
    said = _AUTHORIZATION.fullmatch(header)
    if said is None:
        return answers.s3_error(400, "AuthorizationHeaderMalformed", "The authorization header is malformed.")
    if said["id"] != credentials.access_key_id:
        return answers.UNKNOWN_ACCESS_KEY
    if (said["region"], said["service"]) != (REGION, "s3"):
        message = f"The authorization header is malformed; the region '{said['region']}' is wrong; expecting '{REGION}'"
        return answers.s3_error(400, "AuthorizationHeaderMalformed", message)
    signed = said["headers"].split(";")
    unsigned = {name for name in request.headers if name.startswith("x-amz-")} | {"host"}
    if unsigned - set(signed) or signed != sorted(set(signed)) or not set(signed) <= set(request.headers):
        message = "There were headers present in the request which were not signed"
        return answers.s3_error(403, "AccessDenied", message)
    if request.headers.get("x-amz-security-token") != credentials.session_token:
        return answers.INVALID_TOKEN
    if now >= credentials.expires:
        return answers.EXPIRED_TOKEN
    moment = _moment(request.headers.get("x-amz-date", ""))
    if moment is None or moment.strftime("%Y%m%d") != said["date"]:
        return answers.ACCESS_DENIED
    if abs(moment - now) > _SKEW:
        return answers.TIME_TOO_SKEWED
    if "x-amz-content-sha256" not in request.headers:
        return answers.s3_error(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    if not hmac.compare_digest(_signature(request, signed, credentials, said["date"]), said["signature"]):
        return answers.SIGNATURE_MISMATCH
    return None


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _signature(request: Request, signed: list[str], credentials: UploadCredentials, date: str) -> str:
    digest = hashlib.sha256(_canonical_request(request, signed)).hexdigest()
    scope = f"{date}/{REGION}/s3/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{request.headers['x-amz-date']}\n{scope}\n{digest}"
    key = f"AWS4{credentials.secret_access_key}".encode()
    for step in (date, REGION, "s3", "aws4_request", to_sign):
        key = hmac.digest(key, step.encode(), "sha256")
    return key.hex()


def _canonical_request(request: Request, signed: list[str]) -> bytes:
    """Escaped once and not normalised, as S3 wants it; `:` of an object's key becomes %3A."""
    path = quote(unquote_to_bytes(request.path), safe="/" + _UNRESERVED)
    pairs = parse_qsl(request.query, keep_blank_values=True)
    escaped = sorted((quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED)) for name, value in pairs)
    query = "&".join(f"{name}={value}" for name, value in escaped)
    headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in signed)
    parts = [request.method, path, query, headers, ";".join(signed), request.headers["x-amz-content-sha256"]]
    return "\n".join(parts).encode()
