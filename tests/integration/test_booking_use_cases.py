"""Decisions of a booking worker at moments that no caller can time."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from booking_worker.bookings.requests import Booked
from shared.contract.asked_at import unix_ms_now
from shared.contract.commands import BookAppointment, PlaceHold
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    HoldsUnreachable,
    NoPrimary,
    NoSuchAppointment,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    SlotAlreadyBooked,
    SlotHeld,
)
from shared.domain.booking import Booking
from shared.domain.digests import Digests
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.writes import WriteResult
from shared.stores.redis.holds import Wanted
from shared.stores.redis.intents import BookingIntent, HoldState, IntentStore
from shared.stores.redis.keys import Holder
from shared.worker.batcher import MOST_AT_ONCE
from tests.integration.breakable import until
from tests.integration.use_cases import UseCases, lost_inserts
from tests.slots import fresh


async def test_booking_that_waited_past_its_deadline_is_not_written(use_cases: UseCases) -> None:
    """A booking with a passed deadline is left out of its batch; the other bookings are written."""
    late, punctual = (BookAppointment.model_validate(fresh()) for _ in range(2))
    answers = await asyncio.gather(
        use_cases.bookings.book(late, Deadline.after(-0.1)),
        use_cases.bookings.book(punctual, Deadline.after(5)),
        return_exceptions=True,
    )
    assert isinstance(answers[0], NotExecuted)
    assert isinstance(answers[1], Booked)
    rows = await use_cases.database.get_collection("appointments").find().to_list(None)
    assert [row["site"] for row in rows] == [punctual.site]


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


async def test_bookings_of_one_batch_keep_their_own_deadlines(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bookings of one batch with similar deadlines are inserted together, with their own timeout.

    Otherwise a hasty attempt could still be in flight when its retry starts.
    """
    insert, times = BookingStore.insert_many, list[tuple[int, float]]()

    async def note(store: BookingStore, bookings: list[Booking], *, timeout: float) -> list[WriteResult]:
        times.append((len(bookings), timeout))
        return await insert(store, bookings, timeout=timeout)

    monkeypatch.setattr(BookingStore, "insert_many", note)
    deadlines = [Deadline.after(60), Deadline.after(5), Deadline.after(60)]
    await asyncio.gather(
        *(
            use_cases.bookings.book(BookAppointment.model_validate(fresh()), deadline)
            for deadline in deadlines
        )
    )
    assert [count for count, _ in sorted(times)] == [1, 2]
    assert [seconds for _, seconds in sorted(times)] == pytest.approx([5, 60], abs=4)


async def test_duplicate_without_a_booking_is_retried(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A duplicate-key error without a booking, as from a deposed primary, is retried: no false 409."""
    insert, stale = BookingStore.insert_many, [True]

    async def refuse_at_first(store: BookingStore, bookings: list[Booking], **more: Any) -> list[WriteResult]:
        if stale and stale.pop():
            return [WriteResult.DUPLICATE] * len(bookings)
        return await insert(store, bookings, **more)

    monkeypatch.setattr(BookingStore, "insert_many", refuse_at_first)
    assert await use_cases.bookings.book(BookAppointment.model_validate(fresh()), Deadline.after(5))


async def test_duplicate_that_stays_without_a_booking_is_not_executed(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If such a duplicate-key error stays, the caller gets "not executed", not a false 409."""

    async def refuse(_store: BookingStore, bookings: list[Booking], **_: Any) -> list[WriteResult]:
        return [WriteResult.DUPLICATE] * len(bookings)

    monkeypatch.setattr(BookingStore, "insert_many", refuse)
    with pytest.raises(NotExecuted):
        await use_cases.bookings.book(BookAppointment.model_validate(fresh()), Deadline.after(5))


async def test_simultaneous_reads_share_few_queries(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred simultaneous reads of unknown ids cost MongoDB a few queries."""
    get_many, asked = BookingStore.get_many, list[int]()

    async def note(store: BookingStore, ids: set[str], *, timeout: float) -> dict[str, Booking]:
        asked.append(len(ids))
        return await get_many(store, ids, timeout=timeout)

    monkeypatch.setattr(BookingStore, "get_many", note)
    answers = await asyncio.gather(
        *(use_cases.reads.get(str(uuid4()), Deadline.after(5)) for _ in range(100)),
        return_exceptions=True,
    )
    assert {type(answer) for answer in answers} == {NoSuchAppointment}
    assert sum(asked) == 100
    assert len(asked) <= MOST_AT_ONCE


async def test_hold_is_granted_once_the_booking_has_failed(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: a booking that was certainly not made leaves no intent."""

    async def refuse(_store: BookingStore, bookings: list[Booking], **_: Any) -> list[WriteResult]:
        return [WriteResult.NOT_EXECUTED] * len(bookings)

    body = fresh("Ada")
    with monkeypatch.context() as patch:
        patch.setattr(BookingStore, "insert_many", refuse)
        with pytest.raises(NotExecuted):
            await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(1))
    rival = PlaceHold.model_validate({**body, "patientName": "Grace"})
    assert (await use_cases.holds.place_hold(rival, Deadline.after(1))).seconds > 3


@pytest.mark.parametrize("loss", [OutcomeUnknown, NoPrimary])
async def test_duplicate_that_cannot_be_explained_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch, loss: type[Refused]
) -> None:
    """If MongoDB is lost between a duplicate-key error and the look for its owner, the outcome is unknown.

    It is neither 409 nor "not executed": the booking may come from an earlier attempt of the same request.
    """

    async def lose(*_: Any, **__: Any) -> None:
        raise loss

    command = BookAppointment.model_validate(fresh(idempotencyKey="order 4711"))
    await use_cases.bookings.book(command, Deadline.after(5))
    monkeypatch.setattr(BookingStore, "find", lose)
    with pytest.raises(OutcomeUnknown):
        await use_cases.bookings.book(command, Deadline.after(5))


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

    async def note_used_up(store: IntentStore, booked: Sequence[BookingIntent]) -> None:
        await use_up(store, booked)
        used_up.append(len(booked))

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
    await until(lambda: used_up == [1], "the hold is used up")
    assert cleared == [1]
    going_on.set()
    await use_cases.intents.drain()
    assert cleared == [1, 3]


