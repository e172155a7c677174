"""The metrics of the gateway: its requests, and the attempts and batches of its client."""

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


@cache  # `labels` takes a lock, which costs more than counting
def _of(method: str, route: str | None, status: int | None) -> tuple[Counter, Histogram]:
    template = route or OTHER
    return _ANSWERED.labels(method, template, status), _SECONDS.labels(template)


def count_answer(method: str, route: str | None, status: int | None, seconds: float | None) -> None:
    """Count an answered request.

    Args:
        method: one of `METHODS`, or `OTHER`.
        route: the template of the path; None if no route matches.
        status: None if the response did not begin.
        seconds: the time from the request's head until the answer; None for a stream, which has no end of its
            own.
    """
    answered, histogram = _of(method, route, status)
    answered.inc()
    if seconds is not None:
        histogram.observe(seconds)


class ClientCollector(Collector):
    """Exports the counters of the client of this process at each scrape."""

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
            counts = {size: count for (name, size), count in batches.items() if name == subject}
            buckets = [
                (str(float(most)), sum(count for size, count in counts.items() if size <= most))
                for most in SIZES
            ]
            buckets.append(("+Inf", sum(counts.values())))
            sizes.add_metric([subject], buckets, sum(size * count for size, count in counts.items()))
        return sizes


CLIENT = ClientCollector()
REGISTRY.register(CLIENT)
