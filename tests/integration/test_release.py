"""Releases of holds, over NATS and as use cases, and how they interact with late holds and bookings."""

import json
from datetime import timedelta
from uuid import uuid4

import nats
import pytest
from nats.aio.client import Client

from shared.contract.asked_at import unix_ms_now
from shared.contract.commands import BookAppointment, PlaceHold, ReleaseHold
from shared.contract.deadline import Deadline
from shared.contract.errors import AskedEarlier, NoSuchHold, SlotHeld
from shared.stores.mongo.bookings import BookingStore, Found
from shared.stores.redis.keys import released_key
from tests.callers import NatsCaller
from tests.integration.hold_stores import Stores, wanted
from tests.integration.use_cases import UseCases
from tests.servers import Servers
from tests.slots import fresh

RELEASE = "hold.v1.release"


async def test_a_released_hold_is_free_at_once(nats_caller: NatsCaller) -> None:
    """A release of a hold of a doctor and a room frees both; a second release gets 404."""
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


async def test_a_release_with_a_wrong_token_or_site_gets_404(nats_caller: NatsCaller) -> None:
    """A release with another token or another site gets 404 and keeps the hold."""
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
        ({"holdToken": None}, "Missing holdToken"),
        ({"holdToken": " "}, "Missing holdToken"),
        ({"slot": 9}, "slot must be a string, an ISO 8601 time with an offset"),
        ({"holdToken": "mine"}, "holdToken must be a UUID"),
        ({"patientName": "Ada"}, "Unknown field patientName"),
    ],
)
async def test_an_invalid_release_is_refused(
    nats_caller: NatsCaller, change: dict[str, object], error: str
) -> None:
    """An invalid release gets 400 that names the field."""
    asked = {"slot": "2031-05-04T09:00:00Z", "holdToken": str(uuid4())}
    answer = await nats_caller.request(RELEASE, {**asked, **change})
    assert (answer.status, answer.error) == (400, error)


async def test_a_release_that_is_too_late_is_not_executed(nats_connection: Client) -> None:
    """A release that a worker receives after its deadline gets 503 and keeps the hold."""
    caller, body = NatsCaller(nats_connection), fresh("Ada", holdToken=str(uuid4()))
    assert (await caller.hold(body)).status == 200
    asked = {name: body[name] for name in ("site", "slot", "holdToken")}
    reply = await nats_connection.request(RELEASE, json.dumps(asked).encode(), headers={"Deadline": "1"})
    assert json.loads(reply.data)["status"] == 503
    assert (await caller.book({**body, "patientName": "Grace", "holdToken": None})).status == 409


@pytest.mark.parametrize("more", [{}, {"resources": ["other"], "durationMinutes": 7}])
async def test_a_release_needs_a_token_alone(nats_caller: NatsCaller, more: dict[str, object]) -> None:
    """A release by token and site frees all holds of the token; resources and duration are ignored."""
    body, token = fresh("Ada", resources=["doctor", "room"]), str(uuid4())
    for slot in (body["slot"], "2031-06-04T09:00:00Z"):
        assert (await nats_caller.hold({**body, "slot": slot, "holdToken": token})).status == 200
    released = await nats_caller.request(RELEASE, {"site": body["site"], "holdToken": token, **more})
    assert (released.status, released.body) == (200, {"message": "Hold released"})
    for slot in (body["slot"], "2031-06-04T09:00:00Z"):
        assert (await nats_caller.book({**body, "slot": slot, "patientName": "Grace"})).status == 201


