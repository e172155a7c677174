"""Races of holds and bookings: a slot that is held for one patient is not booked by another."""

import asyncio
from dataclasses import dataclass
from typing import Any

from tests.callers import Answer, Caller, HttpCaller, NatsCaller
from tests.integration.breakable import http_caller as new_caller
from tests.servers import Servers
from tests.slots import fresh

REFUSALS = {"Slot already booked", "Slot is currently held by another user"}
RIVALS = 10


@dataclass(frozen=True)
class Race:
    """The answers of holders and bookers of one slot at once, all under different names."""

    body: dict[str, Any]
    holds: list[Answer]
    bookings: list[Answer]

    @property
    def held(self) -> list[dict[str, Any]]:
        return [answer.body["hold"] for answer in self.holds if answer.status == 200]

    @property
    def booked(self) -> list[dict[str, Any]]:
        return [answer.body["appointment"] for answer in self.bookings if answer.status == 201]

    @property
    def broken(self) -> bool:
        """Whether a hold was granted although another patient's booking succeeded."""
        return bool(self.held and self.booked)


async def race(callers: list[Caller]) -> Race:
    """Hold and book one slot at once, over all given transports."""
    body = fresh()
    asked = [
        (
            caller.hold({**body, "patientName": f"Holder {n}"}),
            caller.book({**body, "patientName": f"Booker {n}"}),
        )
        for n in range(RIVALS)
        for caller in [callers[n % len(callers)]]
    ]
    answers = await asyncio.gather(*(ask for pair in asked for ask in pair))
    return Race(body, answers[::2], answers[1::2])


async def test_slot_is_held_or_booked_but_not_both(http_caller: HttpCaller, nats_caller: NatsCaller) -> None:
    """One of simultaneous holds and bookings of a slot succeeds, and its answer stays true."""
    for race_of_slot in await asyncio.gather(*(race([http_caller, nats_caller]) for _ in range(8))):
        answers = race_of_slot.holds + race_of_slot.bookings
        assert sum(answer.status < 300 for answer in answers) == 1, answers
        assert {answer.error for answer in answers if answer.status >= 300} <= REFUSALS
        latecomer = {**race_of_slot.body, "patientName": "Latecomer"}
        if race_of_slot.booked:
            assert (await nats_caller.hold(latecomer)).error == "Slot already booked"
        else:
            assert (await nats_caller.book(latecomer)).error == "Slot is currently held by another user"
            token = race_of_slot.held[0]["token"]
            assert (await http_caller.book({**latecomer, "holdToken": token})).status == 201


async def test_without_the_hold_check_a_race_breaks_holds(servers: Servers) -> None:
    """Control: without the hold check, bookings take slots that were granted to holders."""
    with servers.new_stack(REQUEST_TIMEOUT_SECONDS="12") as stack:
        stack.start_gateway()
        stack.start("booking_worker", without="no_hold_check,slow_store")
        stack.start("hold_worker")
        stack.wait_ready()
        async with new_caller(stack) as caller:
            assert (await race([caller])).broken