async def test_booking_does_not_consume_a_later_hold(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the patient places a hold on the slot during the booking, the token keeps its holds elsewhere."""
    insert, digests = BookingStore.insert_many, Digests(use_cases.schema.secret)
    body = fresh("Ada", holdToken=str(uuid4()))
    elsewhere = {**body, "resources": ["room-2"]}
    await use_cases.holds.place_hold(PlaceHold.model_validate(elsewhere), Deadline.after(5))

    async def place_first(
        store: BookingStore, bookings: list[Booking], *, timeout: float
    ) -> list[WriteResult]:
        holder = Holder(body["holdToken"], digests.of_name("Ada"))
        wanted = Wanted(bookings[0].claims, holder, unix_ms_now())
        await use_cases.hold_store.place_many([wanted], Deadline.after(5))
        return await insert(store, bookings, timeout=timeout)

    with monkeypatch.context() as patch:
        patch.setattr(BookingStore, "insert_many", place_first)
        await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(5))
    await use_cases.intents.drain()
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


async def test_admitted_booking_is_not_inserted_once_the_index_is_lost(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A booking that was admitted with valid indexes is not inserted after the worker sees them gone."""
    register = IntentStore.register_intents

    async def register_late(store: IntentStore, *args: Any, **options: Any) -> list[HoldState]:
        states = await register(store, *args, **options)
        use_cases.schema._valid_until = 0
        return states

    monkeypatch.setattr(IntentStore, "register_intents", register_late)
    with pytest.raises(NotExecuted):
        await use_cases.bookings.book(BookAppointment.model_validate(fresh()), Deadline.after(5))
    assert await use_cases.database.get_collection("appointments").count_documents({}) == 0


async def test_insert_that_outlasts_the_index_check_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An insert that outlasts the last index check is unknown: it may not be the only booking."""
    insert = BookingStore.insert_many

    async def insert_and_lapse(*args: Any, **options: Any) -> list[WriteResult]:
        outcomes = await insert(*args, **options)
        use_cases.schema._valid_until = 0
        return outcomes

    monkeypatch.setattr(BookingStore, "insert_many", insert_and_lapse)
    with pytest.raises(OutcomeUnknown):
        await use_cases.bookings.book(BookAppointment.model_validate(fresh()), Deadline.after(5))


async def test_hasty_booking_does_not_wait_for_patient_ones(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With MongoDB stalled, a booking is answered by its own deadline, not by its batch's."""

    async def stall(_store: BookingStore, bookings: list[Booking], *, timeout: float) -> list[WriteResult]:
        await asyncio.sleep(timeout)
        return [WriteResult.UNKNOWN] * len(bookings)

    monkeypatch.setattr(BookingStore, "insert_many", stall)
    patient = [
        asyncio.create_task(
            use_cases.bookings.book(BookAppointment.model_validate(fresh()), Deadline.after(60))
        )
        for _ in range(20)
    ]
    with pytest.raises(OutcomeUnknown):
        await use_cases.bookings.book(BookAppointment.model_validate(fresh()), Deadline.after(0.3))
    assert not any(task.done() for task in patient)
    for task in patient:
        task.cancel()
    await asyncio.gather(*patient, return_exceptions=True)


async def test_large_bookings_do_not_starve_small_ones(grid_use_cases: UseCases) -> None:
    """However many bookings of 576 claims arrive at once, bookings of one claim are made too."""
    large = [
        BookAppointment(**fresh(durationMinutes=24 * 60, resources=[f"r{n}" for n in range(6)]))
        for _ in range(60)
    ]
    small = [BookAppointment.model_validate(fresh()) for _ in range(20)]
    answers = await asyncio.gather(
        *(grid_use_cases.bookings.book(command, Deadline.after(20)) for command in (*large, *small))
    )
    assert {answer.booking.status for answer in answers} == {"booked"}


async def test_every_booking_of_a_chain_of_overlaps_is_decided(grid_use_cases: UseCases) -> None:
    """In a chain of 20 bookings that overlap their predecessors, every booking is decided."""
    body = fresh("Ada", durationMinutes=30)
    first = BookAppointment.model_validate(body)
    chain = [first.model_copy(update={"slot": first.slot + timedelta(minutes=15 * n)}) for n in range(20)]
    answers = await asyncio.gather(
        *(grid_use_cases.bookings.book(command, Deadline.after(10)) for command in chain),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [Booked, SlotAlreadyBooked] * 10
