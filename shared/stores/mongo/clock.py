"""Measure the skew between this host's clock and MongoDB's, which all workers of a database share."""

import time
from dataclasses import dataclass
from datetime import UTC

from shared.contract.asked_at import CLOCK_SKEW_MS
from shared.stores.mongo.connection import Database

MOST_SKEW_SECONDS = CLOCK_SKEW_MS / 1000


@dataclass(frozen=True)
class Skew:
    """This clock minus MongoDB's clock, and the error of the measurement, both in seconds."""

    seconds: float = 0.0
    error: float = 0.0

    @property
    def problem(self) -> str | None:
        """Describe the skew if it is too large, else None."""
        if abs(self.seconds) <= MOST_SKEW_SECONDS + self.error:
            return None
        side = "ahead of" if self.seconds > 0 else "behind"
        return f"{abs(self.seconds):.1f} s {side} MongoDB's"


async def measure_skew(database: Database) -> Skew:
    """Ask MongoDB for its time. The error is half the round trip.

    Raises:
        PyMongoError: MongoDB does not answer.
    """
    asked, began = time.time(), time.monotonic()
    hello = await database.client.admin.command("hello")
    half = (time.monotonic() - began) / 2
    return Skew(asked + half - hello["localTime"].replace(tzinfo=UTC).timestamp(), half)
