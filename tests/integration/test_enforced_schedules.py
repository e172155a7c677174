"""Enforced schedules: booking, hold and move refuse what they do not offer."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.callers import Answer, Caller, HttpCaller
from tests.servers import Servers
from tests.slots import fresh_site

WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
CLOSED = {"error": "Slot is outside opening hours", "reason": "closed"}
IN_FORCE_SECONDS = 2.0


def schedule(end: str = "12:00", **more: Any) -> dict[str, Any]:
    weekly = [{"days": WEEK, "from": "09:00", "to": end}]
    return {"title": "A", "timeZone": "UTC", "weekly": weekly, "enforced": True, **more}


def request(site: str, time: str, **more: Any) -> dict[str, Any]:
    slot = f"2031-05-05T{time}:00Z"
    return {"slot": slot, "patientName": "Ada", "site": site, "resources": ["lee"], **more}


async def enforce(http: httpx.AsyncClient, site: str, **rules: Any) -> None:
    """Store an enforced schedule, and wait until it is in force."""
    stored = await http.put(f"/api/schedules/{site}/lee", json=schedule(**rules))
    assert stored.status_code == 200, stored.text
    await asyncio.sleep(IN_FORCE_SECONDS)  # the promise of the service


def seen(answer: Answer) -> tuple[int, Any]:
    return answer.status, answer.body


@pytest.mark.parametrize("use", ["book", "hold"])
async def test_slot_that_is_not_offered_is_refused(http: httpx.AsyncClient, caller: Caller, use: str) -> None:
    """A booking and a hold get 409 with the reason; an offered slot gets through."""
    await enforce(http, site := fresh_site(), horizonDays=3000)
    ask = getattr(caller, use)
    assert seen(await ask(request(site, "08:00"))) == (409, CLOSED)
    assert seen(await ask(request(site, "11:45", durationMinutes=30))) == (409, CLOSED)
    not_a_start = await ask(request(site, "09:05"))
    assert (not_a_start.status, not_a_start.body["reason"]) == (409, "not_a_start")
    unknown = await ask(request(site, "09:00", resources=["bed"]))
    assert (unknown.status, unknown.body["reason"]) == (409, "unknown_resource")
    past = await ask({**request(site, "09:00"), "slot": "2021-05-05T09:00:00Z"})
    assert (past.status, past.body["reason"]) == (409, "too_soon")
    far = await ask({**request(site, "09:00"), "slot": "2051-05-05T09:00:00Z"})
    assert (far.status, far.body["reason"]) == (409, "too_far")
    assert (await ask(request(site, "09:00"))).status in (200, 201)
    assert (await ask(request(site, "11:45", durationMinutes=15))).status in (200, 201)


async def test_refusal_is_named_in_the_header(http: httpx.AsyncClient) -> None:
    """Programs recognise the refusal by `Error-Type`."""
    await enforce(http, site := fresh_site())
    answer = await http.post("/api/book-appointment", json=request(site, "08:00"))
    assert answer.headers["Error-Type"] == "SlotNotOffered"


async def test_move_outside_the_hours_leaves_the_appointment(
    http: httpx.AsyncClient, http_caller: HttpCaller
) -> None:
    """A move to a slot that is not offered is refused; one to an offered slot is done."""
    site = fresh_site()
    outside = (await http_caller.book(request(site, "07:00"))).body["appointment"]
    await enforce(http, site)
    path = f"/api/appointments/{outside['id']}"
    refused = await http.patch(path, json={"slot": "2031-05-05T08:00:00Z"})
    assert (refused.status_code, refused.json()) == (409, CLOSED)
    assert (await http.get(path)).json()["appointment"] == outside
    moved = await http.patch(path, json={"slot": "2031-05-05T10:00:00Z"})
    assert moved.status_code == 200
    again = await http.patch(path, json={"slot": "2031-05-05T10:00:00Z"})
    assert again.status_code == 200


async def test_replay_of_a_booking_stays_201(http: httpx.AsyncClient, http_caller: HttpCaller) -> None:
    """A retry of a booking that was made before the schedule gets the same answer."""
    site = fresh_site()
    first = await http_caller.book(request(site, "08:00"), **{"Idempotency-Key": "k"})
    await enforce(http, site)
    again = await http_caller.book(request(site, "08:00"), **{"Idempotency-Key": "k"})
    assert first.status == again.status == 201
    assert again.body == first.body
    other = await http_caller.book(request(site, "08:00"), **{"Idempotency-Key": "other"})
    assert (other.status, other.error) == (409, "Slot already booked")


async def test_granted_hold_may_still_be_booked(http: httpx.AsyncClient, http_caller: HttpCaller) -> None:
    """A patient may book all that its hold covers, and nothing else, after a schedule has closed it."""
    site = fresh_site()
    held = await http_caller.hold(request(site, "08:00", durationMinutes=15))
    token = {"holdToken": held.body["hold"]["token"]}
    await enforce(http, site)
    longer = await http_caller.book(request(site, "08:00", durationMinutes=30, **token))
    assert seen(longer) == (409, CLOSED)
    stranger = request(site, "08:00", durationMinutes=15, patientName="Eve")
    assert (await http_caller.book(stranger)).status == 409
    assert (await http_caller.book(request(site, "08:00", durationMinutes=15, **token))).status == 201


async def test_granted_hold_may_still_be_extended(http: httpx.AsyncClient, caller: Caller) -> None:
    """Only the token of a hold may extend it after a schedule has closed it, and not to further cells."""
    site = fresh_site()
    token = {"holdToken": str(uuid4())}
    asked = request(site, "08:00", durationMinutes=15, **token)
    assert (await caller.hold(asked)).status == 200
    await enforce(http, site)
    extended = await caller.hold(asked)
    assert (extended.status, extended.body["hold"]["token"]) == (200, token["holdToken"])
    assert seen(await caller.hold({**asked, "durationMinutes": 20})) == (409, CLOSED)
    other = {**asked, "holdToken": str(uuid4())}
    assert seen(await caller.hold(other)) == (409, CLOSED)


async def test_schedule_that_is_not_enforced_refuses_nothing(
    http: httpx.AsyncClient, http_caller: HttpCaller
) -> None:
    """Without `enforced`, a slot outside the hours is booked as before."""
    await enforce(http, site := fresh_site(), enforced=False)
    assert (await http_caller.book(request(site, "08:00"))).status == 201


async def test_control_slot_outside_the_hours_is_booked(servers: Servers) -> None:
    """Workers that do not judge slots by schedules book a slot outside the hours."""
    with servers.new_stack() as stack:
        for service in ("booking_worker", "hold_worker"):
            stack.start(service, without="no_enforcement")
        stack.start_gateway()
        stack.wait_ready()
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as http:
            await enforce(http, site := fresh_site())
            answer = await http.post("/api/book-appointment", json=request(site, "08:00"))
            assert answer.status_code == 201
