"""Measure how far the relay is behind, for `/readyz` and the metrics."""

from datetime import UTC, datetime, timedelta
from math import nan

import structlog
from prometheus_client import Gauge

LATE_SECONDS = 30.0
"""From this lag on a relay reports that it is not ready."""
SLOW_READ = timedelta(seconds=2)
"""MongoDB answers a read of the change stream within half a second. A slower one may hide changes."""

LAG_SECONDS = Gauge("booking_events_lag_seconds", "Age of the oldest change whose event is not published")
OPLOG_SECONDS = Gauge(
    "booking_events_oplog_seconds", "Time until the oplog drops changes whose events are not published"
)

log = structlog.get_logger()


class Lag:
    """The lag of one relay, as far as the relay reports it.

    `behind_since`: when the oldest change without a published event was made; None: there is none.
    `reading_since`: when the read of the change stream began that is not answered yet.
    `oplog_from`: the time of the oldest entry of the oplog.
    `failure`: why events are late.
    """

    def __init__(self) -> None:
        self.behind_since: datetime | None = None
        self.reading_since: datetime | None = None
        self.oplog_from: datetime | None = None
        self.failure: str | None = None
        LAG_SECONDS.set_function(lambda: self.seconds)
        OPLOG_SECONDS.set_function(lambda: nan if self.oplog_seconds is None else self.oplog_seconds)

    @property
    def seconds(self) -> float:
        """The age of the oldest change without an event that is known to be published."""
        now, since = datetime.now(UTC), self.behind_since
        if since is None and self.reading_since and now - self.reading_since > SLOW_READ:
            since = self.reading_since
        return 0.0 if since is None else max(0.0, (now - since).total_seconds())

    @property
    def oplog_seconds(self) -> float | None:
        """How long the relay may stay as far behind until the oplog loses a change; None if unknown."""
        if self.oplog_from is None:
            return None
        return (datetime.now(UTC) - self.oplog_from).total_seconds() - self.seconds

    @property
    def problem(self) -> str | None:
        """Why events are late, or None."""
        if not self.failure and self.seconds <= LATE_SECONDS:
            return None
        left = self.oplog_seconds
        oplog = "" if left is None else f", {left:.0f} s before the oplog drops changes"
        reason = f"{self.failure}: " if self.failure else ""
        return f"{reason}{self.seconds:.0f} s behind{oplog}"

    def note_failure(self, reason: str) -> None:
        """Report a failure that the relay retries; log it once."""
        self.behind_since = self.behind_since or datetime.now(UTC)
        if self.failure != reason:
            self.failure = reason
            log.warning("relay_waits", reason=reason)
