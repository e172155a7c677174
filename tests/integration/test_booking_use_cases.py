"""Decisions of a booking worker at moments that no caller can time."""

from typing import Any

import pytest

from shared.contract.commands import BookAppointment
from shared.contract.deadline import Deadline
from shared.contract.errors import NoPrimary, NotExecuted, OutcomeUnknown, Refused
from shared.domain.booking import Booking
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites
from shared.stores.redis.intents import HoldState, IntentStore
from tests.integration.use_cases import UseCases
from tests.slots import fresh


async def test_duplicate_without_a_booking_is_retried(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A duplicate-key error without a booking, as from a deposed primary, is retried: no false 409."""
    insert, stale = BookingWrites.insert_many, [True]

    async def refuse_at_first(
        store: BookingWrites, bookings: list[Booking], **more: Any
    ) -> list[WriteResult]:
        if stale and stale.pop():
            return [WriteResult.DUPLICATE] * len(bookings)
        return await insert(store, bookings, **more)

    monkeypatch.setattr(BookingWrites, "insert_many", refuse_at_first)
    assert await use_cases.bookings.book(BookAppointment.model_validate(fresh()), Deadline.after(5))


async def test_duplicate_that_stays_without_a_booking_is_not_executed(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If such a duplicate-key error stays, the caller gets "not executed", not a false 409."""

    async def refuse(_store: BookingWrites, bookings: list[Booking], **_: Any) -> list[WriteResult]:
        return [WriteResult.DUPLICATE] * len(bookings)

    monkeypatch.setattr(BookingWrites, "insert_many", refuse)
    with pytest.raises(NotExecuted):
        await use_cases.bookings.book(BookAppointment.model_validate(fresh()), Deadline.after(5))


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
    insert = BookingWrites.insert_many

    async def insert_and_lapse(*args: Any, **options: Any) -> list[WriteResult]:
        outcomes = await insert(*args, **options)
        use_cases.schema._valid_until = 0
        return outcomes

    monkeypatch.setattr(BookingWrites, "insert_many", insert_and_lapse)
    with pytest.raises(OutcomeUnknown):
        await use_cases.bookings.book(BookAppointment.model_validate(fresh()), Deadline.after(5))
