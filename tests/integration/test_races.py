"""Races: of all who ask for a slot at once, exactly one gets it."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.callers import Answer, Caller, HttpCaller, NatsCaller
from tests.slots import fresh

BOOKED = {"error": "Slot already booked"}


async def race(callers: list[Caller], bodies: list[dict[str, Any]]) -> list[Answer]:
    """Send all bodies at once, the callers taking turns."""
    return await asyncio.gather(*(callers[n % len(callers)].book(body) for n, body in enumerate(bodies)))


def judge(answers: list[Answer]) -> str:
    """The winner's id; every other answer is the exact 409."""
    winners = [answer for answer in answers if answer.status == 201]
    assert len(winners) == 1, Counter(answer.status for answer in answers)
    assert all(answer.body == BOOKED for answer in answers if answer.status != 201)
    id: str = winners[0].body["appointment"]["id"]
    return id


def rivals(body: dict[str, Any], count: int) -> list[dict[str, Any]]:
    return [{**body, "patientName": f"Patient {n}"} for n in range(count)]


async def test_a_web_page_a_bot_and_a_receptionist(http_caller: HttpCaller, nats_caller: NatsCaller) -> None:
    """Three clients ask for one slot at once, by both ways in: one is booked, two are refused."""
    for _ in range(20):
        callers: list[Caller] = [http_caller, http_caller, nats_caller]
        id = judge(await race(callers, rivals(fresh(), 3)))
        assert (await http_caller.get(id)).status == 200


@pytest.mark.parametrize("ways", [("http",), ("nats",), ("http", "nats")], ids="+".join)
async def test_two_hundred_rivals_for_one_slot(ways: tuple[str, ...], request: pytest.FixtureRequest) -> None:
    """Of 200 simultaneous requests one is booked, and the other 199 hear why they are not."""
    callers = [request.getfixturevalue(f"{way}_caller") for way in ways]
    judge(await race(callers, rivals(fresh(), 200)))


async def test_fifty_slots_with_twenty_rivals_each(http_caller: HttpCaller, nats_caller: NatsCaller) -> None:
    """Each of 50 slots has exactly one winner while all are fought over at once."""
    slots = [fresh() for _ in range(50)]
    races = await asyncio.gather(*(race([http_caller, nats_caller], rivals(body, 20)) for body in slots))
    assert len({judge(answers) for answers in races}) == 50


async def test_holds_race(http_caller: HttpCaller, nats_caller: NatsCaller) -> None:
    """Holds fight over a slot as bookings do: one token gets it."""
    body = fresh()
    answers = await asyncio.gather(
        *((http_caller, nats_caller)[n % 2].hold(rival) for n, rival in enumerate(rivals(body, 40)))
    )
    assert Counter(answer.status for answer in answers) == {200: 1, 409: 39}
