"""Serve the metrics that a process exposes to Prometheus at `/metrics`.

A metric is defined in the module that measures it. A label has few values, all chosen here: never a value
that a caller sent.
https://prometheus.io/docs/practices/naming/
"""

import platform

from prometheus_client import CONTENT_TYPE_LATEST, Gauge, disable_created_metrics, generate_latest

from shared.contract.version import VERSION

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
"""Buckets of latencies: from one round trip to the longest time that a caller waits."""
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
"""Buckets of batch sizes."""
CONTENT_TYPE = CONTENT_TYPE_LATEST

disable_created_metrics()  # type: ignore[no-untyped-call]
_BUILD = Gauge("booking_build_info", "What runs here; always 1", ["service", "version", "python"])


def set_build_info(service: str) -> None:
    """Set the metric that names the service and the version of this process."""
    _BUILD.labels(service, VERSION, platform.python_version()).set(1)


def exposition() -> bytes:
    """Return all metrics in the text format of Prometheus (`CONTENT_TYPE`)."""
    return generate_latest()
