"""What a hold worker decides in moments that no caller can time."""

import asyncio
import time
from datetime import timedelta
from math import inf
from typing import Any
from uuid import uuid4

import pytest

from hold_worker.service import Held
from shared.contract.asked_at import unix_ms_now
from shared.contract.commands import BookAppointment, PlaceHold
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    BeingBooked,
    Changing,
    HoldsUnreachable,
    NoPrimary,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    SlotAlreadyBooked,
    SlotHeld,
)
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.stores.mongo.bookings import COLLECTION, BookingStore, Found
from shared.stores.mongo.writes import WriteResult
from shared.stores.redis.holds import PLACED_MARGIN_MS, HoldRequest
from shared.stores.redis.keys import Holder, keys_of
from shared.stores.redis.scripts import Scripts
from tests.integration.use_cases import UseCases, lost_inserts
from tests.slots import fresh


def quarters_of(hold: PlaceHold) -> list[BookAppointment]:
    """What another patient asks for: the first quarter of a hold, and the second."""
    return [
        BookAppointment(slot=hold.slot + timedelta(minutes=n), site=hold.site, patientName="Grace")
        for n in (0, 15)
    ]


async def book_unseen(use_cases: UseCases, command: BookAppointment) -> Booking:
    """Book a slot as a worker does that cannot reach Redis."""
    rival = Booking.new(
        command,
        span := Grid(0).slot_range(command),
        Claims.of(command, span),
        Digests(use_cases.schema.secret),
    )
    assert await BookingStore(use_cases.database).insert_many([rival], timeout=5) == [WriteResult.DONE]
    return rival


def wanted(hold: PlaceHold, grid: Grid) -> HoldRequest:
    """What a hold wants, and for whom."""
    return HoldRequest(
        Claims.of(hold, grid.slot_range(hold)), Holder(hold.holdToken or "", "digest"), unix_ms_now()
    )


async def dump(use_cases: UseCases, site: str) -> dict[str, tuple[int, Any]]:
    """All that Redis has of a site: when each key ends (Unix ms), and its value."""
    redis = use_cases.redis
    keys = [key async for key in redis.scan_iter(f"*{{{site}}}*", count=1000)]
    return {
        key: (
            await redis.pexpiretime(key),
            await (redis.get(key) if key.startswith("hold:") else redis.zrange(key, 0, -1, withscores=True)),
        )
        for key in keys
        if not key.startswith("intent")
    }


def refuse(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Have Redis refuse a script, as one that takes no writes does."""
    run = Scripts.run

    async def run_or_refuse(scripts: Scripts, name: str, calls: Any, *args: Any, **more: Any) -> Any:
        if name == script:
            return [HoldsUnreachable()] * len(calls)
        return await run(scripts, name, calls, *args, **more)

    monkeypatch.setattr(Scripts, "run", run_or_refuse)


async def test_a_booking_that_is_decided_while_a_hold_looks_is_seen(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold that meets a booking under way is refused at once; its repeat sees what was decided."""
    body, entered, going_on = fresh("Ada"), asyncio.Event(), asyncio.Event()
    insert = BookingStore.insert_many

    async def insert_late(*args: Any, **options: Any) -> list[WriteResult]:
        entered.set()
        await going_on.wait()
        return await insert(*args, **options)

    monkeypatch.setattr(BookingStore, "insert_many", insert_late)
    booking = asyncio.create_task(
        use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(5))
    )
    await entered.wait()
    rival, deadline = PlaceHold.model_validate({**body, "patientName": "Grace"}), Deadline.after(60)
    with pytest.raises(BeingBooked):
        await use_cases.holds.place_hold(rival, deadline)
    assert deadline.remaining > 30
    assert not [key async for key in use_cases.redis.scan_iter(f"hold:{{{body['site']}}}*")]
    going_on.set()
    await booking
    with pytest.raises(SlotAlreadyBooked):
        await use_cases.holds.place_hold(rival, Deadline.after(5))


