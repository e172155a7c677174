"""Limit the rate of requests of a client, in the memory of this gateway."""

import math
import time

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from shared.contract.errors import TooManyRequests


def read_rate(text: str) -> RateLimitItem:
    """Read a rate, for example `600/minute`.

    Raises:
        ValueError: the text is no rate.
    """
    try:
        return parse(text)
    except ValueError:
        raise ValueError("must be a rate such as 600/minute") from None


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
