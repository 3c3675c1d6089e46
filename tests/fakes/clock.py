"""A clock that moves only when somebody sleeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Implements `pipeline.host.Clock`; `slept` is the sum of all sleeps."""

    def __init__(self, now: datetime = datetime(2026, 11, 21, 6, 15, tzinfo=UTC)) -> None:
        self._start = now
        self.slept = timedelta(0)

    def now(self) -> datetime:
        return self._start + self.slept

    def monotonic(self) -> timedelta:
        # From no moment in particular, as a machine that has run for a while.
        return timedelta(days=3) + self.slept

    def set(self, by: timedelta) -> None:
        """Somebody sets the clock: `now` jumps, and time goes on as it did."""
        self._start += by

    def sleep(self, duration: timedelta) -> None:
        self.slept += duration
