"""Loads straight over NATS, by `flood`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

from deploy.local.errors import StackError
from shared.contract.operations import BOOK
from tests.bench.flood import Answers, Flood, Make
from tests.bench.load_result import LoadResult
from tests.bench.slots import CELL, first_slot

IN_FLIGHT = 256
BATCH_SIZE = 128
BATCHED_IN_FLIGHT = 2 * BATCH_SIZE
"""The commands of two batches, as many as the typed client has in flight."""


def peak(nats_url: str, seconds: float) -> LoadResult:
    """Send single bookings in a closed loop, `IN_FLIGHT` at a time."""
    return _over_nats(
        nats_url,
        seconds,
        lambda flood: flood.keep_in_flight(IN_FLIGHT, seconds, bookings()),
    )


def batches(nats_url: str, seconds: float, subject: str, make: Make) -> LoadResult:
    """Send commands in batches in a closed loop, `BATCHED_IN_FLIGHT` commands at a time."""
    return _over_nats(
        nats_url,
        seconds,
        lambda flood: flood.keep_in_flight(BATCHED_IN_FLIGHT, seconds, make),
        subject=subject,
        batch_size=BATCH_SIZE,
    )


def overload(nats_url: str, seconds: float, rate: float) -> LoadResult:
    """Send `rate` single bookings a second; only timely confirmations are done.

    Refusals for overload, and `no responders` if no worker takes more, are right answers here.
    """
    result = _over_nats(nats_url, seconds, lambda flood: flood.send_at(rate, seconds, bookings()))
    return replace(result, tolerated=frozenset({503}))


def bookings() -> Make:
    """Return a function that makes the booking of a number; every booking has a slot of its own."""
    first = first_slot()
    return lambda number: b'{"slot":"%b","patientName":"Ada Lovelace"}' % slot_text(first, number)


def slot_text(first: datetime, number: int) -> bytes:
    """Return the text of the slot that is `number` cells after `first`."""
    return (first + number * CELL).isoformat(timespec="milliseconds").encode()


def _over_nats(
    nats_url: str,
    seconds: float,
    load: Callable[[Flood], Awaitable[Answers]],
    *,
    subject: str = BOOK.subject,
    batch_size: int = 0,
) -> LoadResult:
    async def run() -> Answers:
        async with Flood.connect(nats_url, subject, batch_size=batch_size) as flood:
            return await load(flood)

    try:
        return _result(asyncio.run(run()), seconds)
    except TimeoutError:
        raise StackError("NATS requests are no longer answered") from None


def _result(answers: Answers, seconds: float) -> LoadResult:
    latencies = sorted(answers.seconds) or [0.0]
    return LoadResult(
        seconds=seconds,
        statuses=dict(answers.statuses),
        p50=latencies[len(latencies) // 2] * 1000,
        p99=latencies[len(latencies) * 99 // 100] * 1000,
        broken=answers.unanswered + answers.late,
    )
