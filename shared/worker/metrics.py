"""The metrics of the commands that a worker answers."""

from collections.abc import Mapping
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from shared.process.metrics import SECONDS, SIZES

_ANSWERED = Counter("booking_commands", "Commands that were answered", ["subject", "outcome"])
_SECONDS = Histogram(
    "booking_command_seconds",
    "Time until a command is decided",
    ["subject"],
    buckets=SECONDS,
)
IN_FLIGHT = Gauge("booking_commands_in_flight", "Commands that are not decided yet")
TURNED_AWAY = Counter("booking_commands_turned_away", "Messages for which there was no room", ["subject"])
DROPPED = Counter("booking_messages_dropped", "Messages that could be neither read nor answered")
CALLERS_SKEWED = Counter("booking_callers_skewed", "Commands whose caller's clock is wrong", ["side"])
PAUSES = Counter("booking_flow_control_pauses", "Times that NATS was told to send nothing for a while")
QUEUE_SECONDS = Histogram(
    "booking_queue_seconds",
    "Time that the first of a batch waited",
    ["queue"],
    buckets=SECONDS,
)
BATCH_SIZE = Histogram("booking_batch_size", "Commands in a batch", ["queue"], buckets=SIZES)


@cache  # looking up a label takes a lock, which costs more than counting
def _of(subject: str, outcome: str) -> tuple[Counter, Histogram]:
    return _ANSWERED.labels(subject, outcome), _SECONDS.labels(subject)


def count_answers(subject: str, outcomes: Mapping[str, int], seconds: float) -> None:
    """Count commands that were decided together.

    Args:
        subject: of the message.
        outcomes: number of commands by status or `Error-Type`.
        seconds: the time until they were decided.
    """
    for outcome, count in outcomes.items():
        answered, histogram = _of(subject, outcome)
        answered.inc(count)
        for _ in range(count):
            histogram.observe(seconds)
