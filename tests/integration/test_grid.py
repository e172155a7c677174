"""Appointments of several lengths, on a grid of 15 minutes and on the default grid: none overlap."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from itertools import combinations
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

from tests.callers import Answer, HttpCaller
from tests.integration.breakable import http_caller
from tests.servers import Servers
from tests.slots import fresh, fresh_site
from tests.stack import Stack

BOOKED = {"error": "Slot already booked"}
HELD = {"error": "Slot is currently held by another user"}
GRID = {"SLOT_MINUTES": "15"}
FIRST = "0001-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def grid_stack(servers: Servers) -> Iterator[Stack]:
    with servers.new_stack(**GRID) as stack:
        yield stack.up()


@pytest.fixture
async def caller(grid_stack: Stack) -> AsyncIterator[HttpCaller]:
    async with http_caller(grid_stack) as caller:
        yield caller


def at(time: str, minutes: int | None = None, **more: Any) -> dict[str, Any]:
    """Return a request for `minutes` from a time of one day; for one cell if `minutes` is None."""
    body = fresh(slot=f"2031-05-04T{time}:00Z", **more)
    return body if minutes is None else {**body, "durationMinutes": minutes}


async def test_overlapping_appointments_conflict(caller: HttpCaller) -> None:
    """45 minutes at 10:00 conflict with every booking that overlaps them; 9:45 and 10:45 stay free."""
    site = fresh_site()
    booked = await caller.book(at("10:00", 45, site=site))
    assert (booked.status, booked.body["appointment"]["durationMinutes"]) == (201, 45)
    for overlapping in (at("10:30", 15), at("10:30"), at("09:30", 45), at("09:00", 180)):
        answer = await caller.book({**overlapping, "site": site})
        assert (answer.status, answer.body) == (409, BOOKED)
    for beside in (at("10:45", 15), at("09:45")):
        assert (await caller.book({**beside, "site": site})).status == 201


@pytest.mark.parametrize(
    ("slot", "minutes"), [("2031-05-04T10:05:00Z", 20), ("2031-05-04T10:00:00.001+05:45", 1), (FIRST, 1440)]
)
async def test_any_slot_and_duration_is_accepted(caller: HttpCaller, slot: str, minutes: int) -> None:
    """A booking or hold starts at any instant, lasts any minutes, and is returned as it was sent."""
    body = fresh(slot=slot, durationMinutes=minutes)
    held = await caller.hold(body)
    booked = await caller.book(body)
    assert (held.status, booked.status) == (200, 201)
    for returned in (held.body["hold"], booked.body["appointment"]):
        assert datetime.fromisoformat(returned["slot"]) == datetime.fromisoformat(slot)
        assert returned["durationMinutes"] == minutes


async def test_appointments_in_one_cell_conflict(caller: HttpCaller) -> None:
    """Two bookings or holds that touch one cell conflict, even if their times do not overlap."""
    body = at("10:01", 3)
    assert (await caller.book(body)).status == 201
    for beside in (at("10:06", 3), at("09:45", 16), at("10:00", 1), at("10:14", 600)):
        for ask in (caller.book, caller.hold):
            assert (await ask({**beside, "site": body["site"]})).body == BOOKED
    for beside in (at("09:45", 15), at("10:15", 600)):
        assert (await caller.book({**beside, "site": body["site"]})).status == 201


async def test_end_after_the_last_year_is_refused(caller: HttpCaller) -> None:
    """A booking ends before the year 10000; the refusal names both fields."""
    for ask in (caller.book, caller.hold):
        answer = await ask(fresh(slot="9999-12-31T23:45:00Z"))
        assert (answer.status, answer.error) == (
            400,
            "slot plus durationMinutes must end before the year 10000",
        )
        assert (await ask(fresh(slot="9999-12-31T23:44:00Z"))).status in (200, 201)


async def test_one_of_ten_simultaneous_bookings_wins(servers: Servers) -> None:
    """On the default grid, ten simultaneous bookings get one 201 and nine 409, and their cell is taken."""
    slot = "2025-12-05T10:00:00.000Z"
    with servers.new_stack() as stack:
        stack.up()
        async with http_caller(stack) as caller:
            wanted = [{"slot": slot, "patientName": f"Patient {number}"} for number in range(10)]
            answers = await asyncio.gather(*(caller.book(body) for body in wanted))
            assert sorted(answer.status for answer in answers) == [201] + [409] * 9
            assert {answer.error for answer in answers if answer.status == 409} == {BOOKED["error"]}
            for later in (
                "2025-12-05T10:00:00.001Z",
                "2025-12-05T10:01:00Z",
                "2025-12-05T11:04:59.999+01:00",
            ):
                assert (await caller.book({"slot": later, "patientName": "Ada"})).body == BOOKED
            assert (await caller.book({"slot": "2025-12-05T10:05:00Z", "patientName": "Ada"})).status == 201


@pytest.mark.parametrize("minutes", [0, -15, 1441, "15", 15.5, True])
async def test_invalid_duration_is_refused(caller: HttpCaller, minutes: Any) -> None:
    """A duration is a whole number of minutes, at most a day; the sentence names the field."""
    for ask in (caller.book, caller.hold):
        answer = await ask(at("10:00", minutes))
        assert answer.status == 400
        assert answer.error.startswith("durationMinutes")


async def test_hold_covers_its_whole_duration(caller: HttpCaller) -> None:
    """A hold of 30 minutes keeps other patients from both quarters of an hour; its patient may book it."""
    body = at("10:00", 30)
    assert (await caller.hold(body)).status == 200
    for inside in (at("10:00"), at("10:15"), at("09:45", 30)):
        rival = {**inside, "site": body["site"], "patientName": "Grace"}
        assert (await caller.book(rival)).body == HELD
        assert (await caller.hold(rival)).body == HELD
    assert (await caller.book(body)).status == 201


async def test_refused_extension_keeps_the_hold(caller: HttpCaller) -> None:
    """A hold that cannot be extended over a booked quarter of an hour still stands."""
    body = at("10:00", 15, holdToken=str(uuid4()))
    rival = {**body, "patientName": "Grace", "holdToken": str(uuid4())}
    assert (await caller.hold(body)).status == 200
    assert (await caller.book({**rival, "slot": "2031-05-04T10:15:00Z"})).status == 201
    extended = await caller.hold({**body, "durationMinutes": 30})
    assert (extended.status, extended.body) == (409, BOOKED)
    assert (await caller.book(rival)).body == HELD
    assert (await caller.book(body)).status == 201


async def test_another_duration_under_one_key_is_422(caller: HttpCaller) -> None:
    """A key with another duration gets 422, also without one, although the default lasts as long."""
    key, body = {"Idempotency-Key": "order 4711"}, at("10:00", 15)
    first = await caller.book(body, **key)
    assert first.status == 201
    assert (await caller.book({**body, "durationMinutes": 30}, **key)).status == 422
    assert (await caller.book(body, **key)).body == first.body
    del body["durationMinutes"]
    assert (await caller.book(body, **key)).status == 422


async def race_for_overlapping_spans(caller: HttpCaller, site: str = "") -> list[Answer]:
    """Send 32 simultaneous bookings of up to two hours that start within three hours."""
    random, site = Random(7), site or fresh_site()
    bodies = [
        at(f"{9 + quarter // 4:02}:{quarter % 4 * 15:02}", 15 * random.randint(1, 8), site=site)
        for quarter in (random.randrange(12) for _ in range(32))
    ]
    return await asyncio.gather(*(caller.book(body) for body in bodies))


def overlaps(answers: list[Answer]) -> int:
    """Count the pairs of confirmed bookings that overlap."""
    spans = []
    for answer in answers:
        if answer.status == 201:
            appointment = answer.body["appointment"]
            begins = datetime.strptime(appointment["slot"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
            spans.append((begins, begins + timedelta(minutes=appointment["durationMinutes"])))
    return sum(one[0] < other[1] and other[0] < one[1] for one, other in combinations(spans, 2))


async def test_simultaneous_bookings_never_overlap(caller: HttpCaller) -> None:
    """If 32 simultaneous bookings overlap, some are confirmed, and no two of those overlap."""
    for _ in range(4):
        answers = await race_for_overlapping_spans(caller)
        assert {answer.status for answer in answers} == {201, 409}
        assert all(answer.body == BOOKED for answer in answers if answer.status == 409)
        assert overlaps(answers) == 0


async def test_without_the_index_bookings_overlap(servers: Servers) -> None:
    """Control: with the unique index dropped and its watch disabled, overlapping bookings are confirmed."""
    with servers.new_stack(**GRID) as stack:
        stack.start_gateway()
        for module in ("booking_worker", "hold_worker"):
            stack.start(module, without="no_index_check")
        stack.wait_ready()
        with MongoClient[dict[str, object]](stack.env["MONGO_URI"]) as client:
            client.get_default_database()["appointments"].drop_indexes()
        async with http_caller(stack) as caller:
            site = fresh_site()
            # Race twice: of conflicting requests in one batch a worker inserts only the first.
            answers = [*await race_for_overlapping_spans(caller, site)]
            assert overlaps(answers + await race_for_overlapping_spans(caller, site)) > 0
