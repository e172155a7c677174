"""What a booking worker decides in moments that no caller can time."""

import asyncio
from typing import Any

import pytest

from booking_worker.service import Booked
from shared.contract.commands import BookAppointment, PlaceHold
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    NoPrimary,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    SlotAlreadyBooked,
    SlotHeld,
)
from shared.domain.booking import Booking
from shared.stores.mongo.bookings import BookingStore, Inserted
from shared.stores.redis.claims import HoldState
from shared.stores.redis.holds import HoldStore
from shared.stores.redis.scripts import HoldsUnreachable
from tests.integration.use_cases import UseCases
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
    assert [row["resource"] for row in rows] == [punctual.resource]


async def test_no_hold_is_granted_while_a_booking_may_still_be_made(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A booking that MongoDB did not answer stays under way, for holds: it may be carried out yet."""

    async def lose(_store: BookingStore, bookings: list[Booking], **_: Any) -> list[Inserted]:
        return [Inserted.UNKNOWN] * len(bookings)

    body = fresh("Ada")
    rival = PlaceHold.model_validate({**body, "patientName": "Grace"})
    with monkeypatch.context() as patch:
        patch.setattr(BookingStore, "insert_many", lose)
        with pytest.raises(OutcomeUnknown):
            await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(1))
    async with asyncio.timeout(4):  # and not until the booking's own time is up
        with pytest.raises(NotExecuted):
            await use_cases.holds.place_hold(rival, Deadline.after(0.2))
    await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(5))


async def test_a_booking_is_under_way_until_its_deadline(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bookings that are committed together are under way, for holds, until the last of their deadlines."""
    enter, under_way = HoldStore.register_intents, list[float]()

    async def note(*args: Any, seconds: float) -> Any:
        under_way.append(seconds)
        return await enter(*args, seconds=seconds)

    monkeypatch.setattr(HoldStore, "register_intents", note)
    commands = (BookAppointment.model_validate(fresh()) for _ in range(2))
    deadlines = Deadline.after(5), Deadline.after(60)
    await asyncio.gather(
        *(use_cases.bookings.book(*asked) for asked in zip(commands, deadlines, strict=True))
    )
    assert len(under_way) == 1
    assert under_way[0] == pytest.approx(60, abs=10)


async def test_a_hold_is_granted_once_a_booking_is_known_to_have_failed(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: a booking that was certainly not made is under way no longer."""

    async def refuse(_store: BookingStore, bookings: list[Booking], **_: Any) -> list[Inserted]:
        return [Inserted.NOT_EXECUTED] * len(bookings)

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
    monkeypatch.setattr(BookingStore, "find_by_keys", lose)
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
    monkeypatch.setattr(HoldStore, "clear_intents", lose)
    booked = await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(5))
    assert booked.booking.status == "booked"


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
    enter = HoldStore.register_intents

    async def enter_late(store: HoldStore, *args: Any, **options: Any) -> list[HoldState | None]:
        states = await enter(store, *args, **options)
        use_cases.schema.verified = False
        return states

    monkeypatch.setattr(HoldStore, "register_intents", enter_late)
    with pytest.raises(NotExecuted):
        await use_cases.bookings.book(BookAppointment.model_validate(fresh()), Deadline.after(5))
    assert await use_cases.database.get_collection("appointments").count_documents({}) == 0
