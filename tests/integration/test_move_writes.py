"""Moves, called as use cases: lost, stale and refused writes, and the holds and intents of targets."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from shared.contract.asked_at import unix_ms_now
from shared.contract.commands import MoveAppointment, PlaceHold
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    NotExecuted,
    OutcomeUnknown,
    SlotAlreadyBooked,
    SlotHeld,
)
from shared.stores.mongo import writes as changes
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites, CompareAndSet
from tests.integration.test_moves import ELEVEN, TEN, booked, free, soon
from tests.integration.use_cases import UseCases


async def test_a_refused_move_uses_up_no_hold_and_leaves_no_intent(use_cases: UseCases) -> None:
    """A refused move keeps its patient's hold, and leaves no intent that refuses holds of its target."""
    body, booking = await booked(use_cases, patient="Ada", resources=["a"])
    await use_cases.bookings.book(free(body, resources=["c"]), soon())
    await use_cases.holds.place_hold(PlaceHold.model_validate({**body, "resources": ["b"]}), soon())
    with pytest.raises(SlotAlreadyBooked):
        await use_cases.bookings.move(MoveAppointment(id=booking.id, resources=("b", "c", "d")), soon())
    with pytest.raises(SlotHeld):
        await use_cases.bookings.book(free(body, resources=["b"]), soon())
    rival = PlaceHold.model_validate({**body, "resources": ["d"], "patientName": "Grace"})
    assert await use_cases.holds.place_hold(rival, soon())


async def test_no_hold_is_granted_while_a_move_may_still_be_made(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A move that MongoDB did not answer keeps its intent, which refuses holds of the target."""

    async def lose(_store: BookingWrites, changes: list[CompareAndSet], **_: Any) -> list[WriteResult]:
        return [WriteResult.UNKNOWN] * len(changes)

    body, booking = await booked(use_cases, patient="Ada")
    with monkeypatch.context() as patch:
        patch.setattr(BookingWrites, "change_many", lose)
        with pytest.raises(OutcomeUnknown):
            await use_cases.bookings.move(MoveAppointment(id=booking.id, slot=TEN), Deadline.after(1))
    rival = PlaceHold.model_validate({**body, "slot": TEN, "patientName": "Grace"})
    async with asyncio.timeout(4):
        with pytest.raises(NotExecuted):
            await use_cases.holds.place_hold(rival, Deadline.after(0.2))


async def test_an_unanswered_move_is_carried_out_once(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A move whose answer from MongoDB is lost is unknown; its retry finds the move and writes nothing."""
    change = BookingWrites.change_many

    async def lose(*args: Any, **more: Any) -> list[WriteResult]:
        return [WriteResult.UNKNOWN for _ in await change(*args, **more)]

    _, booking = await booked(use_cases)
    move = MoveAppointment(id=booking.id, slot=TEN, moveId=str(uuid4()))
    with monkeypatch.context() as patch:
        patch.setattr(BookingWrites, "change_many", lose)
        with pytest.raises(OutcomeUnknown):
            await use_cases.bookings.move(move, soon())
    moved = await use_cases.bookings.move(move, soon())
    assert [entry.type for entry in moved.history] == ["booked", "moved"]
    assert (moved.version, moved.slot) == (2, move.slot)


async def test_moves_of_a_partly_matched_batch_know_their_own_outcome(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If some updates of a batch match no row, every move finds its own outcome and is written once."""
    change, racing, asked = BookingWrites.change_many, [True], unix_ms_now()
    bookings = [(await booked(use_cases))[1] for _ in range(4)]

    async def be_late(store: BookingWrites, changes: list[CompareAndSet], **more: Any) -> list[WriteResult]:
        if racing and racing.pop():
            rival = MoveAppointment(id=changes[0].before.id, slot=ELEVEN)
            await use_cases.bookings.move(rival, soon(), asked_at=asked)
        return await change(store, changes, **more)

    monkeypatch.setattr(BookingWrites, "change_many", be_late)
    moves = [MoveAppointment(id=booking.id, slot=TEN) for booking in bookings]
    moved = await asyncio.gather(*(use_cases.bookings.move(move, soon()) for move in moves))
    assert {booking.slot for booking in moved} == {moves[0].slot}
    assert sorted(len(booking.history) for booking in moved) == [2, 2, 2, 3]


async def test_control_without_compare_and_set_a_version_occurs_twice(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: if an update matches its row by id alone, two moves write the same version."""
    change, racing = BookingWrites.change_many, [True]
    _, booking = await booked(use_cases)

    async def be_late(store: BookingWrites, planned: list[CompareAndSet], **more: Any) -> list[WriteResult]:
        if racing and racing.pop():
            await use_cases.bookings.move(MoveAppointment(id=booking.id, slot=ELEVEN), soon())
        return await change(store, planned, **more)

    monkeypatch.setattr(BookingWrites, "change_many", be_late)
    monkeypatch.setattr(changes, "_as_read", lambda read: {"_id": read.id})
    await use_cases.bookings.move(MoveAppointment(id=booking.id, slot=TEN), soon())
    found = await use_cases.reads.get(booking.id, soon())
    assert [entry.version for entry in found.history] == [1, 2, 2]


async def test_a_stale_duplicate_error_refuses_no_move(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A duplicate error without a booking, as from a deposed primary, is retried and causes no false 409."""
    change, stale = BookingWrites.change_many, [True]

    async def refuse_at_first(
        store: BookingWrites, changes: list[CompareAndSet], **more: Any
    ) -> list[WriteResult]:
        if stale and stale.pop():
            return [WriteResult.DUPLICATE] * len(changes)
        return await change(store, changes, **more)

    monkeypatch.setattr(BookingWrites, "change_many", refuse_at_first)
    body, booking = await booked(use_cases)
    assert (await use_cases.bookings.move(MoveAppointment(id=booking.id, slot=TEN), soon())).version == 2
    assert await use_cases.bookings.book(free(body), soon())


async def test_a_lasting_stale_duplicate_error_gets_503(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a duplicate error without a booking persists, the move is not executed: 503, and no false 409."""

    async def refuse(_store: BookingWrites, changes: list[CompareAndSet], **_: Any) -> list[WriteResult]:
        return [WriteResult.DUPLICATE] * len(changes)

    _, booking = await booked(use_cases)
    monkeypatch.setattr(BookingWrites, "change_many", refuse)
    with pytest.raises(NotExecuted):
        await use_cases.bookings.move(MoveAppointment(id=booking.id, slot=TEN), soon())


async def test_a_retry_without_a_majority_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry that cannot read behind the barrier is unknown: the move may have been carried out before."""

    async def lose(*_: Any, **__: Any) -> None:
        raise OutcomeUnknown

    _, booking = await booked(use_cases)
    move = MoveAppointment(id=booking.id, slot=TEN, moveId=str(uuid4()))
    await use_cases.bookings.move(move, soon())
    monkeypatch.setattr(BookingStore, "find", lose)
    with pytest.raises(OutcomeUnknown):
        await use_cases.bookings.move(move, soon())
