"""Lists and slots of a whole site or several resources, whose entries are ordered and never repeated."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pymongo import MongoClient

from booking_worker.reads import service as reads
from shared.client.client import BookingClient
from shared.contract.commands import ListAppointments, PlaceHold
from shared.contract.instants import format_instant
from shared.contract.replies import AppointmentFound, SlotsFound
from tests.integration.breakable import http_caller
from tests.integration.life import Life
from tests.integration.test_windows import (
    DAY,
    LIST,
    SLOTS,
    at,
    booked,
    life,  # noqa: F401  # a fixture
    listed,
    pages,
    soon,
    taken,
    window,
)
from tests.integration.use_cases import UseCases, use_cases_on
from tests.servers import Servers
from tests.slots import fresh, fresh_site
from tests.stack import Stack

NAMES = ('Zoë "Q" \\ O\'Neil', "李小龍", "\N{GRINNING FACE} </script>", "A\N{ZERO WIDTH JOINER}B")


async def test_without_a_resource_a_window_covers_the_site(life: Life) -> None:  # noqa: F811
    """Without a resource, list and slots cover the whole site, and list a booking of two resources once."""
    site = fresh_site()
    both = await life.booked(fresh(site=site, slot=at(540), resources=["doctor", "room"]))
    nurse = await life.booked(fresh(site=site, slot=at(545), resources=["nurse"]))
    await life.hold(fresh("Grace", site=site, slot=at(550), resources=["porter"]))
    await life.booked(fresh())
    answer = await life.request(LIST, window(site))
    assert answer.body == {"appointments": [both, nurse]}
    answer = await life.request(SLOTS, window(site))
    assert [(cell["resource"], cell["slot"], cell["state"]) for cell in answer.body["taken"]] == [
        ("doctor", at(540), "booked"),
        ("room", at(540), "booked"),
        ("nurse", at(545), "booked"),
        ("porter", at(550), "held"),
    ]


async def test_several_resources_may_be_named(life: Life, http: httpx.AsyncClient, stack: Stack) -> None:  # noqa: F811
    """HTTP, NATS and the typed client accept several resources, and list a booking of several once."""
    site = fresh_site()
    both = await life.booked(fresh(site=site, slot=at(540), resources=["doctor", "room"]))
    nurse = await life.booked(fresh(site=site, slot=at(540), resources=["nurse"]))
    await life.booked(fresh(site=site, slot=at(540), resources=["porter"]))
    named = window(site, resource=["room", "nurse", "doctor"])
    wanted = sorted([both, nurse], key=lambda appointment: str(appointment["id"]))
    over_http = await http.get("/api/appointments", params=named)
    assert (over_http.status_code, over_http.json()) == (200, {"appointments": wanted})
    assert (await life.request(LIST, named)).body == {"appointments": wanted}
    expected = [("doctor", at(540)), ("nurse", at(540)), ("room", at(540))]
    slots = (await http.get("/api/slots", params=named)).json()
    for body in (slots, (await life.request(SLOTS, named)).body):
        assert [(cell["resource"], cell["slot"]) for cell in body["taken"]] == expected
    repeated = await http.get("/api/slots", params={**named, "resource": ["room", "room"]})
    assert (repeated.status_code, repeated.json()) == (400, {"error": "resource must be different names"})
    async with BookingClient(stack.env["NATS_URL"]) as client:
        for resource, count in ((None, 3), ("porter", 1), (["room", "nurse", "doctor"], 2)):
            found = client.appointments(at(0), at(1440), resource=resource, site=site)
            assert len([appointment async for appointment in found]) == count
        held = client.slots(at(0), at(1440), resource=["room", "nurse"], site=site)
        assert [cell.resource async for cell in held] == ["nurse", "room"]


async def test_slots_are_whole_cells(grid_use_cases: UseCases) -> None:
    """Slots show a booking or hold as one entry that covers all cells it touches."""
    site = fresh_site()
    await booked(grid_use_cases, fresh(site=site), slot=at(541), durationMinutes=3)
    await booked(grid_use_cases, fresh(site=site), slot=at(569), durationMinutes=2)
    hold = fresh("Grace", site=site, slot=at(614), durationMinutes=32)
    await grid_use_cases.holds.place_hold(PlaceHold.model_validate(hold), soon())
    everything = [(540, 15), (555, 30), (600, 60)]
    for first, last, expected in (
        (0, 1440, everything),
        (550, 552, everything[:1]),  # after the booking, but in its cell
        (555, 556, everything[1:2]),
        (584, 585, everything[1:2]),
        (585, 600, []),
        (655, 656, everything[2:]),
        (660, 1440, []),
    ):
        found = (await taken(grid_use_cases, window(site, first, last))).taken
        assert [(format_instant(cell.slot), cell.durationMinutes) for cell in found] == [
            (at(minutes), lasting) for minutes, lasting in expected
        ]
    [booking] = (await listed(grid_use_cases, window(site, 541, 544))).appointments
    assert (booking.slot, booking.durationMinutes) == (DAY + timedelta(minutes=541), 3)
    assert (await listed(grid_use_cases, window(site, 544, 555))).appointments == []


async def test_2500_bookings_at_one_instant_are_read_once_each(life: Life, stack: Stack) -> None:  # noqa: F811
    """Paging through 2,500 bookings at one instant finds each once, though more are made between pages."""
    site, names = fresh_site(), [f"r{number:04}" for number in range(2500)]
    with MongoClient[dict[str, Any]](stack.env["MONGO_URI"]) as client:
        appointments = client.get_default_database()["appointments"]
        booked = await life.booked(fresh(site=site, slot=at(540), resources=["x"]))
        pattern = appointments.find_one({"_id": booked["id"]})
        assert pattern is not None
        rows = [
            {
                **pattern,
                "_id": str(uuid4()),
                "idempotencyKey": str(uuid4()),
                "resources": [name],
                "claims": [f"{name}/{pattern['claims'][0].partition('/')[2]}"],
            }
            for name in names
        ]
        appointments.insert_many(rows)
    for subject, field, key in ((LIST, "appointments", "id"), (SLOTS, "taken", "resource")):
        found: list[str] = []
        made = 0
        async for page in pages(life, subject, window(site)):
            entries = page[field]
            assert len(entries) <= 1000
            found += [entry[key] for entry in entries]
            for _ in range(20):
                made += 1
                new = fresh(site=site, slot=at(540), resources=[f"{field}.{made}"])
                await life.booked(new)
        assert len(set(found)) == len(found)
        wanted = {row["_id"] for row in rows} | {booked["id"]} if key == "id" else {*names, "x"}
        assert wanted <= set(found)
        assert found == sorted(found)


@pytest.fixture(params=[0, 15])
async def cases(servers: Servers, request: pytest.FixtureRequest) -> AsyncIterator[UseCases]:
    """Use cases on a grid of 0, and on a grid of 15 minutes, whose holds outlast the test."""
    async with use_cases_on(servers, slot_minutes=request.param, hold_ms=600_000) as cases:
        yield cases


async def test_small_pages_together_equal_one_large_page(
    cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small pages together equal one large page, though entries share a cell or an instant."""
    lasting: dict[str, Any] = {"durationMinutes": 7} if (await cases.reads.grid()).slotMinutes else {}
    site = fresh_site()
    asked = [
        fresh(site=site, slot=at(minutes), resources=[f"r{number}", f"s{number}"], **lasting)
        for minutes in (540, 556, 572, 600)
        for number in range(minutes % 3, 6)
    ]
    outcomes = await asyncio.gather(*(booked(cases, body) for body in asked), return_exceptions=True)
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == len(asked)
    for minutes, resource in ((620, "r1"), (621, "t"), (540, "t"), (700, "a"), (700, "b")):
        hold = fresh("Grace", site=site, slot=at(minutes), resources=[resource])
        await cases.holds.place_hold(PlaceHold.model_validate(hold), soon())
    for resources in (None, ["r1", "s1", "t", "b"]):
        for read, field in ((listed, "appointments"), (taken_and_held, "taken")):
            named: dict[str, Any] = {"resource": resources} if resources else {}
            whole: Any = await read(cases, window(site, **named))
            assert whole.next is None
            assert len(getattr(whole, field)) > 1
            for most in (1, 2, 3, 5):
                with monkeypatch.context() as patch:
                    patch.setattr(reads, "LARGEST_PAGE", most)
                    assert await in_pages(read, cases, field, window(site, **named)) == getattr(whole, field)