@pytest.mark.parametrize("lost", [OutcomeUnknown, NoPrimary])
@pytest.mark.parametrize("minutes", [15, 30], ids=["as long", "longer"])
async def test_an_extension_that_cannot_be_verified_changes_nothing(
    grid_use_cases: UseCases, monkeypatch: pytest.MonkeyPatch, lost: type[Refused], minutes: int
) -> None:
    """An extension without a look at the bookings is not executed: the hold stands, as long as before."""

    async def lose(*_: Any, **__: Any) -> None:
        raise lost

    body, holds = fresh("Ada", holdToken=str(uuid4())), grid_use_cases.holds
    await holds.place_hold(PlaceHold.model_validate(body), Deadline.after(5))
    before = await dump(grid_use_cases, body["site"])
    longer = PlaceHold.model_validate({**body, "durationMinutes": minutes})
    with monkeypatch.context() as patch:
        patch.setattr(BookingStore, "find", lose)
        with pytest.raises(NotExecuted):
            await holds.place_hold(longer, Deadline.after(5))
    assert await dump(grid_use_cases, body["site"]) == before


async def test_a_hold_that_cannot_be_withdrawn_blocks_nobody_for_long(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold that was placed, and could be neither verified nor withdrawn, ends soon after its command."""

    async def lose_primary(*_: Any, **__: Any) -> None:
        raise NoPrimary

    hold = PlaceHold.model_validate(fresh(holdToken=str(uuid4())))
    monkeypatch.setattr(BookingStore, "find", lose_primary)
    refuse(monkeypatch, "withdraw_holds")
    with pytest.raises(NoPrimary):
        await use_cases.holds.place_hold(hold, Deadline.after(1))
    (key,) = keys_of(wanted(hold, Grid(0)).claims)
    assert 0 < await use_cases.redis.pttl(key) <= 1000 + PLACED_MARGIN_MS


async def test_a_hold_that_cannot_be_granted_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold that was set, and of which Redis will not note that it is granted, is not said not to stand."""
    refuse(monkeypatch, "grant_holds")
    with pytest.raises(OutcomeUnknown):
        await use_cases.holds.place_hold(PlaceHold.model_validate(fresh()), Deadline.after(5))


async def test_a_hold_that_is_lost_before_it_is_granted_is_refused(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is promised a hold that Redis lost while MongoDB was read."""
    hold, look = PlaceHold.model_validate(fresh(holdToken=str(uuid4()))), BookingStore.find

    async def look_while_it_is_lost(*args: Any, **options: Any) -> Found:
        await use_cases.redis.delete(*keys_of(wanted(hold, Grid(0)).claims))
        return await look(*args, **options)

    monkeypatch.setattr(BookingStore, "find", look_while_it_is_lost)
    with pytest.raises(Changing):
        await use_cases.holds.place_hold(hold, Deadline.after(5))


async def test_what_a_worker_left_that_died_is_withdrawn(grid_use_cases: UseCases) -> None:
    """A hold that was set and never granted does not keep a slot: its refused repeat withdraws all of it."""
    hold = PlaceHold.model_validate(fresh("Ada", durationMinutes=30, holdToken=str(uuid4())))
    first, second = quarters_of(hold)
    await book_unseen(grid_use_cases, first)
    await grid_use_cases.hold_store.place_many([wanted(hold, Grid(15))], Deadline.after(60))
    with pytest.raises(SlotAlreadyBooked):
        await grid_use_cases.holds.place_hold(hold, Deadline.after(5))
    assert await grid_use_cases.bookings.book(second, Deadline.after(5))


@pytest.mark.parametrize("cells", ["after it", "before it", "both"])
@pytest.mark.parametrize("name", ["Ada", "Grace"])
async def test_an_extension_that_is_refused_changes_nothing(
    grid_use_cases: UseCases, cells: str, name: str
) -> None:
    """A refused extension leaves the hold as it was: its end, its owner, its record and what is listed."""
    body = fresh("Ada", holdToken=str(uuid4()), slot="2031-05-04T09:15:00Z")
    hold = PlaceHold.model_validate(body)
    before_it, after_it = (
        BookAppointment(slot=hold.slot + timedelta(minutes=n), site=hold.site, patientName="Eve")
        for n in (-15, 15)
    )
    await grid_use_cases.holds.place_hold(hold, Deadline.after(5))
    other = {**body, "slot": "2031-05-04T12:00:00Z"}
    await grid_use_cases.holds.place_hold(PlaceHold.model_validate(other), Deadline.after(5))
    before = await dump(grid_use_cases, hold.site)
    assert {key.partition(":")[0] for key in before} == {
        "hold",
        "token",
        "held",
        "held_ends",
        "held_resources",
    }
    await book_unseen(grid_use_cases, before_it if cells == "before it" else after_it)
    places: dict[str, dict[str, Any]] = {
        "after it": {"durationMinutes": 30},
        "before it": {"slot": before_it.slot, "durationMinutes": 30},
        "both": {"slot": before_it.slot, "durationMinutes": 45},
    }
    longer = places[cells]
    with pytest.raises(SlotAlreadyBooked):
        await grid_use_cases.holds.place_hold(
            hold.model_copy(update={**longer, "patientName": name}), Deadline.after(5)
        )
    assert await dump(grid_use_cases, hold.site) == before


async def test_an_extension_that_is_not_answered_yet_changes_nothing(
    grid_use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies between placing an extension and granting it leaves the hold as it was."""
    hold = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4())))
    await grid_use_cases.holds.place_hold(hold, Deadline.after(5))
    before = await dump(grid_use_cases, hold.site)
    longer = hold.model_copy(update={"durationMinutes": 30})
    for each in (hold, longer):
        assert await grid_use_cases.hold_store.place_many([wanted(each, Grid(15))], Deadline.after(60))
    after = await dump(grid_use_cases, hold.site)
    assert {key: after[key] for key in before if key.startswith("h")} == {
        key: before[key] for key in before if key.startswith("h")
    }


