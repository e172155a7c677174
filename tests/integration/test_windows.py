"""Lists of appointments and of taken slots in a window of time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nats.aio.client import Client

from shared.contract.commands import BookAppointment, ListAppointments, ListSlots, PlaceHold
from shared.contract.deadline import Deadline
from shared.contract.errors import HoldsUnreachable, NoPrimary
from shared.contract.replies import AppointmentsFound, SlotsFound
from shared.domain.booking import Booking
from shared.domain.grid import Grid
from shared.domain.time_range import Cells, TimeRange
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.windows import Page, WindowStore
from shared.stores.redis.hold_index import HoldIndex
from tests.integration.life import Life
from tests.integration.use_cases import UseCases
from tests.slots import fresh, fresh_site

DAY = datetime(2031, 5, 4, tzinfo=UTC)
LIST, SLOTS = "booking.v1.list", "booking.v1.slots"


@pytest.fixture
def life(nats_connection: Client) -> Life:
    return Life(nats_connection)


def soon() -> Deadline:
    return Deadline.after(5)


def at(minutes: int) -> str:
    """Return the instant so many minutes after the day begins."""
    return (DAY + timedelta(minutes=minutes)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def window(site: str, first: int = 0, last: int = 24 * 60, **more: Any) -> dict[str, Any]:
    return {"site": site, "from": at(first), "to": at(last), **more}


async def pages(life: Life, subject: str, asked: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Yield page after page, until a page has no `next`."""
    cursor = None
    while True:
        answer = await life.request(subject, {**asked, "cursor": cursor})
        assert answer.status == 200, answer
        yield answer.body
        if (cursor := answer.body.get("next")) is None:
            return


async def test_a_list_has_the_active_appointments_of_a_resource_by_slot(life: Life) -> None:
    """A list has the active appointments of a resource in the window, ordered by slot."""
    body = fresh(resources=["doctor", "room"])
    ten = await life.booked({**body, "slot": at(600)})
    nine = await life.booked({**body, "slot": at(540), "patientName": "Grace"})
    gone = await life.booked({**body, "slot": at(570)})
    await life.cancel(gone["id"])
    await life.booked({**body, "slot": at(660), "resources": ["nurse"]})
    await life.booked({**body, "slot": at(24 * 60)})
    await life.booked({**body, "site": fresh_site()})
    for resource in ("doctor", "room"):
        answer = await life.request(LIST, window(body["site"], resource=resource))
        assert (answer.status, answer.body) == (200, {"appointments": [nine, ten]})
    unbooked = await life.request(LIST, window(body["site"], resource="default"))
    assert unbooked.body == {"appointments": []}


async def test_taken_slots_have_no_names(life: Life) -> None:
    """Taken slots have resource, slot, duration and state, and no names."""
    body = fresh("Zebra Canary")
    for minutes in (600, 540):
        await life.booked({**body, "slot": at(minutes)})
    answer = await life.request(SLOTS, window(body["site"]))
    assert answer.status == 200
    assert answer.body == {
        "site": body["site"],
        "from": at(0),
        "to": at(24 * 60),
        "taken": [
            {"resource": "default", "slot": at(minutes), "durationMinutes": 5, "state": "booked"}
            for minutes in (540, 600)
        ],
        "holds": "known",
    }


async def test_a_confirmed_change_is_in_the_next_read(life: Life) -> None:
    """After a booking, move or cancel is confirmed, the next read from any worker shows it."""
    body = fresh()
    for minutes in range(0, 200, 10):
        appointment = await life.booked({**body, "slot": at(minutes)})
        found = await asyncio.gather(*(life.request(LIST, window(body["site"])) for _ in range(4)))
        assert all(answer.body["appointments"][-1] == appointment for answer in found)
        moved = (await life.move(appointment["id"], slot=at(minutes + 5))).body["appointment"]
        found = await asyncio.gather(*(life.request(LIST, window(body["site"])) for _ in range(4)))
        assert all(answer.body["appointments"] == [moved] for answer in found)
        await life.cancel(appointment["id"])
        found = await asyncio.gather(*(life.request(LIST, window(body["site"])) for _ in range(4)))
        assert all(answer.body["appointments"] == [] for answer in found)


async def test_held_slots_are_taken(life: Life) -> None:
    """A held slot is taken with the state `held`, and once it is booked, only with the state `booked`."""
    body = fresh("Ada")
    await life.booked({**body, "slot": at(540)})
    for minutes in (530, 550, 570):
        await life.hold({**body, "slot": at(minutes)})
    await life.booked({**body, "slot": at(570)})
    answer = await life.request(SLOTS, window(body["site"]))
    assert answer.body["taken"] == [
        {"resource": "default", "slot": at(530), "durationMinutes": 5, "state": "held"},
        {"resource": "default", "slot": at(540), "durationMinutes": 5, "state": "booked"},
        {"resource": "default", "slot": at(550), "durationMinutes": 5, "state": "held"},
        {"resource": "default", "slot": at(570), "durationMinutes": 5, "state": "booked"},
    ]
    part = await life.request(SLOTS, window(body["site"], 535, 555))
    assert part.body["taken"] == answer.body["taken"][1:3]