async def test_a_release_of_a_slot_that_is_not_held_releases_nothing(grid_use_cases: UseCases) -> None:
    """A release that names a slot is carried out only if the token holds its cell at some resource."""
    holds, body = grid_use_cases.holds, fresh("Ada", resources=["a", "b"], holdToken=str(uuid4()))
    hold = PlaceHold.model_validate({**body, "durationMinutes": 30})
    await holds.place_hold(hold, Deadline.after(5))
    release = ReleaseHold(site=hold.site, holdToken=hold.holdToken or "")
    for minutes in (-15, 30):
        elsewhere = release.model_copy(update={"slot": hold.slot + timedelta(minutes=minutes)})
        with pytest.raises(NoSuchHold):
            await holds.release_hold(elsewhere, Deadline.after(5))
    rival = BookAppointment.model_validate(
        {**body, "resources": ["b"], "patientName": "Eve", "holdToken": None}
    )
    with pytest.raises(SlotHeld):
        await grid_use_cases.bookings.book(rival, Deadline.after(5))
    within = release.model_copy(update={"slot": hold.slot + timedelta(minutes=15)})
    await holds.release_hold(within, Deadline.after(5))
    assert await grid_use_cases.bookings.book(rival, Deadline.after(5))


@pytest.mark.parametrize("held", [False, True], ids=["404", "200"])
async def test_a_hold_asked_before_a_release_is_refused(use_cases: UseCases, held: bool) -> None:
    """A late attempt of a hold is refused after a release of its token, even a 404; a newer hold is not."""
    hold = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4())))
    release = ReleaseHold(site=hold.site, holdToken=hold.holdToken or "")
    if held:
        await use_cases.holds.place_hold(hold, Deadline.after(5), asked_at=900)
        await use_cases.holds.release_hold(release, Deadline.after(5), asked_at=1000)
    for asked_at in (1000, 990):  # an earlier `askedAt` keeps the later one
        with pytest.raises(NoSuchHold):
            await use_cases.holds.release_hold(release, Deadline.after(5), asked_at=asked_at)
    for asked_at in (900, 1000):
        with pytest.raises(AskedEarlier):
            await use_cases.holds.place_hold(hold, Deadline.after(5), asked_at=asked_at)
    rival = {**hold.model_dump(), "patientName": "Grace", "holdToken": None}
    assert not [key async for key in use_cases.redis.scan_iter(f"hold:{{{hold.site}}}*")]
    assert await use_cases.holds.place_hold(hold, Deadline.after(5), asked_at=1001)
    with pytest.raises(SlotHeld):
        await use_cases.bookings.book(BookAppointment.model_validate(rival), Deadline.after(5))


async def test_a_release_asked_before_a_hold_is_refused(use_cases: UseCases) -> None:
    """A late attempt of a release keeps a hold that the token was granted since."""
    hold = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4())))
    release = ReleaseHold(site=hold.site, holdToken=hold.holdToken or "")
    await use_cases.holds.place_hold(hold, Deadline.after(5), asked_at=1000)
    with pytest.raises(AskedEarlier):
        await use_cases.holds.release_hold(release, Deadline.after(5), asked_at=999)
    rival = {**hold.model_dump(), "patientName": "Grace", "holdToken": None}
    with pytest.raises(SlotHeld):
        await use_cases.bookings.book(BookAppointment.model_validate(rival), Deadline.after(5))
    await use_cases.holds.release_hold(release, Deadline.after(5), asked_at=1000)


async def test_a_refused_release_leaves_no_mark(use_cases: UseCases) -> None:
    """A release that gets 404 for another slot, or AskedEarlier, does not refuse a hold asked earlier."""
    hold = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4())))
    await use_cases.holds.place_hold(hold, Deadline.after(5), asked_at=1000)
    release = ReleaseHold(site=hold.site, holdToken=hold.holdToken or "")
    elsewhere = release.model_copy(update={"slot": hold.slot + timedelta(minutes=60)})
    for refused, asked_at in ((elsewhere, 2000), (release, 999)):
        with pytest.raises((NoSuchHold, AskedEarlier)):
            await use_cases.holds.release_hold(refused, Deadline.after(5), asked_at=asked_at)
        assert not await use_cases.redis.exists(released_key(hold.site, hold.holdToken or ""))
    assert await use_cases.holds.place_hold(hold, Deadline.after(5), asked_at=1500)


