"""Releasing a hold, over NATS through a real worker, and beside what else concerns it."""

import json
from uuid import uuid4

import pytest
from nats.aio.client import Client

from shared.contract.commands import BookAppointment, PlaceHold, ReleaseHold
from shared.contract.deadline import Deadline
from shared.contract.errors import NoSuchHold, OutcomeUnknown
from shared.stores.mongo.bookings import BookingStore, Found
from tests.callers import NatsCaller
from tests.integration.use_cases import UseCases
from tests.slots import fresh

RELEASE = "hold.v1.release"


async def test_a_released_hold_is_free_at_once(nats_caller: NatsCaller) -> None:
    """Who releases a hold of a doctor and a room by its token frees both, and hears 404 when asking again."""
    body = fresh("Ada", resources=["doctor", "room"])
    token = (await nats_caller.hold(body)).body["hold"]["token"]
    asked = {"site": body["site"], "slot": body["slot"], "holdToken": token}
    released = await nats_caller.request(RELEASE, asked)
    assert (released.status, released.body) == (200, {"message": "Hold released"})
    for resource in ("doctor", "room"):
        booked = await nats_caller.book({**body, "patientName": "Grace", "resources": [resource]})
        assert booked.status == 201
    again = await nats_caller.request(RELEASE, asked)
    assert (again.status, again.body) == (404, {"error": "No such hold"})
    assert again.headers["error-type"] == "NoSuchHold"


async def test_a_wrong_token_is_told_so(nats_caller: NatsCaller) -> None:
    """Neither another token nor another site releases a hold."""
    body = fresh("Ada")
    token = (await nats_caller.hold(body)).body["hold"]["token"]
    right = {"site": body["site"], "slot": body["slot"], "holdToken": token}
    for wrong in ({"holdToken": str(uuid4())}, {"site": fresh()["site"]}):
        answer = await nats_caller.request(RELEASE, {**right, **wrong})
        assert (answer.status, answer.error) == (404, "No such hold")
    assert (await nats_caller.book({**body, "patientName": "Grace"})).status == 409


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"holdToken": None}, "Missing slot or holdToken"),
        ({"slot": ""}, "Missing slot or holdToken"),
        ({"holdToken": "mine"}, "holdToken must be a UUID"),
        ({"patientName": "Ada"}, "Unknown field patientName"),
    ],
)
async def test_what_is_no_release_is_refused(
    nats_caller: NatsCaller, change: dict[str, object], error: str
) -> None:
    """A release that says something wrong is told what, and frees nothing."""
    asked = {"slot": "2031-05-04T09:00:00Z", "holdToken": str(uuid4())}
    answer = await nats_caller.request(RELEASE, {**asked, **change})
    assert (answer.status, answer.error) == (400, error)


async def test_a_release_that_is_too_late_is_not_executed(nats_connection: Client) -> None:
    """A release that a worker meets after its deadline frees nothing."""
    caller, body = NatsCaller(nats_connection), fresh("Ada", holdToken=str(uuid4()))
    assert (await caller.hold(body)).status == 200
    asked = {name: body[name] for name in ("site", "slot", "holdToken")}
    reply = await nats_connection.request(RELEASE, json.dumps(asked).encode(), headers={"Deadline": "1"})
    assert json.loads(reply.data)["status"] == 503
    assert (await caller.book({**body, "patientName": "Grace", "holdToken": None})).status == 409


async def test_a_hold_that_is_released_before_it_is_granted_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is promised a hold that was released while MongoDB was read; nothing of it is left."""
    hold, look = PlaceHold.model_validate(fresh(holdToken=str(uuid4()))), BookingStore.find
    release = ReleaseHold.model_validate(hold.model_dump(include={"slot", "site", "holdToken"}))

    async def look_while_it_is_released(*args: object, **options: object) -> Found:
        await use_cases.holds.release_hold(release, Deadline.after(5))
        return await look(*args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(BookingStore, "find", look_while_it_is_released)
        with pytest.raises(OutcomeUnknown):
            await use_cases.holds.place_hold(hold, Deadline.after(5))
    with pytest.raises(NoSuchHold):
        await use_cases.holds.release_hold(release, Deadline.after(5))
    rival = {**hold.model_dump(), "patientName": "Grace", "holdToken": None}
    assert await use_cases.bookings.book(BookAppointment.model_validate(rival), Deadline.after(5))


@pytest.mark.parametrize("known_by", ["token", "name"])
async def test_a_quarter_that_is_booked_uses_up_the_hour_that_was_held(
    grid_use_cases: UseCases, known_by: str
) -> None:
    """Who holds an hour and books a quarter of it leaves the rest to others, and nothing to release."""
    hold = PlaceHold.model_validate(fresh("Ada", durationMinutes=60, holdToken=str(uuid4())))
    await grid_use_cases.holds.place_hold(hold, Deadline.after(5))
    by = {"patientName": "Eve"} if known_by == "token" else {"holdToken": None}
    booking = BookAppointment.model_validate({**hold.model_dump(), "durationMinutes": 15, **by})
    await grid_use_cases.bookings.book(booking, Deadline.after(5))
    await grid_use_cases.intents.drain()
    release = ReleaseHold.model_validate(hold.model_dump(include={"slot", "site", "holdToken"}))
    with pytest.raises(NoSuchHold):
        await grid_use_cases.holds.release_hold(release, Deadline.after(5))
    rest = {**hold.model_dump(), "patientName": "Grace", "durationMinutes": 45, "holdToken": None}
    rest["slot"] = "2031-05-04T09:15:00Z"
    assert await grid_use_cases.bookings.book(BookAppointment.model_validate(rest), Deadline.after(5))