async def test_a_hold_that_becomes_a_booking_during_a_read_is_booked(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold that becomes a booking while a page is read is listed once, as booked."""
    body, find = fresh("Ada"), WindowStore.taken
    await use_cases.holds.place_hold(PlaceHold.model_validate(body), soon())

    async def book_first(*args: Any, **more: Any) -> Page[Cells]:
        await booked(use_cases, body)
        return await find(*args, **more)

    monkeypatch.setattr(WindowStore, "taken", book_first)
    page = await taken(use_cases, window(body["site"]))
    assert [cell.state for cell in page.taken] == ["booked"]


async def test_without_redis_booked_slots_are_taken_and_holds_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Redis is lost, slots show bookings, and `holds` is `unknown`."""

    async def lose(*_: Any, **__: Any) -> None:
        raise HoldsUnreachable

    monkeypatch.setattr(HoldIndex, "held", lose)
    body = fresh("Ada")
    assert (await taken(use_cases, window(body["site"]))).holds == "unknown"
    await booked(use_cases, body)
    page = await taken(use_cases, window(body["site"]))
    assert ([cell.state for cell in page.taken], page.holds) == (["booked"], "unknown")
    assert len((await listed(use_cases, window(body["site"]))).appointments) == 1


async def listed(use_cases: UseCases, asked: dict[str, Any]) -> AppointmentsFound:
    text = await use_cases.reads.list_appointments(ListAppointments.model_validate(asked), soon())
    return AppointmentsFound.model_validate_json(text)


async def taken(use_cases: UseCases, asked: dict[str, Any]) -> SlotsFound:
    text = await use_cases.reads.list_slots(ListSlots.model_validate(asked), soon())
    return SlotsFound.model_validate_json(text)


async def booked(use_cases: UseCases, body: dict[str, Any], **more: Any) -> Booking:
    command = BookAppointment.model_validate({**body, **more})
    return (await use_cases.bookings.book(command, soon())).booking


async def test_a_list_has_the_bookings_that_overlap_its_window(grid_use_cases: UseCases) -> None:
    """A booking that ends inside a window is in its list; one that ends as the window begins is not."""
    site = fresh_site()
    for minutes in (-1440, 0, 15):
        await booked(grid_use_cases, fresh(site=site), slot=at(minutes), durationMinutes=15)
    await booked(grid_use_cases, fresh(site=site), slot=at(600), durationMinutes=60)
    for first, last, found in (
        (0, 600, 2),
        (615, 660, 1),
        (659, 700, 1),
        (660, 700, 0),
        (600, 601, 1),
        (540, 600, 0),
    ):
        answer = await listed(grid_use_cases, window(site, first, last))
        assert len(answer.appointments) == found, (first, last)


async def test_a_booking_of_24_hours_is_taken_until_its_end(grid_use_cases: UseCases) -> None:
    """A booking of 24 hours is taken in a window of its last minute, and not after it."""
    site = fresh_site()
    await booked(grid_use_cases, fresh(site=site), slot=at(15), durationMinutes=24 * 60)
    for first, found in ((24 * 60 + 14, 1), (24 * 60 + 15, 0)):
        answer = await taken(grid_use_cases, window(site, first, 48 * 60))
        assert [(cell.slot, cell.durationMinutes) for cell in answer.taken] == [
            (DAY + timedelta(minutes=15), 1440)
        ] * found


async def test_a_read_without_a_primary_is_refused() -> None:
    """A read of a window raises NoPrimary if MongoDB cannot be reached."""
    unreachable = mongodb.connect("mongodb://127.0.0.1:1/booking")
    store = WindowStore(unreachable, BookingStore(unreachable), Grid(0))
    with pytest.raises(NoPrimary):
        await store.appointments(TimeRange("site", None, 0, 1), None, limit=1, timeout=5)
    mongodb.close(unreachable)


async def test_the_grid_has_the_cell_width_and_the_limits(life: Life, grid_use_cases: UseCases) -> None:
    """The grid operation returns the width of a cell and the limits of one booking."""
    answer, limits = await life.request("booking.v1.grid", {}), {"mostResources": 8, "mostClaims": 600}
    assert (answer.status, answer.body) == (200, {**limits, "slotMinutes": 5, "longestMinutes": 1440})
    assert (await grid_use_cases.reads.grid()).model_dump() == {
        "slotMinutes": 15,
        "longestMinutes": 1440,
        "mostResources": 8,
        "mostClaims": 600,
    }
