"""Levers in words, as `rehearsal.serve` takes them: `tickets-late=3`, `status=500,at=2,times=5`.

A lever is a field of `Levers`. A fault is an endpoint, what its requests meet, and which of them: from the `at`-th on,
`times` of them, the first one alone unless said otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import timedelta
from difflib import get_close_matches
from enum import Enum
from typing import Any, TypeVar

from pipeline.errors import ConfigurationError
from pipeline.rehearsal import answers
from pipeline.rehearsal.levers import Answer, CutAnswer, CutRequest, Endpoint, Fault, Levers, TimestampFault
from pipeline.rehearsal.state import Status

Choice = TypeVar("Choice")

_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_SECONDS = re.compile(r"(-?[0-9]{1,9})s?", re.ASCII)


def _words(name: str) -> str:
    return name.lower().replace("_", "-")


def _named(one: type[Enum]) -> dict[str, Any]:
    return {_words(member.name): member for member in one}


ENDPOINTS: Mapping[str, Endpoint] = _named(Endpoint)
LEVERS = tuple(_words(one.name) for one in fields(Levers) if one.init)
ANSWERS: Mapping[str, Answer] = {
    "400": answers.BODY_IN_GET,
    "401": answers.UNAUTHENTICATED,
    "403-agreement": answers.AGREEMENT_MISSING,
    "403-provider": answers.PROVIDER_MISSING,
    "403-role": answers.ROLE_TOO_NARROW,
    "404": answers.NO_SUCH_PATH,
    "429": answers.RATE_LIMITED,
    "429-for-10-minutes": answers.rate_limited(600),
    "500": answers.INTERNAL_ERROR,
    "504": answers.GATEWAY_TIMEOUT,
    "s3-access-denied": answers.ACCESS_DENIED,
    "s3-clock": answers.TIME_TOO_SKEWED,
    "s3-expired-token": answers.EXPIRED_TOKEN,
    "s3-internal-error": answers.S3_INTERNAL_ERROR,
    "s3-signature": answers.SIGNATURE_MISMATCH,
    "s3-slow-down": answers.S3_SLOW_DOWN,
    "ticket-throttled": answers.throttled(1),
    "timestamp-400": answers.TIMESTAMP_EMPTY_400,
    "timestamp-503": answers.TIMESTAMP_UNAVAILABLE,
}
"""Whole answers, by the name that a fault gives them."""
CUTS: Mapping[str, Callable[[int], Fault]] = {
    "cut-request": lambda at: CutRequest(at=at),
    "cut-answer": lambda at: CutAnswer(at=at),
}
"""Connections that end after so many bytes: cut-answer:0."""
TIMESTAMP_FAULTS: Mapping[str, TimestampFault] = {
    f"timestamp-{name}": one for name, one in _named(TimestampFault).items()
}


def pull(levers: Levers, text: str) -> None:
    """Set one lever. Raises ConfigurationError for a name or a value that it does not have."""
    name, _, value = text.partition("=")
    known = {_words(one.name): one.name for one in fields(levers) if one.init}
    attribute = _one_of(known, name, text)
    now = getattr(Levers(), attribute)
    setattr(levers, attribute, _value(name, now, value, text))


def schedule(levers: Levers, text: str) -> None:
    """Let requests meet a fault. Raises ConfigurationError for what is none."""
    where, _, what = text.partition("=")
    fault, *more = what.split(",")
    which = dict(one.partition("=")[::2] for one in more)
    if unknown := which.keys() - {"at", "times"}:
        raise _refused(text, f"{', '.join(sorted(unknown))}: a fault has at=N and times=N")
    numbers = {name: max(1, _number(value, text)) for name, value in which.items()}
    levers.schedule(_one_of(ENDPOINTS, where, text), _fault(fault, text), **numbers)


def _fault(text: str, whole: str) -> Fault:
    name, _, count = text.partition(":")
    if name in CUTS:
        return CUTS[name](_number(count, whole))
    known: dict[str, Fault] = {**ANSWERS, **TIMESTAMP_FAULTS}
    return _one_of(known, text, whole)


def _value(name: str, now: object, value: str, text: str) -> object:
    """The value as the kind that the lever's default is of."""
    if isinstance(now, bool):
        return _one_of({"true": True, "false": False, "": True}, value, text)
    if isinstance(now, int):
        return _number(value, text)
    if isinstance(now, timedelta):
        found = _SECONDS.fullmatch(value)
        if found is None:
            raise _refused(text, "a number of seconds is wanted")
        return timedelta(seconds=int(found[1]))
    if isinstance(now, frozenset):
        return frozenset(value.split(","))
    if name == "verdict":
        return _one_of({_words(one.name): one for one in Status}, value.lower(), text)
    return value


def _number(value: str, text: str) -> int:
    if not _NUMBER.fullmatch(value):
        raise _refused(text, f"{value or 'nothing'} where a number is wanted")
    return int(value)


def _one_of(known: Mapping[str, Choice], name: str, text: str) -> Choice:
    if name not in known:
        close = get_close_matches(name, known, n=1)
        advice = f"did you mean {close[0]}?" if close else f"known: {', '.join(one for one in known if one)}"
        raise _refused(text, f"{name or 'nothing'} is not known here", advice)
    return known[name]


def _refused(text: str, message: str, remedy: str | None = None) -> ConfigurationError:
    return ConfigurationError(message, where=text, remedy=remedy)
