"""A move's 409 is final: its epoch makes an earlier attempt that arrives late fail."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client

from booking_worker.bookings.move_finality import MoveRefusals
from shared.contract.commands import CancelAppointment, MoveAppointment
from shared.contract.deadline import Deadline
from shared.contract.errors import OutcomeUnknown, SlotAlreadyBooked
from shared.domain.booking import Booking
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites, CompareAndSet
from tests.integration.final_refusals import TEN, Late, lose, of, soon
from tests.integration.life import BOOKED, Life
from tests.integration.use_cases import UseCases
from tests.slots import fresh


async def refused_after_a_lost_move(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> tuple[Late, Booking]:
    """Lose a move's first attempt, get a 409 for its retry, and cancel the booking that caused it."""
    body = fresh()
    ada = (await use_cases.bookings.book(of(body, "Ada"), soon())).booking
    move = MoveAppointment.model_validate({"id": ada.id, "slot": TEN, "moveId": str(uuid4())})
    late = await lose(
        monkeypatch, BookingWrites, "change_many", lambda: use_cases.bookings.move(move, soon())
    )
    grace = await use_cases.bookings.book(of({**body, "slot": TEN}, "Grace"), soon())
    with pytest.raises(SlotAlreadyBooked):
        await use_cases.bookings.move(move, soon())
    await use_cases.bookings.cancel(CancelAppointment(id=grace.booking.id), soon())
    return late, ada


async def test_move_that_lands_after_the_409_does_nothing(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt of a refused move fails on the epoch; the booking can still be moved."""
    late, ada = await refused_after_a_lost_move(use_cases, monkeypatch)
    assert await late() == [WriteResult.UNSURE]
    found = await use_cases.reads.get(ada.id, soon())
    assert (found.slot, found.version, found.history) == (ada.slot, 1, ada.history)
    move = MoveAppointment.model_validate({"id": ada.id, "slot": TEN})
    assert (await use_cases.bookings.move(move, soon())).version == 2


async def test_without_the_epoch_the_late_move_moves(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: if a refused move leaves the epoch unchanged, its late attempt moves the booking."""

    async def believe(_fences: MoveRefusals, judged: dict[Any, Any], _deadline: Deadline) -> dict[Any, Any]:
        return judged

    monkeypatch.setattr(MoveRefusals, "make_final", believe)
    late, _ = await refused_after_a_lost_move(use_cases, monkeypatch)
    assert await late() == [WriteResult.DONE]


async def test_move_that_lands_before_the_epoch_write_is_done(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the first attempt lands before its retry raises the epoch, the retry answers 200."""
    body = fresh()
    ada = (await use_cases.bookings.book(of(body, "Ada"), soon())).booking
    move = MoveAppointment.model_validate({"id": ada.id, "slot": TEN, "moveId": str(uuid4())})
    late = await lose(
        monkeypatch, BookingWrites, "change_many", lambda: use_cases.bookings.move(move, soon())
    )
    grace = await use_cases.bookings.book(of({**body, "slot": TEN}, "Grace"), soon())
    raise_epoch = BookingWrites.advance_epochs

    async def raise_epoch_late(
        store: BookingWrites, changes: list[CompareAndSet], **more: Any
    ) -> list[WriteResult]:
        await use_cases.bookings.cancel(CancelAppointment(id=grace.booking.id), soon())
        assert await late() == [WriteResult.DONE]
        return await raise_epoch(store, changes, **more)

    monkeypatch.setattr(BookingWrites, "advance_epochs", raise_epoch_late)
    moved = await use_cases.bookings.move(move, soon())
    assert (moved.slot, moved.version) == (move.slot, 2)


async def test_refused_move_without_a_new_epoch_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the epoch cannot be raised, the outcome is unknown: a 409 would not be final."""

    async def fail(_store: BookingWrites, bookings: list[Any], **_: Any) -> list[WriteResult]:
        return [WriteResult.UNKNOWN] * len(bookings)

    body = fresh()
    ada = (await use_cases.bookings.book(of(body, "Ada"), soon())).booking
    await use_cases.bookings.book(of({**body, "slot": TEN}, "Grace"), soon())
    move = MoveAppointment.model_validate({"id": ada.id, "slot": TEN})
    monkeypatch.setattr(BookingWrites, "advance_epochs", fail)
    with pytest.raises(OutcomeUnknown):
        await use_cases.bookings.move(move, soon())


async def test_simultaneous_refused_moves_of_one_booking_all_end(
    nats_connection: Client,
) -> None:
    """Simultaneous moves of one booking to a taken slot all get 409 or AskedEarlier."""
    life, body = Life(nats_connection), fresh()
    ada = await life.booked(body)
    await life.booked({**body, "slot": TEN, "patientName": "Grace"})
    answers = await asyncio.gather(*(life.move(ada["id"], slot=TEN) for _ in range(30)))
    assert {answer.headers["error-type"] for answer in answers} <= {"SlotAlreadyBooked", "AskedEarlier"}
    assert BOOKED in [answer.body for answer in answers]
