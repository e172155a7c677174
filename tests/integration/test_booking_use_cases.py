"""What a booking worker decides in moments that no caller can time."""

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
from shared.stores.redis.holds import HoldRequest
from shared.stores.redis.intents import BookingIntent, HoldState, IntentStore
from shared.stores.redis.keys import Holder
from shared.worker.batcher import MOST_AT_ONCE
from tests.integration.breakable import until
from tests.integration.use_cases import UseCases, lost_inserts
from tests.slots import fresh


async def test_a_booking_that_waited_past_its_deadline_is_not_written(use_cases: UseCases) -> None:
    """Of commands that are committed together, one whose deadline has passed is left out, and it alone."""
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


async def test_no_hold_is_granted_while_a_booking_may_still_be_made(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A booking that MongoDB did not answer stays under way, for holds: it may be carried out yet."""

    body = fresh("Ada")
    rival = PlaceHold.model_validate({**body, "patientName": "Grace"})
    with lost_inserts(monkeypatch), pytest.raises(OutcomeUnknown):
        await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(1))
    async with asyncio.timeout(4):  # and not until the booking's own time is up
        with pytest.raises(NotExecuted):
            await use_cases.holds.place_hold(rival, Deadline.after(0.2))
    await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(5))


async def test_a_booking_is_not_executed_beyond_its_own_deadline(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of bookings that come together, those due together are committed together, each in its own time.

    A hasty one that ran as long as a patient one would still be under way when its next attempt is.
    """
    insert, times = BookingStore.insert_many, list[tuple[int, float]]()

    async def note(store: BookingStore, bookings: list[Booking], *, timeout: float) -> list[WriteResult]:
        times.append((len(bookings), timeout))
        return await insert(store, bookings, timeout=timeout)

    monkeypatch.setattr(BookingStore, "insert_many", note)
    deadlines = [Deadline.after(60), Deadline.after(5), Deadline.after(60)]
    await asyncio.gather(
        *(use_cases.bookings.book(BookAppointment.model_validate(fresh()), each) for each in deadlines)
    )
    assert [count for count, _ in sorted(times)] == [1, 2]
    assert [seconds for _, seconds in sorted(times)] == pytest.approx([5, 60], abs=4)


async def test_a_stale_index_refuses_nobody(use_cases: UseCases, monkeypatch: pytest.MonkeyPatch) -> None:
    """A duplicate of which no booking is found, as of a deposed primary, is tried again: no false 409."""
    insert, stale = BookingStore.insert_many, [True]

    async def refuse_at_first(store: BookingStore, bookings: list[Booking], **more: Any) -> list[WriteResult]:
        if stale and stale.pop():
            return [WriteResult.DUPLICATE] * len(bookings)
        return await insert(store, bookings, **more)

    monkeypatch.setattr(BookingStore, "insert_many", refuse_at_first)
    assert await use_cases.bookings.book(BookAppointment.model_validate(fresh()), Deadline.after(5))


async def test_an_index_that_stays_stale_executes_nothing(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where such a duplicate stays, the caller hears that nothing was done, and no false 409."""

    async def refuse(_store: BookingStore, bookings: list[Booking], **_: Any) -> list[WriteResult]:
        return [WriteResult.DUPLICATE] * len(bookings)

    monkeypatch.setattr(BookingStore, "insert_many", refuse)
    with pytest.raises(NotExecuted):
        await use_cases.bookings.book(BookAppointment.model_validate(fresh()), Deadline.after(5))


async def test_reads_of_one_moment_are_one_read(use_cases: UseCases, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ids are asked for at once, and known to nobody, MongoDB is asked a few times."""
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


async def test_a_hold_is_granted_once_a_booking_is_known_to_have_failed(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: a booking that was certainly not made is under way no longer."""

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
async def test_a_refusal_that_cannot_be_explained_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch, loss: type[Refused]
) -> None:
    """Where MongoDB is lost between an insert that met a booking and the look for whose, nobody hears 409.

    Nor that nothing was done: the booking may be the request's own, made by an earlier attempt.
    """

    async def lose(*_: Any, **__: Any) -> None:
        raise loss

    command = BookAppointment.model_validate(fresh(idempotencyKey="order 4711"))
    await use_cases.bookings.book(command, Deadline.after(5))
    monkeypatch.setattr(BookingStore, "find", lose)
    with pytest.raises(OutcomeUnknown):
        await use_cases.bookings.book(command, Deadline.after(5))


async def test_a_hold_that_cannot_be_released_costs_no_booking(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis lost after a booking was made, and before its hold is released: it is confirmed all the same."""

    async def lose(*_: Any) -> None:
        raise HoldsUnreachable

    body = fresh("Ada")
    await use_cases.holds.place_hold(PlaceHold.model_validate(body), Deadline.after(5))
    monkeypatch.setattr(IntentStore, "use_up_holds", lose)
    booked = await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(5))
    assert booked.booking.status == "booked"


async def test_intents_are_cleared_together_while_others_are_being_cleared(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold that was booked is used up at once; intents gather while Redis is busy."""
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


async def test_a_booking_uses_up_no_hold_that_came_after_it(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A patient who asks for a hold of what is being booked keeps what the same token holds elsewhere."""
    insert, digests = BookingStore.insert_many, Digests(use_cases.schema.secret)
    body = fresh("Ada", holdToken=str(uuid4()))
    elsewhere = {**body, "resources": ["room-2"]}
    await use_cases.holds.place_hold(PlaceHold.model_validate(elsewhere), Deadline.after(5))

    async def place_first(
        store: BookingStore, bookings: list[Booking], *, timeout: float
    ) -> list[WriteResult]:
        holder = Holder(body["holdToken"], digests.of_name("Ada"))
        wanted = HoldRequest(bookings[0].claims, holder, unix_ms_now())
        await use_cases.hold_store.place_many([wanted], Deadline.after(5))
        return await insert(store, bookings, timeout=timeout)

    with monkeypatch.context() as patch:
        patch.setattr(BookingStore, "insert_many", place_first)
        await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(5))
    await use_cases.intents.drain()
    rival = BookAppointment.model_validate({**elsewhere, "patientName": "Grace", "holdToken": None})
    with pytest.raises(SlotHeld):
        await use_cases.bookings.book(rival, Deadline.after(5))


async def test_a_refused_booking_leaves_its_patients_hold(grid_use_cases: UseCases) -> None:
    """A patient whose booking is refused keeps the hold that covers a part of it."""
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


async def test_a_booking_under_way_is_not_made_once_the_index_is_lost(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A booking that was let in while the indexes stood is not inserted after they were seen to be gone."""
    register = IntentStore.register_intents

    async def register_late(store: IntentStore, *args: Any, **options: Any) -> list[HoldState]:
        states = await register(store, *args, **options)
        use_cases.schema._valid_until = 0
        return states

    monkeypatch.setattr(IntentStore, "register_intents", register_late)
    with pytest.raises(NotExecuted):
        await use_cases.bookings.book(BookAppointment.model_validate(fresh()), Deadline.after(5))
    assert await use_cases.database.get_collection("appointments").count_documents({}) == 0


async def test_what_was_inserted_while_the_look_lapsed_is_not_confirmed(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A booking whose insert outlasts the last look at the indexes is not known to be the only one."""
    insert = BookingStore.insert_many

    async def insert_and_lapse(*args: Any, **options: Any) -> list[WriteResult]:
        outcomes = await insert(*args, **options)
        use_cases.schema._valid_until = 0
        return outcomes

    monkeypatch.setattr(BookingStore, "insert_many", insert_and_lapse)
    with pytest.raises(OutcomeUnknown):
        await use_cases.bookings.book(BookAppointment.model_validate(fresh()), Deadline.after(5))


async def test_a_hasty_booking_is_answered_beside_patient_ones(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With MongoDB stalled each is answered by its own deadline, not by that of those it came with."""

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


async def test_large_bookings_leave_room_for_small_ones(grid_use_cases: UseCases) -> None:
    """However many bookings of 576 claims come at once, those of one claim beside them are made."""
    large = [
        BookAppointment(**fresh(durationMinutes=24 * 60, resources=[f"r{n}" for n in range(6)]))
        for _ in range(60)
    ]
    small = [BookAppointment.model_validate(fresh()) for _ in range(20)]
    answers = await asyncio.gather(
        *(grid_use_cases.bookings.book(command, Deadline.after(20)) for command in (*large, *small))
    )
    assert {answer.booking.status for answer in answers} == {"booked"}


async def test_each_of_a_chain_of_overlaps_is_decided(grid_use_cases: UseCases) -> None:
    """However long a chain of bookings is of which each overlaps the last, none is sent away undecided."""
    body = fresh("Ada", durationMinutes=30)
    first = BookAppointment.model_validate(body)
    chain = [first.model_copy(update={"slot": first.slot + timedelta(minutes=15 * n)}) for n in range(20)]
    answers = await asyncio.gather(
        *(grid_use_cases.bookings.book(each, Deadline.after(10)) for each in chain), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [Booked, SlotAlreadyBooked] * 10
