"""A cancel frees its slot at once, and is final."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client
from pymongo import MongoClient

from shared.contract.commands import BookAppointment, CancelAppointment, MoveAppointment
from shared.contract.deadline import Deadline
from shared.contract.errors import NotExecuted, OutcomeUnknown
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites, CompareAndSet
from tests.integration.life import BOOKED, NO_SUCH, Life, all_at_once, is_cancelled
from tests.integration.use_cases import UseCases
from tests.slots import fresh
from tests.stack import Stack


@pytest.fixture
def life(nats_connection: Client) -> Life:
    return Life(nats_connection)


def soon() -> Deadline:
    return Deadline.after(5)


async def test_cancelled_slot_is_free_at_once(life: Life) -> None:
    """Once a cancel is answered, its slot can be held and booked; the booking reads as cancelled."""
    body = fresh("Ada", resources=["doctor", "room"])
    appointment = await life.booked(body)
    answer = await life.cancel(appointment["id"])
    cancelled = {**appointment, "status": "cancelled", "version": 2}
    assert (answer.status, answer.body) == (200, {"message": "Booking cancelled", "appointment": cancelled})
    assert await life.found(appointment["id"]) == cancelled
    assert (await life.hold({**body, "patientName": "Grace", "resources": ["room"]})).status == 200
    again = await life.booked({**body, "patientName": "Grace"})
    assert again["id"] != appointment["id"]


async def test_retry_of_a_cancel_gets_the_same_answer(life: Life) -> None:
    """A second cancel of a booking gets the first one's answer and adds nothing to its history."""
    body = fresh()
    appointment = await life.booked(body)
    first = await life.cancel(appointment["id"])
    await life.booked({**body, "patientName": "Grace"})
    again = await life.cancel(appointment["id"].upper())
    assert (again.status, again.body) == (200, first.body)
    slot = appointment["slot"]
    assert await life.changes(appointment["id"]) == [(1, "booked", slot), (2, "cancelled", slot)]


@pytest.mark.parametrize("id", ["00000000-0000-4000-8000-000000000000", "4711"])
async def test_unknown_id_cannot_be_cancelled(life: Life, id: str) -> None:
    """A cancel of an unknown or malformed id is 404 NoSuchAppointment."""
    answer = await life.cancel(id)
    assert (answer.status, answer.body) == (404, NO_SUCH)
    assert answer.headers["error-type"] == "NoSuchAppointment"


async def test_replay_of_a_cancelled_booking_books_nothing(life: Life) -> None:
    """A late retry of a cancelled booking gets 409 with the appointment, and takes no claim."""
    body = fresh(idempotencyKey="order 4711")
    appointment = await life.booked(body)
    cancelled = (await life.cancel(appointment["id"])).body["appointment"]
    answer = await life.book(body)
    assert (answer.status, answer.body) == (409, is_cancelled(cancelled))
    assert (await life.book({**body, "patientName": "Grace", "idempotencyKey": None})).status == 201


@pytest.mark.parametrize("many", [False, True], ids=["single", "many"])
async def test_simultaneous_cancels_of_one_booking_are_one(
    life: Life, nats_connection: Client, many: bool
) -> None:
    """Forty simultaneous cancels of one booking all get 200; its history has one cancel."""
    appointment = await life.booked(fresh())
    commands = [{"id": appointment["id"]}] * 40
    answers = await all_at_once(nats_connection, "booking.v1.cancel", commands, many=many)
    assert {answer.status for answer in answers} == {200}
    assert [type for _, type, _ in await life.changes(appointment["id"])] == ["booked", "cancelled"]


async def test_cancels_of_a_batch_get_their_own_answers(life: Life, nats_connection: Client) -> None:
    """An unknown id, a malformed command and valid cancels in one batch get their own answers."""
    ids = [(await life.booked(fresh()))["id"] for _ in range(3)]
    commands = [{"id": ids[0]}, {"id": str(uuid4())}, {"id": 5}, {"id": ids[1]}, {"id": ids[0]}]
    answers = await all_at_once(nats_connection, "booking.v1.cancel", commands, many=True)
    assert [answer.status for answer in answers] == [200, 404, 400, 200, 200]
    assert [(await life.found(id))["status"] for id in ids] == ["cancelled", "cancelled", "booked"]


