"""Decisions of a hold worker at moments that no caller can time."""

import asyncio
import time
from datetime import timedelta
from math import inf
from typing import Any
from uuid import uuid4

import pytest

from hold_worker.service import Held
from shared.contract.commands import BookAppointment, PlaceHold
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    BeingBooked,
    Changing,
    NoPrimary,
    NotExecuted,
    OutcomeUnknown,
    SlotAlreadyBooked,
)
from shared.domain.grid import Grid
from shared.stores.mongo.bookings import COLLECTION, BookingStore, Found
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites
from shared.stores.redis.holds import PLACED_MARGIN_MS
from shared.stores.redis.keys import keys_of
from tests.integration.hold_use_cases import book_without_redis, refuse, wanted
from tests.integration.use_cases import UseCases, lost_inserts
from tests.slots import fresh


def quarters_of(hold: PlaceHold) -> list[BookAppointment]:
    """Return another patient's bookings of the first and the second quarter of a hold."""
    return [
        BookAppointment(slot=hold.slot + timedelta(minutes=n), site=hold.site, patientName="Grace")
        for n in (0, 15)
    ]


async def test_hold_that_meets_a_booking_in_progress_is_refused_at_once(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold that meets an intent gets BeingBooked at once; its retry sees the booking."""
    body, entered, going_on = fresh("Ada"), asyncio.Event(), asyncio.Event()
    insert = BookingWrites.insert_many

    async def insert_late(*args: Any, **options: Any) -> list[WriteResult]:
        entered.set()
        await going_on.wait()
        return await insert(*args, **options)

    monkeypatch.setattr(BookingWrites, "insert_many", insert_late)
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


async def test_hold_that_cannot_be_withdrawn_expires_soon(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A placed hold that could be neither verified nor withdrawn expires soon after its command."""

    async def lose_primary(*_: Any, **__: Any) -> None:
        raise NoPrimary

    hold = PlaceHold.model_validate(fresh(holdToken=str(uuid4())))
    monkeypatch.setattr(BookingStore, "find", lose_primary)
    refuse(monkeypatch, "withdraw_holds")
    with pytest.raises(NoPrimary):
        await use_cases.holds.place_hold(hold, Deadline.after(1))
    (key,) = keys_of(wanted(hold, Grid(0)).claims)
    assert 0 < await use_cases.redis.pttl(key) <= 1000 + PLACED_MARGIN_MS


async def test_hold_that_cannot_be_granted_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Redis refuses to grant a placed hold, the outcome is unknown."""
    refuse(monkeypatch, "grant_holds")
    with pytest.raises(OutcomeUnknown):
        await use_cases.holds.place_hold(PlaceHold.model_validate(fresh()), Deadline.after(5))


async def test_hold_lost_before_its_grant_is_refused(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold that Redis lost while MongoDB was read is not granted: the caller gets 503 Changing."""
    hold, look = PlaceHold.model_validate(fresh(holdToken=str(uuid4()))), BookingStore.find

    async def look_while_it_is_lost(*args: Any, **options: Any) -> Found:
        await use_cases.redis.delete(*keys_of(wanted(hold, Grid(0)).claims))
        return await look(*args, **options)

    monkeypatch.setattr(BookingStore, "find", look_while_it_is_lost)
    with pytest.raises(Changing):
        await use_cases.holds.place_hold(hold, Deadline.after(5))


async def test_retry_withdraws_the_hold_of_a_dead_worker(grid_use_cases: UseCases) -> None:
    """The refused retry of a hold that a dead worker placed withdraws all of its claims."""
    hold = PlaceHold.model_validate(fresh("Ada", durationMinutes=30, holdToken=str(uuid4())))
    first, second = quarters_of(hold)
    await book_without_redis(grid_use_cases, first)
    await grid_use_cases.hold_store.place_many([wanted(hold, Grid(15))], Deadline.after(60))
    with pytest.raises(SlotAlreadyBooked):
        await grid_use_cases.holds.place_hold(hold, Deadline.after(5))
    assert await grid_use_cases.bookings.book(second, Deadline.after(5))


async def test_hasty_hold_does_not_wait_for_a_patient_one(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds that share a read are answered by their own deadlines; a hold not executed leaves no key."""
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
    """A worker that freezes during its read and resumes late grants no hold and leaves no key."""
    look = BookingStore.find

    async def look_and_freeze(*args: Any, **options: Any) -> Found:
        found = await look(*args, **options)
        time.sleep(1.2)  # noqa: ASYNC251  # the whole process freezes
        return found

    hold = PlaceHold.model_validate(fresh("Ada"))
    with monkeypatch.context() as patch:
        patch.setattr(BookingStore, "find", look_and_freeze)
        with pytest.raises((NotExecuted, OutcomeUnknown)):
            await use_cases.holds.place_hold(hold, Deadline.after(1))
    rival = {**hold.model_dump(), "patientName": "Grace"}
    assert await use_cases.bookings.book(BookAppointment.model_validate(rival), Deadline.after(5))


async def test_no_hold_without_a_verified_schema(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose schema check lapsed during its read grants no hold: the grid may have changed."""
    look = BookingStore.find

    async def look_and_sleep(*args: Any, **options: Any) -> Found:
        found = await look(*args, **options)
        monkeypatch.setattr(use_cases.schema, "_valid_until", -inf)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(BookingStore, "find", look_and_sleep)
        with pytest.raises(NotExecuted):
            await use_cases.holds.place_hold(PlaceHold.model_validate(fresh("Ada")), Deadline.after(5))


async def test_slot_of_a_cancelled_booking_can_be_held(use_cases: UseCases) -> None:
    """A slot whose booking was cancelled can be held."""
    body = fresh("Ada")
    booked = await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(5))
    await use_cases.database[COLLECTION].update_one(
        {"_id": booked.booking.id}, {"$set": {"status": "cancelled"}}
    )
    await use_cases.clearer.drain()
    assert await use_cases.holds.place_hold(
        PlaceHold.model_validate({**body, "patientName": "Grace"}), Deadline.after(5)
    )


async def test_holds_of_one_read_are_decided_separately(use_cases: UseCases) -> None:
    """If holds share a read, those of booked slots are refused and the rest are granted."""
    bodies = [fresh("Ada") for _ in range(6)]
    for body in bodies[::2]:
        await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(5))
    placed = await asyncio.gather(
        *(use_cases.holds.place_hold(PlaceHold.model_validate(body), Deadline.after(5)) for body in bodies),
        return_exceptions=True,
    )
    assert [isinstance(answer, SlotAlreadyBooked) for answer in placed] == [True, False] * 3
    assert [isinstance(answer, Held) for answer in placed] == [False, True] * 3


async def test_booking_with_an_unknown_outcome_blocks_a_hold(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a lost insert may still land, a hold of its slot gets BeingBooked at once, a retryable 503."""
    body = fresh("Ada")
    with lost_inserts(monkeypatch), pytest.raises(OutcomeUnknown):
        await use_cases.bookings.book(BookAppointment(**body), Deadline.after(5))
    rival, deadline = PlaceHold(**{**body, "patientName": "Grace"}), Deadline.after(60)
    for _ in range(3):
        with pytest.raises(BeingBooked):
            await use_cases.holds.place_hold(rival, deadline)
    assert deadline.remaining > 30
    assert BeingBooked.repeatable