async def test_the_mark_of_a_release_outlives_every_attempt(stores: Stores) -> None:
    """The mark of a release outlives the longest timeout plus the skew of two clocks by a few seconds."""
    hold = wanted()
    assert not await stores.release(hold)
    ends = await stores.redis.pttl(released_key(hold.claims.site, hold.holder.token))
    assert 60_500 < ends <= 66_000


async def test_a_late_hold_after_its_release_is_refused(servers: Servers) -> None:
    """If a hold's first attempt is lost and its release gets 404, the late retry of the hold is refused."""
    assert await hold_after_a_release(servers, without="") == ("AskedEarlier", 201)


async def test_without_the_mark_of_a_release_a_late_hold_is_granted(servers: Servers) -> None:
    """Control: without the mark of a release, the late hold is granted and refuses other patients."""
    assert await hold_after_a_release(servers, without="no_release_mark") == (None, 409)


async def hold_after_a_release(servers: Servers, without: str) -> tuple[str | None, int]:
    """Return the class of the late hold's refusal, and the status of another patient's booking after it."""
    with servers.new_stack() as stack:
        stack.start("booking_worker")
        stack.start("hold_worker", without=without)
        stack.wait_serving()
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            caller, body = NatsCaller(connection), fresh("Ada", holdToken=str(uuid4()))
            asked_at = unix_ms_now() - 1000
            release = {"site": body["site"], "holdToken": body["holdToken"]}
            assert (await caller.request(RELEASE, release)).status == 404
            late = await caller.request("hold.v1.place", body, {"Asked-At": str(asked_at)})
            rival = await caller.book({**body, "patientName": "Grace", "holdToken": None})
            return late.headers.get("error-type"), rival.status


async def test_a_hold_that_is_released_before_it_is_granted_is_refused(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold that is released between placing and granting is refused, and leaves nothing in Redis."""
    hold, look = PlaceHold.model_validate(fresh(holdToken=str(uuid4()))), BookingStore.find
    release = ReleaseHold.model_validate(hold.model_dump(include={"slot", "site", "holdToken"}))

    async def look_while_it_is_released(*args: object, **options: object) -> Found:
        await use_cases.holds.release_hold(release, Deadline.after(5))
        return await look(*args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(BookingStore, "find", look_while_it_is_released)
        with pytest.raises(AskedEarlier):
            await use_cases.holds.place_hold(hold, Deadline.after(5))
    with pytest.raises(NoSuchHold):
        await use_cases.holds.release_hold(release, Deadline.after(5))
    rival = {**hold.model_dump(), "patientName": "Grace", "holdToken": None}
    assert await use_cases.bookings.book(BookAppointment.model_validate(rival), Deadline.after(5))


@pytest.mark.parametrize("known_by", ["token", "name"])
async def test_a_booking_of_a_part_uses_up_the_whole_hold(grid_use_cases: UseCases, known_by: str) -> None:
    """A booking of the first quarter of a held hour, by token or name, uses up the whole hold."""
    hold = PlaceHold.model_validate(fresh("Ada", durationMinutes=60, holdToken=str(uuid4())))
    await grid_use_cases.holds.place_hold(hold, Deadline.after(5))
    by = {"patientName": "Eve"} if known_by == "token" else {"holdToken": None}
    booking = BookAppointment.model_validate({**hold.model_dump(), "durationMinutes": 15, **by})
    await grid_use_cases.bookings.book(booking, Deadline.after(5))
    await grid_use_cases.clearer.drain()
    release = ReleaseHold.model_validate(hold.model_dump(include={"slot", "site", "holdToken"}))
    with pytest.raises(NoSuchHold):
        await grid_use_cases.holds.release_hold(release, Deadline.after(5))
    rest = {**hold.model_dump(), "patientName": "Grace", "durationMinutes": 45, "holdToken": None}
    rest["slot"] = "2031-05-04T09:15:00Z"
    assert await grid_use_cases.bookings.book(BookAppointment.model_validate(rest), Deadline.after(5))
