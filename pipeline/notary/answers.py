"""What a refusal of the notary means, by status, body and date: one kind of error for each thing to do about it.

400, 401, 403 and other refusals are final. 404, 429 and 5xx can pass: ServiceUnavailable, `NotThere`, `Throttled`.
The bodies are JSON, plain text or HTML, whatever their Content-Type says.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from pipeline.errors import CredentialsError, ReleaseError, ServiceUnavailable
from pipeline.explain import explain
from pipeline.host import Response
from pipeline.notary.waiting import Throttled, in_words
from pipeline.notary.wire import try_json

# A token is dated back by 30 seconds: a clock that is further ahead makes tokens that begin in Apple's future.
_SKEW = timedelta(seconds=30)
_LONGEST_DETAIL = 300
_LONGEST_BODY = 16 * 1024


class NotThere(ServiceUnavailable):
    """404: the log is not ready, or the notary does not know the submission."""


def check(response: Response, where: str, now: datetime) -> None:
    """Returns for 2xx; raises what any other answer means. `now` is the local clock's, to be held against Apple's."""
    status = response.status
    if 200 <= status < 300:
        return
    code, said = _told(response.body)
    message = f"the notary answered {status}: {said}" if said else f"the notary answered {status}"
    remedy = next((found.remedy for found in explain(f"HTTP status code: {status}. {code} {said}")), None)
    if status == 401:
        raise CredentialsError(message, where=where, remedy=_skew(response, now) or remedy)
    if status == 403:
        raise CredentialsError(message, where=where, remedy=remedy)
    if status == 404:
        raise NotThere(message, where=where)
    if status == 429:
        pause = retry_after(response, now)
        message += f" (it asks for a pause of {in_words(pause)})" if pause else ""
        raise Throttled(message, retry_after=pause, where=where, remedy=remedy)
    if status >= 500 or status == 408:
        raise ServiceUnavailable(message, where=where, remedy="run again later: it resumes")
    if 300 <= status < 400:
        raise ServiceUnavailable(
            f"{message}: a redirect, which the notary never gives", where=where, remedy="look for a proxy on the way"
        )
    raise ReleaseError(message, where=where, remedy=remedy)


def retry_after(response: Response, now: datetime) -> timedelta | None:
    """The header's seconds or date; None if there is none that can be read."""
    text = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,6}", text, re.ASCII):
        return timedelta(seconds=int(text))
    moment = _date(text)
    return max(timedelta(0), moment - now) if moment else None


def skew(response: Response, now: datetime) -> timedelta | None:
    """How far the local clock is ahead of the server's, by the Date header."""
    moment = _date(response.headers.get("date", ""))
    return now - moment if moment else None


def _skew(response: Response, now: datetime) -> str | None:
    ahead = skew(response, now)
    if ahead is None or abs(ahead) <= _SKEW:
        return None
    direction = "ahead of" if ahead > timedelta(0) else "behind"
    return (
        f"this machine's clock is {in_words(abs(ahead))} {direction} the service's, so that its tokens are not valid "
        "there: set the clock (sntp -sS time.apple.com, or timedatectl set-ntp true), and run again"
    )


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _told(body: bytes) -> tuple[str, str]:
    """Apple's code (or nothing) and its words, from JSON, from plain text or from HTML; on one line."""
    document = try_json(body)
    errors = document.get("errors") if isinstance(document, dict) else None
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        code, title, detail = (str(errors[0].get(key) or "") for key in ("code", "title", "detail"))
        return _line(code), _line(detail if title in detail else f"{title} {detail}")
    text = body[:_LONGEST_BODY].decode("utf-8", "replace")
    title_element = re.search(r"<title>([^<]*)</title>", text, re.IGNORECASE)
    if title_element:
        return "", _line(title_element[1])
    return "", _line(re.sub(r"<[^>]*>", " ", text))


def _line(text: str) -> str:
    printable = "".join(one if one.isprintable() else " " for one in text)
    return " ".join(printable.split())[:_LONGEST_DETAIL]
