"""A release's version: a moment as YY.MMDD.HHMM in UTC. Where the moment comes from is not here (`checkout`)."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.errors import ConfigurationError


def version_of(epoch_seconds: int) -> str:
    """The version of a moment, given in seconds since 1970 UTC; seconds of the minute are dropped.

    Raises ConfigurationError before 1970 and after 9999.
    """
    try:
        if epoch_seconds < 0:
            raise OverflowError
        return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%y.%m%d.%H%M")
    except (ValueError, OverflowError, OSError):
        raise ConfigurationError(f"{epoch_seconds} seconds since 1970 is no date that a version can tell") from None
