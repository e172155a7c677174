"""Pages of a window: every entry once and in order, with as many rows as a NATS message takes."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client

from booking_worker.reads import service as reads
from shared.contract.commands import BookAppointment, CancelAppointment, PlaceHold
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.stores.mongo import connection as mongodb
from tests.integration.life import Life
from tests.integration.test_windows import DAY, LIST, SLOTS, at, booked, listed, pages, soon, taken, window
from tests.integration.use_cases import UseCases
from tests.slots import fresh, fresh_site


@pytest.fixture
def life(nats_connection: Client) -> Life:
    return Life(nats_connection)


async def test_pages_have_every_entry_once_and_in_order(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pages of a window together have every booking and hold once, in order, and full pages."""
    site = fresh_site()
    monkeypatch.setattr(reads, "LARGEST_PAGE", 7)
    bookings = [await booked(use_cases, fresh(site=site), slot=at(minutes)) for minutes in range(30)]
    await use_cases.bookings.cancel(CancelAppointment(id=bookings[6].id), soon())  # the last of a page
    held = [30, 6, 31, 32]
    for minutes in held:
        hold = PlaceHold.model_validate(fresh(site=site, slot=at(minutes)))
        await use_cases.holds.place_hold(hold, soon())
    active = [minutes for minutes in range(30) if minutes != 6]
    for read, field, expected in ((listed, "appointments", active), (taken, "taken", [*active, *held])):
        cursor, sizes, slots = None, list[int](), list[datetime]()
        while not sizes or cursor is not None:
            page: Any = await read(use_cases, window(site, cursor=cursor))
            rows = getattr(page, field)
            sizes.append(len(rows))
            slots += [row.slot for row in rows]
            cursor = page.next
        assert slots == [DAY + timedelta(minutes=minutes) for minutes in sorted(expected)]
        assert sizes == [7, 7, 7, 7, len(expected) - 28]


async def many_rows(
    database: mongodb.Database, site: str, count: int, *, apart: int = 1, **more: Any
) -> None:
    """Store rows of `count` bookings, `apart` minutes apart, as a worker on a grid of `apart` minutes."""
    appointments = database.get_collection("appointments")
    grid, digests = Grid(apart), Digests(b"secret")
    command = BookAppointment.model_validate(fresh(site=site, slot=at(0), **more))
    slot_range = grid.slot_range(command)
    claims = Claims.of(command, slot_range)
    pattern = Booking.new(command, slot_range, claims, digests).to_document()
    resources = pattern["resources"]
    rows = []
    for minutes in range(0, count * apart, apart):
        slot = DAY + timedelta(minutes=minutes)
        keys = [f"{resource}/{int(slot.timestamp() * 1000)}" for resource in resources]
        rows.append(
            {**pattern, "_id": str(uuid4()), "slot": slot, "claims": keys, "idempotencyKey": str(uuid4())}
        )
    await appointments.insert_many(rows)


async def test_a_page_fits_into_a_nats_message(life: Life, stack: Any) -> None:
    """A page has a thousand rows, or fewer if long names would not fit into a NATS message."""
    database = mongodb.connect(stack.env["MONGO_URI"])
    short, long = fresh_site(), fresh_site()
    await many_rows(database, short, 1100, apart=5)
    large = {"resources": [f"{n}" * 64 for n in range(8)], "patientName": "\N{GRINNING FACE}" * 200}
    await many_rows(database, long, 1100, apart=5, **large)
    mongodb.close(database)
    sizes = [len(page["appointments"]) async for page in pages(life, LIST, window(short, last=5500))]
    assert sizes == [1000, 100]
    asked = window(long, last=5500, resource="3" * 64)
    sizes = [len(page["appointments"]) async for page in pages(life, LIST, asked)]
    assert sum(sizes) == 1100
    assert 200 < sizes[0] < 500
    sizes = [len(page["taken"]) async for page in pages(life, SLOTS, asked)]
    assert sizes == [1000, 100]
