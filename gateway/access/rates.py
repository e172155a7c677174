"""Limit the rate of requests of a client, in the memory of this gateway."""

import math
import time

from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from shared.contract.errors import TooManyRequests


class Rates:
    """Counts the requests of each client in windows of fixed length. Each gateway counts by itself."""

    def __init__(self) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def count(self, rate: RateLimitItem, client: str) -> None:
        """Count a request of a client.

        Raises:
            TooManyRequests: the client has used up its window.
        """
        if self._limiter.hit(rate, client):
            return
        resets = self._limiter.get_window_stats(rate, client).reset_time
        refused = TooManyRequests()
        refused.retry_after = str(max(1, math.ceil(resets - time.time())))
        refused.most, refused.window = rate.amount, rate.get_expiry()
        raise refused
