"""Secure time stamps (RFC 3161) from an authority: the request, the answer, and asking again where that can help."""

from pipeline.codesign.timestamp_token import Token, parse_token, verify_token
from pipeline.timestamps.client import APPLE_URL, RetryPolicy, TimestampClient
from pipeline.timestamps.messages import build_request, parse_request, parse_response

__all__ = [
    "APPLE_URL",
    "RetryPolicy",
    "TimestampClient",
    "Token",
    "build_request",
    "parse_request",
    "parse_response",
    "parse_token",
    "verify_token",
]
