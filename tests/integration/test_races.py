"""Races: if many callers request one slot at once, exactly one gets it."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.callers import Answer, Caller, HttpCaller, NatsCaller
from tests.slots import fresh

BOOKED = {"error": "Slot already booked"}


async def race(callers: list[Caller], bodies: list[dict[str, Any]]) -> list[Answer]:
    """Send all bodies at once, distributed over the callers."""
    return await asyncio.gather(*(callers[n % len(callers)].book(body) for n, body in enumerate(bodies)))


def judge(answers: list[Answer]) -> str:
    """Assert that one answer is 201 and the rest are the exact 409; return the winner's id."""
    winners = [answer for answer in answers if answer.status == 201]
    assert len(winners) == 1, Counter(answer.status for answer in answers)
    assert all(answer.body == BOOKED for answer in answers if answer.status != 201)
    id: str = winners[0].body["appointment"]["id"]
    return id


def rivals(body: dict[str, Any], count: int) -> list[dict[str, Any]]:
    return [{**body, "patientName": f"Patient {n}"} for n in range(count)]


async def test_of_three_clients_over_http_and_nats_one_gets_the_slot(
    http_caller: HttpCaller, nats_caller: NatsCaller
) -> None:
    """If three clients request one slot at once over HTTP and NATS, one is booked and two are refused."""
    for _ in range(20):
        callers: list[Caller] = [http_caller, http_caller, nats_caller]
        id = judge(await race(callers, rivals(fresh(), 3)))
        assert (await http_caller.get(id)).status == 200


@pytest.mark.parametrize("ways", [("http",), ("nats",), ("http", "nats")], ids="+".join)
async def test_of_200_rivals_for_one_slot_one_gets_it(
    ways: tuple[str, ...], http_caller: HttpCaller, nats_caller: NatsCaller
) -> None:
    """Of 200 simultaneous requests for one slot, one is booked and 199 get the exact 409."""
    callers: list[Caller] = [http_caller if way == "http" else nats_caller for way in ways]
    judge(await race(callers, rivals(fresh(), 200)))


async def test_each_of_50_slots_with_20_rivals_has_one_winner(
    http_caller: HttpCaller, nats_caller: NatsCaller
) -> None:
    """If 20 rivals race for each of 50 slots at once, every slot has exactly one winner."""
    slots = [fresh() for _ in range(50)]
    races = await asyncio.gather(*(race([http_caller, nats_caller], rivals(body, 20)) for body in slots))
    assert len({judge(answers) for answers in races}) == 50


async def test_of_40_racing_holds_one_is_granted(http_caller: HttpCaller, nats_caller: NatsCaller) -> None:
    """Of 40 simultaneous holds of one slot, one is granted and 39 are refused."""
    body = fresh()
    answers = await asyncio.gather(
        *((http_caller, nats_caller)[n % 2].hold(rival) for n, rival in enumerate(rivals(body, 40)))
    )
    assert Counter(answer.status for answer in answers) == {200: 1, 409: 39}
