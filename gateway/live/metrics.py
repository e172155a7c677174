"""Metrics of live slots."""

from prometheus_client import Counter, Gauge, Histogram

from shared.process.metrics import SECONDS

STREAMS = Gauge("booking_live_streams", "Live streams that are open")
DROPPED = Counter("booking_live_streams_dropped", "Live streams whose clients did not read")
READS = Counter("booking_live_reads", "Reads of watched windows")
CHANGE_SECONDS = Histogram(
    "booking_live_change_seconds",
    "Time from an event or a hint until its changes were passed to all streams of the window",
    buckets=SECONDS,
)
