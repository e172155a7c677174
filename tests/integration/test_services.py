"""Bookings, holds and moves with a service: its duration, its resources and its buffers."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared.contract.commands import BookAppointment, MoveAppointment, PlaceHold
from shared.contract.deadline import Deadline
from shared.contract.errors import InvalidRequest
from tests.callers import Answer, Caller, HttpCaller, NatsCaller
from tests.integration.use_cases import UseCases
from tests.servers import Servers
from tests.slots import fresh, fresh_site

WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
VISIT = {
    "id": "visit",
    "title": "Visit",
    "durationMinutes": 30,
    "bufferBefore": 10,
    "bufferAfter": 15,
    "resources": ["room"],
}
CHECK = {"id": "check", "title": "Check", "durationMinutes": 20}
BOOKED = {"error": "Slot already booked"}
HELD = {"error": "Slot is currently held by another user"}
NO_SUCH = {"error": "service must be a service of one of the resources"}
FRESH_SECONDS = 2.0
"""A change of a schedule is in force within this time."""


def schedule(services: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    weekly = [{"days": WEEK, "from": "09:00", "to": "12:00"}]
    return {"title": "Lee", "timeZone": "UTC", "weekly": weekly, "services": services, **more}


async def put(http: httpx.AsyncClient, site: str, *services: dict[str, Any], **more: Any) -> None:
    for name, offered in (("lee", list(services)), ("room", [])):
        stored = await http.put(f"/api/schedules/{site}/{name}", json=schedule(offered, **more))
        assert stored.status_code == 200, stored.text


@pytest.fixture
async def site(http: httpx.AsyncClient) -> str:
    """Make a site whose resource `lee` offers two services."""
    await put(http, name := fresh_site(), VISIT, CHECK)
    return name


def request(site: str, time: str, **more: Any) -> dict[str, Any]:
    slot = f"2031-05-05T{time}:00Z"
    return {"slot": slot, "patientName": "Ada", "site": site, "resources": ["lee"], **more}


def seen(answer: Answer) -> tuple[int, Any]:
    return answer.status, answer.body


async def taken(caller: Caller, site: str) -> list[tuple[str, str, int]]:
    """Return the resource, time and minutes of all that is taken on the day."""
    day = {"site": site, "from": "2031-05-05T00:00:00Z", "to": "2031-05-06T00:00:00Z"}
    slots = (await caller.ask("slots", day)).body["taken"]
    return [(row["resource"], row["slot"][11:16], row["durationMinutes"]) for row in slots]


async def test_service_sets_duration_resources_and_buffers(caller: Caller, site: str) -> None:
    """A booking with a service answers all that the service has added, wherever it is read."""
    answer = await caller.book(request(site, "10:00", service="visit"))
    assert answer.status == 201, answer
    appointment = answer.body["appointment"]
    expected = {
        "resources": ["lee", "room"],
        "durationMinutes": 30,
        "service": "visit",
        "bufferBefore": 10,
        "bufferAfter": 15,
    }
    assert expected.items() <= appointment.items()
    assert (await caller.get(appointment["id"])).body["appointment"] == appointment
    day = {"site": site, "from": "2031-05-05T00:00:00Z", "to": "2031-05-06T00:00:00Z"}
    assert (await caller.ask("list", day)).body["appointments"] == [appointment]
    (change,) = (await caller.ask("history", {"id": appointment["id"]})).body["history"]
    assert expected.items() <= change.items()
    assert await taken(caller, site) == [("lee", "09:50", 55), ("room", "09:50", 55)]
    check = (await caller.book(request(site, "11:00", service="check"))).body["appointment"]
    assert (check["resources"], check["service"]) == (["lee"], "check")
    assert not {"bufferBefore", "bufferAfter"} & set(check)


@pytest.mark.parametrize(
    ("other", "conflicts"),
    [
        ({"time": "10:45", "service": "check"}, False),  # the buffer after ends there
        ({"time": "10:40", "service": "check"}, True),
        ({"time": "10:30", "durationMinutes": 5}, True),
        ({"time": "09:45", "durationMinutes": 5}, False),  # the buffer before begins then
        ({"time": "09:45", "durationMinutes": 6}, True),
        ({"time": "10:50", "service": "visit"}, True),  # only the buffers overlap
        ({"time": "10:55", "service": "visit"}, False),  # the buffers touch
        ({"time": "10:40", "durationMinutes": 5, "resources": ["room"]}, True),
        ({"time": "10:40", "durationMinutes": 5, "resources": ["bed"]}, False),
    ],
    ids=str,
)
async def test_buffers_conflict_as_bookings_do(
    caller: Caller, site: str, other: dict[str, Any], conflicts: bool
) -> None:
    """What touches a cell of a buffer is refused as booked; what lies beside the buffers is booked."""
    assert (await caller.book(request(site, "10:00", service="visit"))).status == 201
    answer = await caller.book(request(site, patientName="Eve", **other))
    assert answer.status == (409 if conflicts else 201)
    assert not conflicts or answer.body == BOOKED


async def test_buffers_may_lie_outside_opening_hours(http: httpx.AsyncClient, caller: Caller) -> None:
    """An enforced schedule judges the slot and the duration, not the buffers."""
    await put(http, site := fresh_site(), VISIT, enforced=True, stepMinutes=5)
    await asyncio.sleep(FRESH_SECONDS)
    early = await caller.book(request(site, "08:55", service="visit"))
    assert (early.status, early.body["reason"]) == (409, "closed")
    late = await caller.book(request(site, "11:35", service="visit"))
    assert (late.status, late.body["reason"]) == (409, "closed")
    for time in ("09:00", "11:30"):
        assert (await caller.book(request(site, time, service="visit"))).status == 201
    assert ("lee", "08:50", 55) in await taken(caller, site)


@pytest.mark.parametrize("use", ["book", "hold"])
async def test_service_that_cannot_be_booked_is_refused(caller: Caller, site: str, use: str) -> None:
    """An unknown service, another duration and a site without schedules are 400 with the reason."""
    ask = getattr(caller, use)
    assert seen(await ask(request(site, "10:00", service="other"))) == (400, NO_SUCH)
    assert seen(await ask(request(fresh_site(), "10:00", service="visit"))) == (400, NO_SUCH)
    other = await ask(request(site, "10:00", service="visit", durationMinutes=45))
    assert other.body == {"error": "durationMinutes must be 30 or absent with this service"}
    bad = await ask(request(site, "10:00", service="first visit"))
    assert bad.error == "service must be 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'"
    same = await ask(request(site, "10:00", service="visit", durationMinutes=30))
    assert same.status in (200, 201)


async def test_service_is_refused_on_a_grid_of_0(use_cases: UseCases) -> None:
    """Where every instant is a slot by itself, a service is refused in a booking and a hold."""
    command = fresh(service="visit")
    with pytest.raises(InvalidRequest, match="service"):
        await use_cases.bookings.book(BookAppointment.model_validate(command), Deadline.after(5))
    with pytest.raises(InvalidRequest, match="service"):
        await use_cases.holds.place_hold(PlaceHold.model_validate(command), Deadline.after(5))


async def test_move_keeps_service_and_buffers(http: httpx.AsyncClient, caller: Caller, site: str) -> None:
    """A move without a service claims the buffers at the new place, also after a change of the schedule."""
    booked = (await caller.book(request(site, "10:00", service="visit"))).body["appointment"]
    await put(http, site, CHECK)
    await asyncio.sleep(FRESH_SECONDS)
    moved = await caller.ask("move", {"id": booked["id"], "slot": "2031-05-05T11:00:00Z"})
    assert moved.status == 200, moved
    expected = {**booked, "slot": "2031-05-05T11:00:00.000Z", "version": 2}
    assert moved.body["appointment"] == expected
    assert await taken(caller, site) == [("lee", "10:50", 55), ("room", "10:50", 55)]
    longer = await caller.ask("move", {"id": booked["id"], "durationMinutes": 40})
    assert longer.body["appointment"] == {**expected, "durationMinutes": 40, "version": 3}
    in_buffer = await caller.book(request(site, "11:50", durationMinutes=5, patientName="Eve"))
    assert seen(in_buffer) == (409, BOOKED)
    other = (await caller.book(request(site, "12:00", durationMinutes=5, patientName="Eve"))).body
    id = other["appointment"]["id"]
    refused = await caller.ask("move", {"id": id, "slot": "2031-05-05T11:50:00Z"})
    assert seen(refused) == (409, BOOKED)


async def test_move_to_another_service(caller: Caller, site: str) -> None:
    """A move with a service takes its duration, resources and buffers, and frees what is not needed."""
    booked = (await caller.book(request(site, "10:00", service="visit"))).body["appointment"]
    refused = await caller.ask("move", {"id": booked["id"], "service": "other"})
    assert seen(refused) == (400, NO_SUCH)
    moved = await caller.ask("move", {"id": booked["id"], "service": "check", "resources": ["lee"]})
    assert moved.body["appointment"]["durationMinutes"] == 20
    assert await taken(caller, site) == [("lee", "10:00", 20)]
    back = (await caller.ask("move", {"id": booked["id"], "service": "visit"})).body["appointment"]
    assert back == {**booked, "version": 3}


async def test_hold_of_a_service_holds_its_buffers(caller: Caller, site: str) -> None:
    """A hold of a service shows and keeps all that its booking needs, and the booking uses it up."""
    token = str(uuid4())
    asked = request(site, "10:00", service="visit", holdToken=token)
    held = (await caller.hold(asked)).body["hold"]
    assert (held["resources"], held["durationMinutes"]) == (["lee", "room"], 30)
    assert (held["service"], held["bufferBefore"], held["bufferAfter"]) == ("visit", 10, 15)
    assert await taken(caller, site) == [("lee", "09:50", 55), ("room", "09:50", 55)]
    eve = request(site, "10:40", durationMinutes=5, patientName="Eve")
    assert seen(await caller.book(eve)) == (409, HELD)
    assert seen(await caller.hold(eve)) == (409, HELD)
    booked = await caller.book(asked)
    assert booked.status == 201
    assert seen(await caller.book(eve)) == (409, BOOKED)
    await caller.ask("cancel", {"id": booked.body["appointment"]["id"]})
    async with asyncio.timeout(FRESH_SECONDS):  # the hold is used up just after the 201
        while await taken(caller, site):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await caller.book(eve)).status == 201


async def test_replay_stays_201_without_the_service(
    http: httpx.AsyncClient, caller: Caller, site: str
) -> None:
    """A retry is judged by its own booking, although its service has changed, and then is gone."""
    asked, key = request(site, "10:00", service="visit"), {"Idempotency-Key": str(uuid4())}
    first = await caller.book(asked, **key)
    moved = {"id": first.body["appointment"]["id"], "slot": "2031-05-05T11:00:00Z", "service": "visit"}
    move_id = str(uuid4())
    headers = {"Idempotency-Key": move_id} if isinstance(caller, HttpCaller) else {}
    body = moved if isinstance(caller, HttpCaller) else {**moved, "moveId": move_id}
    now = (await caller.ask("move", body, **headers)).body["appointment"]
    for services in ([{**VISIT, "durationMinutes": 45}, CHECK], [CHECK]):
        await put(http, site, *services)
        await asyncio.sleep(FRESH_SECONDS)
        again = await caller.book(asked, **key)
        assert (again.status, again.body["appointment"]) == (201, now)
        assert again.headers["idempotency-replayed"] == "true"
        assert seen(await caller.ask("move", body, **headers)) == (
            200,
            {"message": "Booking moved", "appointment": now},
        )
    other = await caller.book({**asked, "service": "check"}, **key)
    assert (other.status, other.error) == (422, "Idempotency-Key was used for a different request")
    new = await caller.book(request(site, "09:00", service="visit"), **{"Idempotency-Key": str(uuid4())})
    assert seen(new) == (400, NO_SUCH)


async def test_patient_with_a_hold_books_although_the_slot_was_closed(
    http: httpx.AsyncClient, http_caller: HttpCaller, site: str
) -> None:
    """A granted hold of a service is booked, and extended, after its schedule has closed the slot."""
    asked = request(site, "10:00", service="visit", holdToken=str(uuid4()))
    assert (await http_caller.hold(asked)).status == 200
    closed = [{"date": "2031-05-05"}]
    await put(http, site, VISIT, enforced=True, exceptions=closed)
    await asyncio.sleep(FRESH_SECONDS)
    stranger = await http_caller.hold({**asked, "holdToken": str(uuid4())})
    assert (stranger.status, stranger.body["reason"]) == (409, "closed")
    assert (await http_caller.hold(asked)).status == 200
    assert (await http_caller.book(asked)).status == 201


async def test_refused_service_is_final(grid_use_cases: UseCases) -> None:
    """Before the 400 of a retry, its key and the booking's epoch are advanced, as before a 409.

    An earlier attempt may have found the service in the schedule, and must not book or move later.
    """
    rows = grid_use_cases.database.get_collection("appointments")
    asked = BookAppointment.model_validate(fresh(service="visit", idempotencyKey="k"))
    with pytest.raises(InvalidRequest):
        await grid_use_cases.bookings.book(asked, Deadline.after(5), is_first_attempt=True)
    assert await rows.count_documents({"site": asked.site}) == 0
    with pytest.raises(InvalidRequest):
        await grid_use_cases.bookings.book(asked, Deadline.after(5))
    (tombstone,) = await rows.find({"site": asked.site}).to_list(None)
    assert (tombstone["idempotencyKey"], tombstone["status"]) == ("k", "refused")
    booked = await grid_use_cases.bookings.book(
        BookAppointment.model_validate(fresh()), Deadline.after(5), is_first_attempt=True
    )
    move = MoveAppointment(id=booked.booking.id, service="visit", moveId="m")
    with pytest.raises(InvalidRequest):
        await grid_use_cases.bookings.move(move, Deadline.after(5))
    row = await rows.find_one({"_id": booked.booking.id})
    assert row is not None
    assert (row["epoch"], row["version"], row["refusedMoves"]) == (1, 1, ["m"])


async def test_every_free_slot_can_be_booked_and_no_other_start(
    http: httpx.AsyncClient, http_caller: HttpCaller
) -> None:
    """After some bookings, each offered start can be booked with its service, and every other is refused."""
    await put(http, site := fresh_site(), VISIT, CHECK, stepMinutes=5)
    for time, more in (("09:40", {"service": "visit"}), ("11:30", {"service": "check"})):
        assert (await http_caller.book(request(site, time, **more))).status == 201
    assert (
        await http_caller.hold(request(site, "11:20", durationMinutes=5, resources=["room"]))
    ).status == 200
    query = {"site": site, "resource": "lee", "from": "2031-05-05T00:00:00Z", "to": "2031-05-06T00:00:00Z"}
    nine = datetime.fromisoformat("2031-05-05T09:00:00Z")
    for service, minutes in (("visit", 30), ("check", 20)):
        found = await http.get("/api/free-slots", params={**query, "service": service})
        free = {one["slot"][11:16] for one in found.json()["free"]}
        assert free
        starts = [nine + timedelta(minutes=n) for n in range(0, 180 - minutes + 1, 5)]
        for start in starts:
            asked = request(site, f"{start:%H:%M}", service=service, patientName="Eve")
            answer = await http_caller.book(asked)
            assert answer.status == (201 if f"{start:%H:%M}" in free else 409), start
            if answer.status == 201:
                await http_caller.ask("cancel", {"id": answer.body["appointment"]["id"]})


async def winners(http: HttpCaller, nats: NatsCaller | HttpCaller, site: str, rounds: int) -> Counter[int]:
    """Race a booking with buffers against one inside its buffer, and count the rounds by their winners."""
    counted = Counter[int]()
    for number in range(rounds):
        day = f"2031-05-{number + 1:02}"
        visit = {**request(site, "10:00", service="visit"), "slot": f"{day}T10:00:00Z"}
        inside = {**request(site, "10:30", durationMinutes=10), "slot": f"{day}T10:30:00Z"}
        bodies = [{**body, "patientName": f"Patient {n}"} for n, body in enumerate([visit, inside] * 4)]
        answers = await asyncio.gather(
            *((http, nats)[n // 2 % 2].book(body) for n, body in enumerate(bodies))
        )
        assert all(seen(answer) == (409, BOOKED) for answer in answers if answer.status != 201)
        counted[sum(answer.status == 201 for answer in answers)] += 1
    return counted


async def test_of_rivals_in_a_buffer_one_wins(
    http_caller: HttpCaller, nats_caller: NatsCaller, site: str
) -> None:
    """If a booking and rivals inside its buffer are sent at once, exactly one of them is booked."""
    assert await winners(http_caller, nats_caller, site, 25) == {1: 25}


async def test_control_rivals_in_a_buffer_are_both_booked(servers: Servers) -> None:
    """Workers that compute claims without buffers book a slot inside the buffer of another booking."""
    with servers.new_stack() as stack:
        for service in ("booking_worker", "hold_worker"):
            stack.start(service, without="no_buffers")
        stack.start_gateway()
        stack.wait_ready()
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as http:
            await put(http, site := fresh_site(), VISIT)
            caller = HttpCaller(http)
            assert await winners(caller, caller, site, 1) == {2: 1}
