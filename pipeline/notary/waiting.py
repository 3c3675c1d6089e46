"""How long: schedules as data, and the patience that sleeps by them.

Nothing here knows what is asked of whom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TypeVar

from pipeline.errors import NotaryPending, ServiceUnavailable
from pipeline.host import Clock

Result = TypeVar("Result")


class Throttled(ServiceUnavailable):
    """The service answered 429. `retry_after` is what it asked for, if it did."""

    def __init__(self, message: str, *, retry_after: timedelta | None, where: str, remedy: str | None = None) -> None:
        super().__init__(message, where=where, remedy=remedy)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Pauses that grow: `first`, `first * growth`, … up to `longest`, without end."""

    first: timedelta
    growth: float
    longest: timedelta

    def pauses(self) -> Iterator[timedelta]:
        pause = self.first
        while True:
            yield min(pause, self.longest)
            pause = min(pause * self.growth, self.longest)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitPolicy:
    poll: Schedule
    """Between two looks at a submission's status."""
    retry: Schedule
    """Between two tries of a step that failed for a passing reason."""
    tries: int
    """Of such a step, and of a log that is not there yet. Looks at a status are bounded by the caller's wait alone."""
    throttled: timedelta
    """After a 429 that does not say how long."""
    doubt: timedelta
    """How long after its upload began a submission that may have been uploaded is watched before it is given up."""


# Polls every 10 seconds met Apple's hourly limit in 2026, whose size is not published: from 15 seconds up to a minute.
APPLE_POLICY = WaitPolicy(
    poll=Schedule(first=timedelta(seconds=15), growth=1.5, longest=timedelta(seconds=60)),
    retry=Schedule(first=timedelta(seconds=2), growth=2, longest=timedelta(seconds=60)),
    tries=8,
    throttled=timedelta(minutes=5),
    doubt=timedelta(minutes=15),  # within which Apple answers 98 of 100
)
REHEARSAL_POLICY = WaitPolicy(
    poll=Schedule(first=timedelta(milliseconds=50), growth=1, longest=timedelta(milliseconds=50)),
    retry=Schedule(first=timedelta(milliseconds=50), growth=1, longest=timedelta(milliseconds=50)),
    tries=8,
    throttled=timedelta(milliseconds=50),
    doubt=timedelta(milliseconds=250),
)


class Patience:
    """One wait with its end. `resume` says to a person how the wait is taken up again; `say` tells why it is long."""

    def __init__(
        self, clock: Clock, policy: WaitPolicy, wait: timedelta, *, resume: str, say: Callable[[str], object]
    ) -> None:
        self._clock = clock
        self._say = say
        self.policy = policy
        self._began = clock.monotonic()
        self._wait = wait
        self.resume = resume

    @property
    def past(self) -> timedelta:
        return self._clock.monotonic() - self._began

    @property
    def left(self) -> timedelta:
        return self._wait - self.past

    def sleep(self, pause: timedelta) -> None:
        """Sleep for the pause, but not past the end."""
        self._clock.sleep(max(timedelta(0), min(pause, self.left)))

    def obey(self, error: Throttled) -> None:
        """Keep off for as long as a 429 asks. Raises NotaryPending at once where that is past the end."""
        pause = self.policy.throttled if error.retry_after is None else max(error.retry_after, self.policy.poll.first)
        if pause >= self.left:
            raise NotaryPending(
                f"the limit of requests is reached, for another {in_words(pause)}",
                where=error.where,
                remedy=self.resume,
            ) from error
        self._say(f"notary: the limit of requests is reached; asking again in {in_words(pause)}")
        self._clock.sleep(pause)

    def persist(self, action: Callable[[], Result]) -> Result:
        """The action's result, tried again by `policy.retry` while it fails for a passing reason.

        Only for what may be done twice. Raises the last ServiceUnavailable.
        """
        pauses = islice(self.policy.retry.pauses(), self.policy.tries - 1)
        while True:
            try:
                return action()
            except Throttled as error:
                self.obey(error)
            except ServiceUnavailable:
                pause = next(pauses, None)
                if pause is None:
                    raise
                self._clock.sleep(pause)


def in_words(duration: timedelta) -> str:
    """ "45 s", "12 min", "2 h 05 min"."""
    seconds = max(0, round(duration.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"
