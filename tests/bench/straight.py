"""Bookings straight over NATS, by `flood`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

from deploy.local.errors import StackError
from shared.contract import subjects
from tests.bench.flood import Answers, Flood, Make
from tests.bench.heard import Heard
from tests.bench.slots import next_day

UNDER_WAY = 256


def peak(nats_url: str, seconds: float) -> Heard:
    """Bookings straight over NATS, so many at once, as fast as answers come."""
    return _over_nats(nats_url, seconds, lambda flood, make: flood.keep_under_way(UNDER_WAY, seconds, make))


def flooded(nats_url: str, seconds: float, rate: float) -> Heard:
    """So many bookings a second straight over NATS, whatever comes back; those in time are done.

    Refusals for overload, and silence where no worker takes more, are what is to be expected.
    """
    heard = _over_nats(nats_url, seconds, lambda flood, make: flood.send_at(rate, seconds, make))
    return replace(heard, to_expect=frozenset({503}))


def _over_nats(nats_url: str, seconds: float, load: Callable[[Flood, Make], Awaitable[Answers]]) -> Heard:
    first = next_day()

    def make(number: int) -> bytes:
        slot = (first + timedelta(milliseconds=number)).isoformat(timespec="milliseconds")
        return b'{"slot":"%b","patientName":"Ada Lovelace"}' % slot.encode()

    async def run() -> Answers:
        async with Flood.connect(nats_url, subjects.BOOK) as flood:
            return await load(flood, make)

    try:
        return _heard(asyncio.run(run()), seconds)
    except TimeoutError:
        raise StackError("over NATS nothing is answered any more") from None


def _heard(answers: Answers, seconds: float) -> Heard:
    took = sorted(answers.seconds) or [0.0]
    statuses = {**answers.statuses, 201: answers.in_time}
    return Heard(
        seconds=seconds,
        statuses=statuses,
        p50=took[len(took) // 2] * 1000,
        p99=took[len(took) * 99 // 100] * 1000,
        broken=answers.unanswered + answers.late,
    )