async def test_a_hold_that_expires_while_it_is_extended_is_held_anew(
    grid_use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An extension in the last moment of its hold is refused as repeatable, and its repeat holds."""
    hold, look = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4()))), BookingStore.find

    async def look_while_it_expires(*args: Any, **options: Any) -> Found:
        await grid_use_cases.redis.pexpire(keys_of(wanted(hold, Grid(15)).claims)[0], 0)
        return await look(*args, **options)

    await grid_use_cases.holds.place_hold(hold, Deadline.after(5))
    with monkeypatch.context() as patch:
        patch.setattr(BookingStore, "find", look_while_it_expires)
        with pytest.raises(Changing):
            await grid_use_cases.holds.place_hold(
                hold.model_copy(update={"durationMinutes": 30}), Deadline.after(5)
            )
    assert [key async for key in grid_use_cases.redis.scan_iter(f"hold:{{{hold.site}}}*")] == []
    assert await grid_use_cases.holds.place_hold(hold, Deadline.after(5))


async def test_a_hold_does_not_wait_for_a_more_patient_one(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of holds that are looked up together, each is answered by its own deadline, and nothing is left."""
    look, going_on = BookingStore.find, asyncio.Event()

    async def look_late(*args: Any, timeout: float, **options: Any) -> Found:
        try:
            async with asyncio.timeout(timeout):
                await going_on.wait()
        except TimeoutError:
            raise OutcomeUnknown from None
        return await look(*args, timeout=timeout, **options)

    monkeypatch.setattr(BookingStore, "find", look_late)
    patient, hasty = (PlaceHold.model_validate(fresh("Ada")) for _ in range(2))
    waiting = asyncio.create_task(use_cases.holds.place_hold(patient, Deadline.after(60)))
    with pytest.raises(NotExecuted):
        await use_cases.holds.place_hold(hasty, Deadline.after(0.2))
    going_on.set()
    assert (await waiting).token
    rival = {**hasty.model_dump(), "patientName": "Grace"}
    assert await use_cases.bookings.book(BookAppointment.model_validate(rival), Deadline.after(5))


async def test_no_hold_is_granted_after_its_deadline(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was frozen while it looked, and goes on late, grants nothing and leaves nothing."""
    look = BookingStore.find

    async def look_and_freeze(*args: Any, **options: Any) -> Found:
        found = await look(*args, **options)
        time.sleep(1.2)  # noqa: ASYNC251  # the whole process stands still
        return found

    hold = PlaceHold.model_validate(fresh("Ada"))
    with monkeypatch.context() as patch:
        patch.setattr(BookingStore, "find", look_and_freeze)
        with pytest.raises((NotExecuted, OutcomeUnknown)):
            await use_cases.holds.place_hold(hold, Deadline.after(1))
    rival = {**hold.model_dump(), "patientName": "Grace"}
    assert await use_cases.bookings.book(BookAppointment.model_validate(rival), Deadline.after(5))


async def test_no_hold_is_granted_where_the_schema_is_not_verified(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that slept while it looked may not know of another grid: it grants nothing."""
    look = BookingStore.find

    async def look_and_sleep(*args: Any, **options: Any) -> Found:
        found = await look(*args, **options)
        monkeypatch.setattr(use_cases.schema, "_valid_until", -inf)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(BookingStore, "find", look_and_sleep)
        with pytest.raises(NotExecuted):
            await use_cases.holds.place_hold(PlaceHold.model_validate(fresh("Ada")), Deadline.after(5))


async def test_a_cancelled_booking_keeps_no_hold_away(use_cases: UseCases) -> None:
    """A slot whose booking has been cancelled is free to be held."""
    body = fresh("Ada")
    booked = await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(5))
    await use_cases.database[COLLECTION].update_one(
        {"_id": booked.booking.id}, {"$set": {"status": "cancelled"}}
    )
    await use_cases.intents.drain()
    assert await use_cases.holds.place_hold(
        PlaceHold.model_validate({**body, "patientName": "Grace"}), Deadline.after(5)
    )


async def test_holds_together_are_each_refused_for_their_own_slot(use_cases: UseCases) -> None:
    """Of holds that are looked up together, those of booked slots are refused, and the others granted."""
    bodies = [fresh("Ada") for _ in range(6)]
    for body in bodies[::2]:
        await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(5))
    placed = await asyncio.gather(
        *(use_cases.holds.place_hold(PlaceHold.model_validate(body), Deadline.after(5)) for body in bodies),
        return_exceptions=True,
    )
    assert [isinstance(each, SlotAlreadyBooked) for each in placed] == [True, False] * 3
    assert [isinstance(each, Held) for each in placed] == [False, True] * 3


