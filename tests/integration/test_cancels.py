"""Cancels: what is cancelled is free at that instant, once and for all."""

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
from shared.stores.mongo.changes import ChangeStore, CompareAndSet
from shared.stores.mongo.writes import WriteResult
from tests.integration.life import BOOKED, NO_SUCH, Life, all_at_once, is_cancelled
from tests.integration.use_cases import UseCases
from tests.slots import fresh
from tests.stack import Stack


@pytest.fixture
def life(nats_connection: Client) -> Life:
    return Life(nats_connection)


def soon() -> Deadline:
    return Deadline.after(5)


async def test_what_is_cancelled_is_free_at_once(life: Life) -> None:
    """Once a cancel is answered, its slot can be held and booked by another; the booking says cancelled."""
    body = fresh("Ada", resources=["doctor", "room"])
    appointment = await life.booked(body)
    answer = await life.cancel(appointment["id"])
    cancelled = {**appointment, "status": "cancelled", "version": 2}
    assert (answer.status, answer.body) == (200, {"message": "Booking cancelled", "appointment": cancelled})
    assert await life.found(appointment["id"]) == cancelled
    assert (await life.hold({**body, "patientName": "Grace", "resources": ["room"]})).status == 200
    again = await life.booked({**body, "patientName": "Grace"})
    assert again["id"] != appointment["id"]


async def test_a_repeat_of_a_cancel_is_answered_the_same(life: Life) -> None:
    """A cancel of what is cancelled is answered as the first, and leaves no other trace."""
    body = fresh()
    appointment = await life.booked(body)
    first = await life.cancel(appointment["id"])
    await life.booked({**body, "patientName": "Grace"})
    again = await life.cancel(appointment["id"].upper())
    assert (again.status, again.body) == (200, first.body)
    slot = appointment["slot"]
    assert await life.changes(appointment["id"]) == [(1, "booked", slot), (2, "cancelled", slot)]


@pytest.mark.parametrize("id", ["00000000-0000-4000-8000-000000000000", "4711"])
async def test_what_nobody_booked_cannot_be_cancelled(life: Life, id: str) -> None:
    """An id that is unknown, or none at all, is 404 with the name of its refusal."""
    answer = await life.cancel(id)
    assert (answer.status, answer.body) == (404, NO_SUCH)
    assert answer.headers["error-type"] == "NoSuchAppointment"


async def test_the_key_of_a_cancelled_booking_books_no_more(life: Life) -> None:
    """A late repeat of a booking that was cancelled tells of it as cancelled, and takes nothing."""
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
    """However many cancel a booking at once, each hears that it is cancelled; its history says so once."""
    appointment = await life.booked(fresh())
    commands = [{"id": appointment["id"]}] * 40
    answers = await all_at_once(nats_connection, "booking.v1.cancel", commands, many=many)
    assert {answer.status for answer in answers} == {200}
    assert [type for _, type, _ in await life.changes(appointment["id"])] == ["booked", "cancelled"]


async def test_of_many_cancels_each_is_answered_by_itself(life: Life, nats_connection: Client) -> None:
    """In one message of many an unknown id, a wrong command and good ones each get their own answer."""
    ids = [(await life.booked(fresh()))["id"] for _ in range(3)]
    commands = [{"id": ids[0]}, {"id": str(uuid4())}, {"id": 5}, {"id": ids[1]}, {"id": ids[0]}]
    answers = await all_at_once(nats_connection, "booking.v1.cancel", commands, many=True)
    assert [answer.status for answer in answers] == [200, 404, 400, 200, 200]
    assert [(await life.found(id))["status"] for id in ids] == ["cancelled", "cancelled", "booked"]


async def test_a_cancel_and_bookings_that_race(life: Life, stack: Stack) -> None:
    """A slot that is cancelled while others ask for it has one owner, or none while it is free."""
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


async def test_a_cancel_that_was_not_answered_has_one_answer(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancel that MongoDB carried out and did not answer is unknown; its repeat is a 200 as any."""
    change = ChangeStore.change_many

    async def lose(*args: Any, **more: Any) -> list[WriteResult]:
        return [WriteResult.UNKNOWN for _ in await change(*args, **more)]

    booked = await use_cases.bookings.book(BookAppointment.model_validate(fresh()), soon())
    cancel = CancelAppointment(id=booked.booking.id)
    with monkeypatch.context() as patch:
        patch.setattr(ChangeStore, "change_many", lose)
        with pytest.raises(OutcomeUnknown):
            await use_cases.bookings.cancel(cancel, soon())
    cancelled = await use_cases.bookings.cancel(cancel, soon())
    assert (cancelled.status, cancelled.version, len(cancelled.history)) == ("cancelled", 2, 2)


async def test_a_booking_that_moves_meanwhile_is_cancelled_where_it_lies(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancel whose booking was moved since it was read is judged anew: history and claims stay in step."""
    body = fresh()
    booked = await use_cases.bookings.book(BookAppointment.model_validate(body), soon())
    later = MoveAppointment(id=booked.booking.id, slot="2031-05-04T10:00:00Z")
    change, moving = ChangeStore.change_many, [later]

    async def be_late(store: ChangeStore, changes: list[CompareAndSet], **more: Any) -> list[WriteResult]:
        if moving:
            await use_cases.bookings.move(moving.pop(), soon())
        return await change(store, changes, **more)

    monkeypatch.setattr(ChangeStore, "change_many", be_late)
    cancelled = await use_cases.bookings.cancel(CancelAppointment(id=booked.booking.id), soon())
    assert [entry.type for entry in cancelled.history] == ["booked", "moved", "cancelled"]
    assert (cancelled.version, cancelled.slot) == (3, later.slot)


async def test_a_cancel_is_not_confirmed_without_the_indexes(use_cases: UseCases) -> None:
    """While the indexes are not known to be there, nothing is cancelled either."""
    booked = await use_cases.bookings.book(BookAppointment.model_validate(fresh()), soon())
    use_cases.schema._valid_until = 0
    with pytest.raises(NotExecuted):
        await use_cases.bookings.cancel(CancelAppointment(id=booked.booking.id), soon())


async def test_a_short_count_that_cannot_be_explained_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where MongoDB is lost between a cancel that may not have matched and the look at its row: 504."""

    async def lose(*_: Any, **__: Any) -> None:
        raise OutcomeUnknown

    async def be_unsure(_store: ChangeStore, changes: list[CompareAndSet], **_: Any) -> list[WriteResult]:
        return [WriteResult.UNSURE] * len(changes)

    booked = await use_cases.bookings.book(BookAppointment.model_validate(fresh()), soon())
    monkeypatch.setattr(ChangeStore, "change_many", be_unsure)
    monkeypatch.setattr(BookingStore, "find", lose)
    with pytest.raises(OutcomeUnknown):
        await use_cases.bookings.cancel(CancelAppointment(id=booked.booking.id), soon())
