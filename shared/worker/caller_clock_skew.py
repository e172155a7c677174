"""Detect callers with wrong clocks: count their commands and log a warning. Nothing is decided by it."""

import time

import structlog

from shared.contract.asked_at import CLOCK_SKEW_MS
from shared.worker.metrics import CALLERS_SKEWED

LONGEST_MS = 60_000
"""The largest `REQUEST_TIMEOUT_SECONDS`. A correct clock gives no later deadline and no older `askedAt`."""
PAST_MS = 5_000
"""A deadline that passed longer ago than this, at receipt, comes from a wrong clock."""
WARN_SECONDS = 10.0

log = structlog.get_logger()


class CallerClockSkew:
    """Compares the times in commands with the clock of this host."""

    def __init__(self) -> None:
        self._warn_again_at = 0.0

    def note(self, received_at: int, asked_at: int | None, deadline: int | None) -> None:
        """Compare a command's `askedAt` and deadline with its receipt, all in Unix ms; None is absent."""
        asked = 0 if asked_at is None else asked_at - received_at
        left = 0 if deadline is None else deadline - received_at
        if asked > CLOCK_SKEW_MS or left > LONGEST_MS + CLOCK_SKEW_MS:
            self._count("ahead", max(asked, left))
        elif asked < -LONGEST_MS - CLOCK_SKEW_MS or left < -PAST_MS:
            self._count("behind", min(asked, left))

    def _count(self, side: str, by_ms: int) -> None:
        CALLERS_SKEWED.labels(side).inc()
        if time.monotonic() >= self._warn_again_at:
            self._warn_again_at = time.monotonic() + WARN_SECONDS
            log.warning("callers_clock_is_wrong", side=side, ms=abs(by_ms))
