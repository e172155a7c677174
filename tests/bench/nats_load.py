"""Commands straight over NATS, by `flood`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

from deploy.local.errors import StackError
from shared.contract.operations import BOOK
from tests.bench.flood import Answers, Flood, Make
from tests.bench.load_result import Heard
from tests.bench.slots import CELL, first_slot

UNDER_WAY = 256
TOGETHER = 128
MANY_UNDER_WAY = 2 * TOGETHER
"""Two messages, as the typed client has at most."""


def peak(nats_url: str, seconds: float) -> Heard:
    """Bookings, each in a message of its own: so many at once, as fast as answers come."""
    return _over_nats(
        nats_url,
        seconds,
        lambda flood: flood.keep_under_way(UNDER_WAY, seconds, bookings()),
    )


def many(nats_url: str, seconds: float, subject: str, make: Make) -> Heard:
    """Commands in messages of many: so many at once, as fast as answers come."""
    return _over_nats(
        nats_url,
        seconds,
        lambda flood: flood.keep_under_way(MANY_UNDER_WAY, seconds, make),
        subject=subject,
        together=TOGETHER,
    )


def flooded(nats_url: str, seconds: float, rate: float) -> Heard:
    """So many bookings a second, whatever comes back; those in time are done.

    Refusals for overload, and silence where no worker takes more, are what is to be expected.
    """
    heard = _over_nats(nats_url, seconds, lambda flood: flood.send_at(rate, seconds, bookings()))
    return replace(heard, to_expect=frozenset({503}))


def bookings() -> Make:
    """Makes bookings of slots that nobody else asks for."""
    first = first_slot()
    return lambda number: b'{"slot":"%b","patientName":"Ada Lovelace"}' % slot_text(first, number)


def slot_text(first: datetime, number: int) -> bytes:
    """The slot so many cells later, as it is sent."""
    return (first + number * CELL).isoformat(timespec="milliseconds").encode()


def _over_nats(
    nats_url: str,
    seconds: float,
    load: Callable[[Flood], Awaitable[Answers]],
    *,
    subject: str = BOOK.subject,
    together: int = 0,
) -> Heard:
    async def run() -> Answers:
        async with Flood.connect(nats_url, subject, together=together) as flood:
            return await load(flood)

    try:
        return _heard(asyncio.run(run()), seconds)
    except TimeoutError:
        raise StackError("over NATS nothing is answered any more") from None


def _heard(answers: Answers, seconds: float) -> Heard:
    took = sorted(answers.seconds) or [0.0]
    return Heard(
        seconds=seconds,
        statuses=dict(answers.statuses),
        p50=took[len(took) // 2] * 1000,
        p99=took[len(took) * 99 // 100] * 1000,
        broken=answers.unanswered + answers.late,
    )
