"""What the gateway measures of the requests that it answers, and of the client that it asks with."""

from collections.abc import Iterator
from functools import cache

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from shared.client.statistics import Statistics
from shared.process.metrics import SECONDS, SIZES

METHODS = {"GET", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "PUT"}
OTHER = "other"

_ANSWERED = Counter("booking_http_requests", "Requests that were answered", ["method", "route", "status"])
_SECONDS = Histogram(
    "booking_http_request_seconds", "Time from a request's head until its answer", ["route"], buckets=SECONDS
)
IN_FLIGHT = Gauge("booking_http_requests_in_flight", "Requests that are not answered yet")
TURNED_AWAY = Counter("booking_http_requests_turned_away", "Requests for which there was no room")


@cache  # a label is looked up under a lock, which costs more than to count
def _of(method: str, route: str | None, status: int | None) -> tuple[Counter, Histogram]:
    template = route or OTHER
    return _ANSWERED.labels(method, template, status), _SECONDS.labels(template)


def count_answer(method: str, route: str | None, status: int | None, seconds: float) -> None:
    """Count a request that was answered.

    `method` is one of `METHODS` or `OTHER`; `route` is the template of its path, None where there is none.
    """
    answered, histogram = _of(method, route, status)
    answered.inc()
    histogram.observe(seconds)


class ClientCollector(Collector):
    """Exports what the client of this process has counted, at the time that it is asked for."""

    def __init__(self) -> None:
        self.statistics = Statistics()

    def collect(self) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
        attempts = CounterMetricFamily(
            "booking_client_attempts",
            "Attempts of commands, by what became of them",
            labels=["subject", "outcome"],
        )
        for (subject, outcome), count in self.statistics.attempts.copy().items():
            attempts.add_metric([subject, outcome], count)
        yield attempts
        yield self._batches()

    def _batches(self) -> HistogramMetricFamily:
        sizes = HistogramMetricFamily(
            "booking_client_batch_size", "Commands that went in one message", labels=["subject"]
        )
        batches = self.statistics.batches.copy()
        for subject in {subject for subject, _ in batches}:
            counts = {size: count for (of, size), count in batches.items() if of == subject}
            buckets = [
                (str(float(most)), sum(count for size, count in counts.items() if size <= most))
                for most in SIZES
            ]
            buckets.append(("+Inf", sum(counts.values())))
            sizes.add_metric([subject], buckets, sum(size * count for size, count in counts.items()))
        return sizes


CLIENT = ClientCollector()
REGISTRY.register(CLIENT)
