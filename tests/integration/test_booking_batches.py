"""Bookings in one batch of a worker: their own deadlines and decisions."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from booking_worker.bookings.requests import Booked
from shared.contract.commands import BookAppointment
from shared.contract.deadline import Deadline
from shared.contract.errors import NoSuchAppointment, NotExecuted, OutcomeUnknown, SlotAlreadyBooked
from shared.domain.booking import Booking
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites
from shared.worker.batcher import MOST_AT_ONCE
from tests.integration.use_cases import UseCases
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


async def test_bookings_of_one_batch_keep_their_own_deadlines(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bookings of one batch with similar deadlines are inserted together, with their own timeout.

    Otherwise a hasty attempt could still be in flight when its retry starts.
    """
    insert, times = BookingWrites.insert_many, list[tuple[int, float]]()

    async def note(store: BookingWrites, bookings: list[Booking], *, timeout: float) -> list[WriteResult]:
        times.append((len(bookings), timeout))
        return await insert(store, bookings, timeout=timeout)

    monkeypatch.setattr(BookingWrites, "insert_many", note)
    deadlines = [Deadline.after(60), Deadline.after(5), Deadline.after(60)]
    await asyncio.gather(
        *(
            use_cases.bookings.book(BookAppointment.model_validate(fresh()), deadline)
            for deadline in deadlines
        )
    )
    assert [count for count, _ in sorted(times)] == [1, 2]
    assert [seconds for _, seconds in sorted(times)] == pytest.approx([5, 60], abs=4)


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


async def test_hasty_booking_does_not_wait_for_patient_ones(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With MongoDB stalled, a booking is answered by its own deadline, not by its batch's."""

    async def stall(_store: BookingWrites, bookings: list[Booking], *, timeout: float) -> list[WriteResult]:
        await asyncio.sleep(timeout)
        return [WriteResult.UNKNOWN] * len(bookings)

    monkeypatch.setattr(BookingWrites, "insert_many", stall)
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
