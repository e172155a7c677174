"""A healthy receiver gets every event in time, whatever other receivers do."""

from collections.abc import Iterator, Sequence

from tests.proof.checker.verdict import Rule, Violation
from tests.proof.faults.history import GONE, HEALTHY, TRAP, Delivery, Event, Fault, Webhooks

IN_TIME_SECONDS = 30.0
"""Far longer than the way of an event on a busy machine; a receiver that hangs would delay it for minutes."""
GONE_SECONDS = 5.0
"""The longest time until all processes know that a receiver is gone."""
DELAYING = ("nats_", "webhooks_")
"""The faults that delay deliveries."""
RECOVERY_SECONDS = 12.0
"""JetStream gives an event out again 8 s after it was given to a process that was killed (`ack_wait`)."""


def judge_webhooks(
    events: Sequence[Event] | None, webhooks: Webhooks | None, faults: Sequence[Fault]
) -> Iterator[Violation]:
    """Compare the deliveries with the stream; None: the run had no receivers, or no stream."""
    if events is None or webhooks is None:
        return
    excused = [
        (fault.began, float("inf") if fault.ended is None else fault.ended + RECOVERY_SECONDS)
        for fault in faults
        if fault.kind.startswith(DELAYING)
    ]
    known = {event.id for event in events}
    for delivery in webhooks.deliveries:
        text = f"{delivery.receiver}: the delivery of {delivery.event} at {delivery.at:.3f} s"
        if delivery.receiver == TRAP:
            yield _violation(f"{text} followed a redirect")
        elif not delivery.genuine:
            yield _violation(f"{text} has a wrong signature or body")
        elif delivery.event not in known:
            yield _violation(f"{text} has no event")
    yield from _judge_healthy(events, webhooks.deliveries, excused)
    yield from _judge_gone(webhooks, excused)


def _judge_healthy(
    events: Sequence[Event], deliveries: Sequence[Delivery], excused: Sequence[tuple[float, float]]
) -> Iterator[Violation]:
    first: dict[str, float] = {}
    for delivery in deliveries:
        if delivery.receiver == HEALTHY:
            first.setdefault(delivery.event, delivery.at)
    for event in events:
        if event.id not in first:
            yield _violation(f"{HEALTHY}: the event {event.id} was not delivered")
        elif event.stored is not None:
            late = unexcused(event.stored, first[event.id], excused)
            if late > IN_TIME_SECONDS:
                yield _violation(f"{HEALTHY}: the event {event.id} was delivered after {late:.1f} s")


def _judge_gone(webhooks: Webhooks, excused: Sequence[tuple[float, float]]) -> Iterator[Violation]:
    told = [delivery for delivery in webhooks.deliveries if delivery.receiver == GONE]
    if told and webhooks.ended is None:
        yield _violation(f"{GONE}: it answered 410 at {told[0].at:.3f} s, and was not disabled")
    for delivery in told:
        if webhooks.ended is not None and unexcused(webhooks.ended, delivery.at, excused) > GONE_SECONDS:
            yield _violation(f"{GONE}: it got {delivery.event} at {delivery.at:.3f} s, after its end")


def unexcused(began: float, ended: float, excused: Sequence[tuple[float, float]]) -> float:
    """Return how much of the time from `began` to `ended` no excuse covers."""
    total, reached = 0.0, began
    for start, end in sorted(excused):
        total += max(0.0, min(start, ended) - reached)
        reached = max(reached, end)
    return total + max(0.0, ended - reached)


def _violation(text: str) -> Violation:
    return Violation(Rule.WEBHOOK, "webhooks", "", text)
