"""Limit the rate of requests of a client, in the memory of this gateway."""

import math
import time
from collections import OrderedDict, defaultdict
from dataclasses import dataclass

from limits import RateLimitItem

from shared.contract.errors import TooManyRequests

MOST_CLIENTS = 200_000
"""How many clients with windows of one length are remembered, in some 50 MB; the oldest are forgotten."""
FORGOTTEN_AT_ONCE = 2


@dataclass(slots=True)
class _Window:
    ends: float
    hits: int = 0


class Rates:
    """Counts the requests of each client in windows of fixed length. Each gateway counts by itself.

    The memory store of `limits` is not used: it looks at all clients every 10 ms, in a thread that the event
    loop waits for, so requests from many networks would cost all others most of the gateway's time.
    """

    def __init__(self) -> None:
        self._windows: defaultdict[int, OrderedDict[str, _Window]] = defaultdict(OrderedDict)
        """By the length of windows (s), the windows of clients, in the order in which they end."""

    def count(self, rate: RateLimitItem, client: str) -> None:
        """Count a request of a client.

        Raises:
            TooManyRequests: the client has used up its window.
        """
        seconds, now = rate.get_expiry(), time.monotonic()
        windows = self._windows[seconds]
        window = windows.get(client)
        if window is None or window.ends <= now:
            windows.pop(client, None)  # a new window stands behind the others
            _forget_ended(windows, now)
            window = windows[client] = _Window(now + seconds)
        window.hits += 1
        if window.hits <= rate.amount:
            return
        refused = TooManyRequests()
        refused.retry_after = str(max(1, math.ceil(window.ends - now)))
        refused.most, refused.window = rate.amount, seconds
        raise refused


def _forget_ended(windows: OrderedDict[str, _Window], now: float) -> None:
    """Remove more ended windows than one client adds, so that they never accumulate."""
    for _ in range(min(FORGOTTEN_AT_ONCE, len(windows))):
        oldest = next(iter(windows))
        if windows[oldest].ends > now and len(windows) < MOST_CLIENTS:
            return
        del windows[oldest]
