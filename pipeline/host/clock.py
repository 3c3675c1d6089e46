"""Time: the wall clock in UTC, a clock that only goes forward, and waiting."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        ...

    def monotonic(self) -> timedelta:
        """Time since an arbitrary moment; only differences mean something."""
        ...

    def sleep(self, duration: timedelta) -> None:
        """Wait so long; for less than nothing, not at all."""
        ...


def seconds_since(clock: Clock, began: timedelta) -> float:
    """From a reading of `monotonic` until now, to the millisecond."""
    return round((clock.monotonic() - began).total_seconds(), 3)


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> timedelta:
        return timedelta(seconds=time.monotonic())

    def sleep(self, duration: timedelta) -> None:
        time.sleep(max(0.0, duration.total_seconds()))
