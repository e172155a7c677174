"""Appointments of several lengths, on a grid of 15 minutes and on the default: none overlaps another."""

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
    """A request for so many minutes from a time of one day on; for one cell where none are named."""
    body = fresh(slot=f"2031-05-04T{time}:00Z", **more)
    return body if minutes is None else {**body, "durationMinutes": minutes}


async def test_overlapping_appointments_conflict(caller: HttpCaller) -> None:
    """45 minutes at 10:00 leave no room at 10:30 or for what runs into them, but some at 10:45 and 9:45."""
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
async def test_no_slot_and_no_duration_is_off_the_grid(caller: HttpCaller, slot: str, minutes: int) -> None:
    """A booking or a hold begins at any instant, lasts any minutes, and is answered as it was sent."""
    body = fresh(slot=slot, durationMinutes=minutes)
    held = await caller.hold(body)
    booked = await caller.book(body)
    assert (held.status, booked.status) == (200, 201)
    for told in (held.body["hold"], booked.body["appointment"]):
        assert datetime.fromisoformat(told["slot"]) == datetime.fromisoformat(slot)
        assert told["durationMinutes"] == minutes


async def test_appointments_in_one_cell_conflict(caller: HttpCaller) -> None:
    """Two that touch one cell exclude each other, though their times do not overlap; holds as bookings."""
    body = at("10:01", 3)
    assert (await caller.book(body)).status == 201
    for beside in (at("10:06", 3), at("09:45", 16), at("10:00", 1), at("10:14", 600)):
        for ask in (caller.book, caller.hold):
            assert (await ask({**beside, "site": body["site"]})).body == BOOKED
    for beside in (at("09:45", 15), at("10:15", 600)):
        assert (await caller.book({**beside, "site": body["site"]})).status == 201


async def test_what_ends_after_the_last_year_is_refused(caller: HttpCaller) -> None:
    """The end lies before the year 10000; the sentence says so, and names both fields."""
    for ask in (caller.book, caller.hold):
        answer = await ask(fresh(slot="9999-12-31T23:45:00Z"))
        assert (answer.status, answer.error) == (
            400,
            "slot plus durationMinutes must end before the year 10000",
        )
        assert (await ask(fresh(slot="9999-12-31T23:44:00Z"))).status in (200, 201)


async def test_of_ten_at_once_one_is_booked(servers: Servers) -> None:
    """On the default grid, of ten bookings of one slot one gets 201 and nine get 409; a minute later too."""
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
async def test_a_bad_duration_is_refused(caller: HttpCaller, minutes: Any) -> None:
    """A duration is a whole number of minutes, at most a day's; the sentence names the field."""
    for ask in (caller.book, caller.hold):
        answer = await ask(at("10:00", minutes))
        assert answer.status == 400
        assert answer.error.startswith("durationMinutes")


async def test_a_hold_covers_all_of_its_time(caller: HttpCaller) -> None:
    """A hold of 30 minutes keeps others from each quarter of an hour in it, and its patient may book it."""
    body = at("10:00", 30)
    assert (await caller.hold(body)).status == 200
    for inside in (at("10:00"), at("10:15"), at("09:45", 30)):
        rival = {**inside, "site": body["site"], "patientName": "Grace"}
        assert (await caller.book(rival)).body == HELD
        assert (await caller.hold(rival)).body == HELD
    assert (await caller.book(body)).status == 201


async def test_an_extension_that_is_refused_leaves_the_hold_as_it_was(caller: HttpCaller) -> None:
    """A hold that cannot be extended over a booked quarter of an hour still keeps others from its own."""
    body = at("10:00", 15, holdToken=str(uuid4()))
    rival = {**body, "patientName": "Grace", "holdToken": str(uuid4())}
    assert (await caller.hold(body)).status == 200
    assert (await caller.book({**rival, "slot": "2031-05-04T10:15:00Z"})).status == 201
    extended = await caller.hold({**body, "durationMinutes": 30})
    assert (extended.status, extended.body) == (409, BOOKED)
    assert (await caller.book(rival)).body == HELD
    assert (await caller.book(body)).status == 201


async def test_another_duration_is_another_request(caller: HttpCaller) -> None:
    """A key that is repeated with another duration gets 422; with none too, though that lasts as long."""
    key, body = {"Idempotency-Key": "order 4711"}, at("10:00", 15)
    first = await caller.book(body, **key)
    assert first.status == 201
    assert (await caller.book({**body, "durationMinutes": 30}, **key)).status == 422
    assert (await caller.book(body, **key)).body == first.body
    del body["durationMinutes"]
    assert (await caller.book(body, **key)).status == 422


async def race_for_overlapping_spans(caller: HttpCaller, site: str = "") -> list[Answer]:
    """32 callers ask at once for spans of up to two hours that begin within three hours."""
    random, site = Random(7), site or fresh_site()
    bodies = [
        at(f"{9 + quarter // 4:02}:{quarter % 4 * 15:02}", 15 * random.randint(1, 8), site=site)
        for quarter in (random.randrange(12) for _ in range(32))
    ]
    return await asyncio.gather(*(caller.book(body) for body in bodies))


def overlaps(answers: list[Answer]) -> int:
    """How many pairs of confirmed bookings share some time."""
    spans = []
    for answer in answers:
        if answer.status == 201:
            appointment = answer.body["appointment"]
            begins = datetime.strptime(appointment["slot"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
            spans.append((begins, begins + timedelta(minutes=appointment["durationMinutes"])))
    return sum(one[0] < other[1] and other[0] < one[1] for one, other in combinations(spans, 2))


async def test_of_overlapping_requests_none_that_is_booked_overlaps(caller: HttpCaller) -> None:
    """Of 32 requests at once for spans that overlap, some are booked, and no two of these overlap."""
    for _ in range(4):
        answers = await race_for_overlapping_spans(caller)
        assert {answer.status for answer in answers} == {201, 409}
        assert all(answer.body == BOOKED for answer in answers if answer.status == 409)
        assert overlaps(answers) == 0


async def test_without_the_index_bookings_overlap(servers: Servers) -> None:
    """Control: with the unique index dropped, and nobody looking, bookings that overlap are confirmed."""
    with servers.new_stack(**GRID) as stack:
        stack.start_gateway()
        for module in ("booking_worker", "hold_worker"):
            stack.start(module, without="no_index_check")
        stack.wait_ready()
        with MongoClient[dict[str, object]](stack.env["MONGO_URI"]) as client:
            client.get_default_database()["appointments"].drop_indexes()
        async with http_caller(stack) as caller:
            site = fresh_site()
            # Twice: of rivals that a worker has together, it inserts one, and finds that in the others' way.
            answers = [*await race_for_overlapping_spans(caller, site)]
            assert overlaps(answers + await race_for_overlapping_spans(caller, site)) > 0