async def test_cancel_races_with_bookings(life: Life, stack: Stack) -> None:
    """A slot that is cancelled while bookings race for it has at most one owner."""
    for _ in range(15):
        body = fresh("Ada")
        first = await life.booked(body)
        rivals = [life.book({**body, "patientName": f"Rival {n}"}) for n in range(6)]
        cancelled, *answers = await asyncio.gather(life.cancel(first["id"]), *rivals)
        assert cancelled.status == 200
        winners = [answer for answer in answers if answer.status == 201]
        assert len(winners) <= 1
        assert all(answer.body == BOOKED for answer in answers if answer.status != 201)
        last = await life.book({**body, "patientName": "Last"})
        assert last.status == (409 if winners else 201)
        with MongoClient[dict[str, Any]](stack.env["MONGO_URI"]) as client:
            rows = client.get_default_database()["appointments"]
            assert rows.count_documents({"site": body["site"], "status": "booked"}) == 1


async def test_unanswered_cancel_is_unknown_and_its_retry_is_200(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancel that MongoDB carried out but did not answer is unknown; its retry is 200."""
    change = BookingWrites.change_many

    async def lose(*args: Any, **more: Any) -> list[WriteResult]:
        return [WriteResult.UNKNOWN for _ in await change(*args, **more)]

    booked = await use_cases.bookings.book(BookAppointment.model_validate(fresh()), soon())
    cancel = CancelAppointment(id=booked.booking.id)
    with monkeypatch.context() as patch:
        patch.setattr(BookingWrites, "change_many", lose)
        with pytest.raises(OutcomeUnknown):
            await use_cases.bookings.cancel(cancel, soon())
    cancelled = await use_cases.bookings.cancel(cancel, soon())
    assert (cancelled.status, cancelled.version, len(cancelled.history)) == ("cancelled", 2, 2)


async def test_cancel_that_loses_to_a_move_is_judged_again(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancel whose compare-and-set loses to a move is judged again: history and claims stay consistent."""
    body = fresh()
    booked = await use_cases.bookings.book(BookAppointment.model_validate(body), soon())
    later = MoveAppointment(id=booked.booking.id, slot="2031-05-04T10:00:00Z")
    change, moving = BookingWrites.change_many, [later]

    async def be_late(store: BookingWrites, changes: list[CompareAndSet], **more: Any) -> list[WriteResult]:
        if moving:
            await use_cases.bookings.move(moving.pop(), soon())
        return await change(store, changes, **more)

    monkeypatch.setattr(BookingWrites, "change_many", be_late)
    cancelled = await use_cases.bookings.cancel(CancelAppointment(id=booked.booking.id), soon())
    assert [entry.type for entry in cancelled.history] == ["booked", "moved", "cancelled"]
    assert (cancelled.version, cancelled.slot) == (3, later.slot)


async def test_cancel_is_not_executed_without_verified_indexes(use_cases: UseCases) -> None:
    """While the indexes are not verified, a cancel is not executed."""
    booked = await use_cases.bookings.book(BookAppointment.model_validate(fresh()), soon())
    use_cases.schema._valid_until = 0
    with pytest.raises(NotExecuted):
        await use_cases.bookings.cancel(CancelAppointment(id=booked.booking.id), soon())


async def test_unmatched_cancel_that_cannot_be_explained_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If MongoDB is lost between an unmatched cancel and the read of its row, the outcome is unknown."""

    async def lose(*_: Any, **__: Any) -> None:
        raise OutcomeUnknown

    async def be_unsure(_store: BookingWrites, changes: list[CompareAndSet], **_: Any) -> list[WriteResult]:
        return [WriteResult.UNSURE] * len(changes)

    booked = await use_cases.bookings.book(BookAppointment.model_validate(fresh()), soon())
    monkeypatch.setattr(BookingWrites, "change_many", be_unsure)
    monkeypatch.setattr(BookingStore, "find", lose)
    with pytest.raises(OutcomeUnknown):
        await use_cases.bookings.cancel(CancelAppointment(id=booked.booking.id), soon())