async def test_a_hold_over_a_booking_ends_as_it_would_have(use_cases: UseCases) -> None:
    """A refused extension of a hold, of a slot booked while Redis could not be asked, leaves the hold."""
    hold = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4())))
    await use_cases.holds.place_hold(hold, Deadline.after(5))
    before = await dump(use_cases, hold.site)
    rival = BookAppointment(slot=hold.slot, site=hold.site, patientName="Grace")
    await book_unseen(use_cases, rival)
    with pytest.raises(SlotAlreadyBooked):
        await use_cases.holds.place_hold(hold, Deadline.after(5))
    assert await dump(use_cases, hold.site) == before


async def test_a_booking_whose_outcome_is_unknown_keeps_a_hold_away(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a lost insert may still be carried out, a hold of its slot is refused at once, as repeatable."""
    body = fresh("Ada")
    with lost_inserts(monkeypatch), pytest.raises(OutcomeUnknown):
        await use_cases.bookings.book(BookAppointment(**body), Deadline.after(5))
    rival, deadline = PlaceHold(**{**body, "patientName": "Grace"}), Deadline.after(60)
    for _ in range(3):
        with pytest.raises(BeingBooked):
            await use_cases.holds.place_hold(rival, deadline)
    assert deadline.remaining > 30
    assert BeingBooked.repeatable


async def test_refused_bookings_leave_the_holder_alone(grid_use_cases: UseCases) -> None:
    """While 200 bookings a second of a held slot are refused, each extension by its holder is granted."""
    body = fresh("Ada", holdToken=str(uuid4()), durationMinutes=30)
    hold = PlaceHold.model_validate(body)
    await grid_use_cases.holds.place_hold(hold, Deadline.after(5))
    refused = list[type[BaseException]]()

    async def rival(n: int) -> None:
        await asyncio.sleep(n / 200)
        wants = {**body, "patientName": f"Rival {n}", "holdToken": None, "durationMinutes": 15 + 15 * (n % 3)}
        with pytest.raises(SlotHeld) as refusal:
            await grid_use_cases.bookings.book(BookAppointment.model_validate(wants), Deadline.after(5))
        refused.append(refusal.type)

    rivals = [asyncio.create_task(rival(n)) for n in range(400)]
    while not all(each.done() for each in rivals):
        assert (await grid_use_cases.holds.place_hold(hold, Deadline.after(5))).token == body["holdToken"]
    await asyncio.gather(*rivals)
    assert len(refused) == 400
