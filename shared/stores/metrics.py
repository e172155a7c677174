"""Define the metrics of the stores: one observation per round trip."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import Counter, Gauge, Histogram

from shared.process.metrics import SECONDS

MONGODB_SECONDS = Histogram(
    "booking_mongodb_seconds",
    "Time of a round trip to MongoDB",
    ["operation"],
    buckets=SECONDS,
)
REDIS_SECONDS = Histogram(
    "booking_redis_seconds", "Time of a round trip to Redis, by script", ["script"], buckets=SECONDS
)

INDEXES_VERIFIED = Gauge(
    "booking_indexes_verified", "1 while the indexes that decide are known to be there, else 0"
)
REDIS_LOST = Counter("booking_redis_lost", "Times that Redis did not answer")


@contextmanager
def timed(histogram: Histogram) -> Iterator[None]:
    """Observe the duration of the block, however it ends."""
    started = perf_counter()
    try:
        yield
    finally:
        histogram.observe(perf_counter() - started)
