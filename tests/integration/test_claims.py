"""A booking of several resources gets all of them or none, whatever competes with it."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import combinations
from random import Random
from typing import Any, Literal

import nats
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient

from tests.callers import Answer, Caller, HttpCaller, NatsCaller
from tests.integration.breakable import http_caller
from tests.integration.places import GRIDS, MINUTE_MS, RESOURCES, Place, cells, places, with_real_servers
from tests.servers import Servers
from tests.slots import fresh, fresh_site
from tests.stack import Stack

BOOKED = {"error": "Slot already booked"}
HELD = {"error": "Slot is currently held by another user"}


@pytest.fixture(scope="module", params=GRIDS)
def grid(request: pytest.FixtureRequest) -> int:
    minutes: int = request.param
    return minutes


@pytest.fixture(scope="module")
def grid_stack(servers: Servers, grid: int) -> Iterator[Stack]:
    with servers.new_stack(SLOT_MINUTES=str(grid)) as stack:
        yield stack.up()


@pytest.fixture
async def callers(grid_stack: Stack) -> AsyncIterator[tuple[HttpCaller, NatsCaller]]:
    connection = await nats.connect(grid_stack.env["NATS_URL"])
    async with http_caller(grid_stack) as caller:
        yield caller, NatsCaller(connection)
    await connection.close()


async def race(
    callers: Sequence[Caller],
    site: str,
    requests: Sequence[Place],
    use: Literal["book", "hold"],
    name: str = "patient",
) -> list[Answer]:
    """Send all requests at once, over both transports."""

    async def send(number: int, ask: Place) -> Answer:
        caller, body = callers[number % len(callers)], ask.body(site, f"{name} {number}")
        return await (caller.book(body) if use == "book" else caller.hold(body))

    return await asyncio.gather(*(send(number, ask) for number, ask in enumerate(requests)))


def claimed_twice(winners: Sequence[Place]) -> bool:
    return any(one.claims & other.claims for one, other in combinations(winners, 2))


async def test_doctor_and_room_are_one_booking(caller: Caller) -> None:
    """A booking of two resources keeps other patients from both, and returns both, sorted."""
    body = fresh(resources=["room.1", "doctor"])
    answer = await caller.book(body)
    assert (answer.status, answer.body["appointment"]["resources"]) == (201, ["doctor", "room.1"])
    found = await caller.get(answer.body["appointment"]["id"])
    assert found.body["appointment"] == answer.body["appointment"]
    for resources in (["doctor"], ["room.1"], ["room.1", "room.2"], ["room.2", "doctor"]):
        assert (await caller.book({**body, "resources": resources})).body == BOOKED
        assert (await caller.hold({**body, "resources": resources})).body == BOOKED
    assert (await caller.book({**body, "resources": ["room.2"]})).status == 201


async def test_booking_gets_all_resources_or_none(caller: Caller) -> None:
    """If one of two resources is taken, the refused request leaves the other free."""
    body = fresh(resources=["room.1"])
    assert (await caller.book(body)).status == 201
    assert (await caller.book({**body, "resources": ["doctor", "room.1"]})).body == BOOKED
    assert (await caller.hold({**body, "resources": ["doctor", "room.1"]})).body == BOOKED
    assert (await caller.hold({**body, "resources": ["doctor"]})).status == 200


async def test_hold_of_several_resources_is_one_hold(caller: Caller) -> None:
    """A hold of two resources keeps other patients from both, and is consumed as a whole."""
    body = fresh(resources=["room.1", "doctor"])
    held = await caller.hold(body)
    assert (held.status, held.body["hold"]["resources"]) == (200, ["doctor", "room.1"])
    for resources in (["doctor"], ["room.1", "room.2"]):
        rival = {**body, "resources": resources, "patientName": "Grace"}
        assert (await caller.book(rival)).body == HELD
        assert (await caller.hold(rival)).body == HELD
    assert (await caller.book(body)).status == 201
    assert (await caller.hold({**body, "resources": ["room.2"], "patientName": "Grace"})).status == 200


async def test_order_of_resources_does_not_matter_for_a_replay(caller: Caller) -> None:
    """A retry that names the same resources in another order is a replay."""
    key, body = {"Idempotency-Key": "order 4711"}, fresh(resources=["b", "a", "c"])
    first = await caller.book(body, **key)
    again = await caller.book({**body, "resources": ["c", "b", "a"]}, **key)
    assert (again.status, again.body) == (201, first.body)


async def test_booking_has_at_most_600_claims(caller: Caller) -> None:
    """Two resources for a day are 576 claims of 5 minutes; for three, the 400 names the longest duration."""
    day = fresh(durationMinutes=24 * 60, resources=["r1", "r2", "r3"])
    for ask in (caller.book, caller.hold):
        answer = await ask(day)
        assert answer.status == 400
        assert answer.error.startswith("durationMinutes must be at most 1000 ")
        assert "600" in answer.error
    assert (await caller.hold({**day, "resources": ["r1", "r2"]})).status == 200
    assert (await caller.book({**day, "resources": ["r1", "r2"]})).status == 201
    assert (await caller.book({**day, "site": fresh_site(), "durationMinutes": 1000})).status == 201


@with_real_servers
@given(data=st.data())
async def test_random_bookings_never_share_a_claim(
    callers: tuple[HttpCaller, NatsCaller], grid_stack: Stack, grid: int, data: st.DataObject
) -> None:
    """Simultaneous bookings never share a claim; every booking is whole, and every refusal met a booking."""
    site, requests = fresh_site(), data.draw(st.lists(places(grid), min_size=2, max_size=16))
    answers = await race(callers, site, requests, "book")
    winners = [ask for ask, answer in zip(requests, answers, strict=True) if answer.status == 201]
    assert not claimed_twice(winners)
    taken = set[tuple[str, int]]().union(*(winner.claims for winner in winners))
    for ask, answer in zip(requests, answers, strict=True):
        assert answer.status == 201 or answer.body == BOOKED
        assert answer.status == 201 or ask.claims & taken
    with MongoClient[dict[str, Any]](grid_stack.env["MONGO_URI"]) as client:
        rows = list(client.get_default_database()["appointments"].find({"site": site}))
    assert len(rows) == len(winners)
    assert sum(len(row["claims"]) for row in rows) == len(taken)
    # A refused request left no claim: every free cell can be booked.
    rest = [ask for ask in cells(grid) if not ask.claims & taken]
    assert {answer.status for answer in await race(callers, site, rest, "book")} <= {201}


@with_real_servers
@given(data=st.data())
async def test_random_holds_never_share_a_claim(
    callers: tuple[HttpCaller, NatsCaller], grid: int, data: st.DataObject
) -> None:
    """Simultaneous holds never share a claim, and a refused hold leaves no claim."""
    site, requests = fresh_site(), data.draw(st.lists(places(grid), min_size=2, max_size=16))
    answers = await race(callers, site, requests, "hold")
    winners = [ask for ask, answer in zip(requests, answers, strict=True) if answer.status == 200]
    assert winners
    assert not claimed_twice(winners)
    assert all(answer.status == 200 or answer.body == HELD for answer in answers)
    taken = set[tuple[str, int]]().union(*(winner.claims for winner in winners))
    free = cells(grid)
    for ask, answer in zip(free, await race(callers, site, free, "book", "stranger"), strict=True):
        assert (answer.status, answer.body.get("error")) == (
            (409, HELD["error"]) if ask.claims & taken else (201, None)
        )


async def test_without_the_index_a_room_is_booked_twice(servers: Servers) -> None:
    """Control: with the unique index dropped and its watch disabled, claims are booked twice."""
    random = Random(7)
    requests = [
        Place(5, tuple(random.sample(RESOURCES, 2)), random.randrange(6) * 5 * MINUTE_MS, 10)
        for _ in range(16)
    ]
    with servers.new_stack() as stack:
        stack.start_gateway()
        for module in ("booking_worker", "hold_worker"):
            stack.start(module, without="no_index_check")
        stack.wait_ready()
        with MongoClient[dict[str, object]](stack.env["MONGO_URI"]) as client:
            client.get_default_database()["appointments"].drop_indexes()
        async with http_caller(stack) as caller:
            site = fresh_site()
            # Race twice: of conflicting requests in one batch a worker inserts only the first.
            answers = await race([caller], site, requests, "book") + await race(
                [caller], site, requests, "book", "other"
            )
    winners = [ask for ask, answer in zip(requests * 2, answers, strict=True) if answer.status == 201]
    assert claimed_twice(winners)
