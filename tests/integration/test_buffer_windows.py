"""Windows of bookings with buffers: every cell is shown, once and in order."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from booking_worker.reads import service as reads
from shared.contract.commands import BookAppointment
from shared.contract.instants import unix_milliseconds
from shared.domain.booked_service import BookedService
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.grid import Grid, RequestedPlace
from shared.stores.mongo.bulk import WriteResult
from tests.integration.test_window_indexes import explained, stages
from tests.integration.test_windows import DAY, at, listed, taken, window
from tests.integration.use_cases import UseCases, writes_to
from tests.slots import fresh, fresh_site

GRID = 15
RESOURCES = ("a", "b", "c")
Entry = tuple[datetime, str, int]


def new_booking(
    site: str, resources: Sequence[str], minute: int, minutes: int, service: BookedService | None
) -> Booking:
    """Return a booking that begins `minute` minutes after the day does."""
    body = fresh(site=site, slot=at(minute), resources=list(resources), idempotencyKey=str(uuid4()))
    command = BookAppointment.model_validate(body)
    place = RequestedPlace(site, command.resources, command.slot, minutes)
    span = Grid(GRID).slot_range(place, service)
    return Booking.new(command, span, Claims.of(place, span), Digests(b"secret"))


async def random_bookings(use_cases: UseCases, site: str, random: Random, count: int) -> list[Booking]:
    """Store random bookings of three resources in three days, some with buffers; return those that fit."""
    made = []
    for _ in range(count):
        buffers = random.choice([None, (0, 0), (20, 10), (20, 10), (7, 0), (7, 0), (0, 7)])
        buffers = random.choice([(480, 0), (0, 480)]) if random.random() < 0.05 else buffers
        service = buffers and BookedService("visit", *buffers)
        resources = random.sample(RESOURCES, random.choice([1, 1, 2]))
        minute, minutes = (
            random.randrange(-1440, 2880, 5),
            1440 if random.random() < 0.03 else random.choice([10, 15, 40]),
        )
        made.append(new_booking(site, resources, minute, minutes, service))
    writes = writes_to(use_cases.database)
    results = [(await writes.insert_many([booking], timeout=10))[0] for booking in made]
    return [booking for booking, done in zip(made, results, strict=True) if done is WriteResult.DONE]


def expected(bookings: Sequence[Booking], start: int, end: int, resource: str | None) -> list[Entry]:
    """Return the entries of a window between two minutes of the day, by this model's own rule."""
    found = []
    for booking in bookings:
        begin = (booking.slot - DAY) // timedelta(minutes=1) - (
            booking.service.before if booking.service else 0
        )
        after = booking.service.after if booking.service else 0
        ends = (booking.slot - DAY) // timedelta(minutes=1) + (booking.duration or 0) + after
        first, last = begin // GRID * GRID, -(-ends // GRID) * GRID
        if first < -(-end // GRID) * GRID and last > start // GRID * GRID:
            entry = DAY + timedelta(minutes=first)
            found += [(entry, name, last - first) for name in booking.resources if resource in (None, name)]
    return sorted(found)


@pytest.mark.parametrize("page", [1, 3, 1000])
async def test_pages_show_buffers_in_order(
    grid_use_cases: UseCases, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """The pages of a window have every cell of its bookings and their buffers once, by slot and resource."""
    monkeypatch.setattr(reads, "LARGEST_PAGE", page)
    random = Random(page)
    site = fresh_site()
    bookings = await random_bookings(grid_use_cases, site, random, 150)
    assert sum(bool(booking.service and booking.service.before) for booking in bookings) > 20
    for _ in range(8):
        start = random.randrange(-1440, 2000, 5)
        end, resource = start + random.choice([5, 60, 1440]), random.choice([None, *RESOURCES])
        asked = window(site, start, end, **({"resource": resource} if resource else {}))
        shown: list[Entry] = []
        cursor = None
        while True:
            found = await taken(grid_use_cases, {**asked, "cursor": cursor})
            assert len(found.taken) <= page
            shown += [(row.slot, row.resource, row.durationMinutes or 0) for row in found.taken]
            if (cursor := found.next) is None:
                break
        assert shown == expected(bookings, start, end, resource)


async def test_list_leaves_buffers_out(grid_use_cases: UseCases) -> None:
    """A window that only a buffer overlaps does not list the appointment."""
    booking = new_booking(site := fresh_site(), ["a"], 600, 30, BookedService("visit", 30, 30))
    await writes_to(grid_use_cases.database).insert_many([booking], timeout=10)
    for start, end, count in ((570, 600, 0), (630, 660, 0), (570, 601, 1), (629, 660, 1)):
        found = await listed(grid_use_cases, window(site, start, end))
        assert len(found.appointments) == count
        assert len((await taken(grid_use_cases, window(site, start, end))).taken) == 1
    (appointment,) = (await listed(grid_use_cases, window(site, 600, 630))).appointments
    assert appointment == booking.to_appointment()


async def test_an_index_serves_bookings_with_buffers(grid_use_cases: UseCases) -> None:
    """A page of bookings by the begin of their buffers examines about as many index keys as it has rows."""
    site, service = fresh_site(), BookedService("visit", 15, 0)
    pattern = new_booking(site, ["a", "b"], 0, 15, service).to_document()
    rows: list[dict[str, Any]] = []
    for number in range(3000):
        slot = DAY + timedelta(minutes=30 * number)
        begin = slot - timedelta(minutes=15)
        claims = [f"{name}/{unix_milliseconds(slot)}" for name in ("a", "b")]
        row = {"_id": str(uuid4()), "idempotencyKey": str(uuid4()), "slot": slot, "begin": begin}
        rows.append({**pattern, **row, "claims": claims})
    await grid_use_cases.database.get_collection("appointments").insert_many(rows)
    for resources, keys in ((None, 2), (("a",), 3)):
        plan = await explained(grid_use_cases, resources, (3000, 9000), 101, site, field="begin")
        stats = plan["executionStats"]
        assert "SORT" not in stages(plan["queryPlanner"]["winningPlan"])
        assert stats["nReturned"] == 101
        assert stats["totalKeysExamined"] <= 101 * keys + 5