async def taken_and_held(cases: UseCases, asked: dict[str, Any]) -> SlotsFound:
    """Read a page of slots, again if a slow Redis has left its holds unknown."""
    while (page := await taken(cases, asked)).holds == "unknown":
        pass
    return page


async def in_pages(read: Callable[..., Any], cases: UseCases, field: str, asked: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    cursor = None
    while True:
        page = await read(cases, {**asked, "cursor": cursor})
        found += getattr(page, field)
        cursor = page.next
        if cursor is None:
            return found


async def test_a_listed_row_equals_the_row_read_by_id(life: Life, use_cases: UseCases) -> None:  # noqa: F811
    """A list, which MongoDB formats, has the same JSON as a read by id, for unusual names and years too."""
    site = fresh_site()
    for minutes, name in enumerate(NAMES):
        await booked(use_cases, fresh(name, site=site, slot=at(minutes), resources=["a.b", "c-d", "E_f"]))
    for slot in ("0001-01-01T00:00:00.001Z", "0999-02-03T04:05:06Z", "9999-12-31T23:59:59.998Z"):
        await booked(use_cases, fresh(site=site, slot=slot))
    with_duration = await life.booked(fresh(site=site, slot=at(540), durationMinutes=17))
    assert (await life.request(LIST, window(site))).body["appointments"] == [with_duration]
    for day in ("2031-05-04", "0001-01-01", "0999-02-03", "9999-12-31"):
        bounds = {"from": f"{day}T00:00:00Z", "to": f"{day}T23:59:59.999Z"}
        asked = ListAppointments.model_validate({"site": site, **bounds})
        found = json.loads(await use_cases.reads.list_appointments(asked, soon()))["appointments"]
        assert found
        for appointment in found:
            booking = await use_cases.reads.get(appointment["id"], soon())
            by_id = AppointmentFound(appointment=booking.to_appointment())
            assert {"appointment": appointment} == by_id.model_dump(mode="json", exclude_none=True)


async def test_without_redis_slots_show_bookings_and_unknown_holds(servers: Servers) -> None:
    """Without Redis, `/api/slots` gets 200 with the bookings, and `holds` is `unknown`."""
    with servers.new_stack(REDIS_URL="redis://127.0.0.1:1") as stack:
        stack.start_gateway()
        stack.start("booking_worker")
        stack.wait_serving()
        async with http_caller(stack) as caller:
            body = fresh()
            assert (await caller.book(body)).status == 201
            answer = await caller.ask("slots", window(body["site"]))
    assert answer.status == 200
    assert [cell["state"] for cell in answer.body["taken"]] == ["booked"]
    assert answer.body["holds"] == "unknown"
