"""A flood of readiness requests does not delay bookings."""

import nats
import pytest
from nats.aio.msg import Msg

from shared.process.nats_wire import round_trip
from tests.callers import NatsCaller
from tests.integration.breakable import until
from tests.slots import fresh
from tests.stack import Stack

QUESTIONS = 15_000


@pytest.mark.parametrize(
    ("question", "headers"),
    [(b"{}", None), (b"{ }", None), (b"{}", {"X-Request-Id": "0f3a5c7e9b1d2f4a"})],
    ids=["plain", "spaced", "identified"],
)
async def test_a_flood_of_questions_delays_no_booking(
    stack: Stack, question: bytes, headers: dict[str, str] | None
) -> None:
    """Every worker answers all of 15,000 readiness requests, and a booking among them is made early.

    The test measures the CPU time of workers until the booking, not the clock: the machine may be busy.
    """
    answers = 0

    async def count(_answer: Msg) -> None:
        nonlocal answers
        answers += 1

    async with (
        await nats.connect(stack.env["NATS_URL"]) as asking,
        await nats.connect(stack.env["NATS_URL"]) as booking,
    ):
        inbox = asking.new_inbox()
        await asking.subscribe(inbox, cb=count)
        caller = NatsCaller(booking)
        assert (await caller.book(fresh())).status == 201
        for _ in range(QUESTIONS):
            await asking.publish("booking.v1.ready", question, inbox, headers=headers)
        await round_trip(asking)
        workers = stack.workers("booking")
        before = [worker.cpu_seconds for worker in workers]
        assert (await caller.book(fresh())).status == 201
        spent = [worker.cpu_seconds - was for worker, was in zip(workers, before, strict=True)]
        await until(lambda: answers >= QUESTIONS * len(workers), "all questions are answered")
        print(f"until the booking among {QUESTIONS} questions was made, workers used {spent} s of CPU")
    assert max(spent) < 2.5
