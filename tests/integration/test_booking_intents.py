"""Bookings in progress, and holds: when an intent ends, and which hold a booking consumes."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from shared.contract.asked_at import unix_ms_now
from shared.contract.commands import BookAppointment, PlaceHold
from shared.contract.deadline import Deadline
from shared.contract.errors import HoldsUnreachable, NotExecuted, OutcomeUnknown, SlotAlreadyBooked, SlotHeld
from shared.domain.booking import Booking
from shared.domain.digests import Digests
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites
from shared.stores.redis.holds import HoldRequest
from shared.stores.redis.intents import BookingIntent, IntentStore
from shared.stores.redis.keys import Holder
from tests.integration.breakable import until
from tests.integration.use_cases import UseCases, lost_inserts
from tests.slots import fresh


async def test_no_hold_while_an_unanswered_insert_may_still_land(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intent of a booking with an unanswered insert stays: the insert may still be carried out."""

    body = fresh("Ada")
    rival = PlaceHold.model_validate({**body, "patientName": "Grace"})
    with lost_inserts(monkeypatch), pytest.raises(OutcomeUnknown):
        await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(1))
    async with asyncio.timeout(4):  # less than the time that the intent lasts
        with pytest.raises(NotExecuted):
            await use_cases.holds.place_hold(rival, Deadline.after(0.2))
    await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(5))


async def test_hold_is_granted_once_the_booking_has_failed(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: a booking that was certainly not made leaves no intent."""

    async def refuse(_store: BookingWrites, bookings: list[Booking], **_: Any) -> list[WriteResult]:
        return [WriteResult.NOT_EXECUTED] * len(bookings)

    body = fresh("Ada")
    with monkeypatch.context() as patch:
        patch.setattr(BookingWrites, "insert_many", refuse)
        with pytest.raises(NotExecuted):
            await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(1))
    rival = PlaceHold.model_validate({**body, "patientName": "Grace"})
    assert (await use_cases.holds.place_hold(rival, Deadline.after(1))).seconds > 3


async def test_booking_is_confirmed_though_its_hold_stays(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A booking is confirmed although Redis is lost before its hold is consumed."""

    async def lose(*_: Any) -> None:
        raise HoldsUnreachable

    body = fresh("Ada")
    await use_cases.holds.place_hold(PlaceHold.model_validate(body), Deadline.after(5))
    monkeypatch.setattr(IntentStore, "use_up_holds", lose)
    booked = await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(5))
    assert booked.booking.status == "booked"


async def test_intents_gather_while_redis_is_busy(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A booked hold is consumed at once; intents gather and are cleared together while Redis is busy."""
    use_up, clear, going_on = IntentStore.use_up_holds, IntentStore.clear_intents, asyncio.Event()
    used_up, cleared = list[int](), list[int]()

    async def note_used_up(store: IntentStore, booked: Sequence[BookingIntent]) -> list[int]:
        counts = await use_up(store, booked)
        used_up.append(len(booked))
        return counts

    async def note_cleared(store: IntentStore, decided: Sequence[BookingIntent]) -> None:
        cleared.append(len(decided))
        await going_on.wait()
        await clear(store, decided)

    monkeypatch.setattr(IntentStore, "use_up_holds", note_used_up)
    monkeypatch.setattr(IntentStore, "clear_intents", note_cleared)
    held = fresh("Ada")
    await use_cases.holds.place_hold(PlaceHold.model_validate(held), Deadline.after(5))
    for body in (fresh(), held, fresh(), fresh()):
        await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(5))
    await until(lambda: used_up == [1], "the hold is consumed")
    assert cleared == [1]
    going_on.set()
    await use_cases.clearer.drain()
    assert cleared == [1, 3]


async def test_booking_does_not_consume_a_later_hold(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the patient places a hold on the slot during the booking, the token keeps its holds elsewhere."""
    insert, digests = BookingWrites.insert_many, Digests(use_cases.schema.secret)
    body = fresh("Ada", holdToken=str(uuid4()))
    elsewhere = {**body, "resources": ["room-2"]}
    await use_cases.holds.place_hold(PlaceHold.model_validate(elsewhere), Deadline.after(5))

    async def place_first(
        store: BookingWrites, bookings: list[Booking], *, timeout: float
    ) -> list[WriteResult]:
        holder = Holder(body["holdToken"], digests.of_name("Ada"))
        wanted = HoldRequest(bookings[0].claims, holder, unix_ms_now())
        await use_cases.hold_store.place_many([wanted], Deadline.after(5))
        return await insert(store, bookings, timeout=timeout)

    with monkeypatch.context() as patch:
        patch.setattr(BookingWrites, "insert_many", place_first)
        await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(5))
    await use_cases.clearer.drain()
    rival = BookAppointment.model_validate({**elsewhere, "patientName": "Grace", "holdToken": None})
    with pytest.raises(SlotHeld):
        await use_cases.bookings.book(rival, Deadline.after(5))


async def test_refused_booking_keeps_its_patients_hold(grid_use_cases: UseCases) -> None:
    """A patient whose booking is refused keeps the hold that covers part of it."""
    bookings, holds = grid_use_cases.bookings, grid_use_cases.holds
    body = fresh("Ada", slot="2031-05-04T10:00:00Z")
    rival = {**body, "patientName": "Grace"}
    await holds.place_hold(PlaceHold.model_validate(body), Deadline.after(5))
    second_quarter = BookAppointment.model_validate({**rival, "slot": "2031-05-04T10:15:00Z"})
    await bookings.book(second_quarter, Deadline.after(5))
    half_an_hour = BookAppointment.model_validate({**body, "durationMinutes": 30})
    with pytest.raises(SlotAlreadyBooked):
        await bookings.book(half_an_hour, Deadline.after(5))
    with pytest.raises(SlotHeld):
        await bookings.book(BookAppointment.model_validate(rival), Deadline.after(5))
