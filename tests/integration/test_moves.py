"""Moves over NATS: one write of one row claims the new place and frees the old one, or changes nothing."""

from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client

from shared.contract.commands import BookAppointment, CancelAppointment, MoveAppointment
from shared.contract.deadline import Deadline
from shared.domain.booking import Booking
from tests.integration.life import BOOKED, HELD, NO_SUCH, Life, all_at_once, is_cancelled
from tests.integration.use_cases import UseCases
from tests.slots import fresh

NINE, TEN, ELEVEN = (f"2031-05-04T{hour:02}:00:00.000Z" for hour in (9, 10, 11))


@pytest.fixture
def life(nats_connection: Client) -> Life:
    return Life(nats_connection)


def soon() -> Deadline:
    return Deadline.after(5)


async def booked(use_cases: UseCases, **more: Any) -> tuple[dict[str, Any], Booking]:
    """Book a fresh slot; return the body and the booking."""
    body = fresh(**more)
    return body, (await use_cases.bookings.book(BookAppointment.model_validate(body), soon())).booking


def free(body: dict[str, Any], **more: Any) -> BookAppointment:
    """Return a booking command that succeeds only if the place is free and not held."""
    return BookAppointment.model_validate({**body, "patientName": "Nobody Else", **more})


async def test_a_move_claims_the_new_slot_and_frees_the_old_one(life: Life) -> None:
    """After a move the old slot is free, the new one is booked, and the booking keeps its id."""
    body = fresh("Ada")
    appointment = await life.booked(body)
    answer = await life.move(appointment["id"], slot=TEN)
    moved = {**appointment, "slot": TEN, "version": 2}
    assert (answer.status, answer.body) == (200, {"message": "Booking moved", "appointment": moved})
    assert await life.found(appointment["id"]) == moved
    rival = {**body, "patientName": "Grace"}
    assert (await life.book({**rival, "slot": TEN})).body == BOOKED
    await life.booked(rival)
    assert await life.changes(appointment["id"]) == [(1, "booked", NINE), (2, "moved", TEN)]


async def test_a_move_of_resources_keeps_the_slot(life: Life) -> None:
    """A move of resources keeps the slot, and claims and frees all resources together."""
    body = fresh(resources=["doctor", "room.1"])
    appointment = await life.booked(body)
    other = await life.booked({**body, "resources": ["room.3"]})
    answer = await life.move(appointment["id"], resources=["room.3", "doctor"])
    assert (answer.status, answer.body) == (409, BOOKED)
    answer = await life.move(appointment["id"], resources=["room.2", "doctor"])
    assert answer.body["appointment"] == {**appointment, "resources": ["doctor", "room.2"], "version": 2}
    assert (await life.move(other["id"], resources=["room.1"])).status == 200


async def test_a_move_to_a_booked_slot_keeps_the_old_slot(life: Life) -> None:
    """A move to a booked slot gets 409 and changes neither booking."""
    body = fresh("Ada")
    appointment = await life.booked(body)
    other = await life.booked({**body, "slot": TEN, "patientName": "Grace"})
    for repeat in ({}, {"moveId": str(uuid4())}):
        answer = await life.move(appointment["id"], slot=TEN, **repeat)
        assert (answer.status, answer.body) == (409, BOOKED)
        assert answer.headers["error-type"] == "SlotAlreadyBooked"
    assert await life.found(appointment["id"]) == appointment
    assert await life.found(other["id"]) == other
    assert await life.changes(appointment["id"]) == [(1, "booked", NINE)]


async def test_a_move_to_its_own_slot_changes_nothing(life: Life) -> None:
    """A move to the booking's own slot, in any spelling, gets 200 and adds no history entry."""
    appointment = await life.booked(fresh())
    for where in ({"slot": "2031-05-04T11:00:00+02:00"}, {"resources": ["default"]}):
        answer = await life.move(appointment["id"], **where)
        assert (answer.status, answer.body["appointment"]) == (200, appointment)
    assert len(await life.changes(appointment["id"])) == 1


async def test_a_booking_can_move_back_to_its_old_slot(life: Life) -> None:
    """A booking can move back to its old slot; every move adds a history entry."""
    appointment = await life.booked(fresh())
    for slot in (TEN, NINE, TEN):
        assert (await life.move(appointment["id"], slot=slot)).status == 200
    slots = [slot for _, _, slot in await life.changes(appointment["id"])]
    assert slots == [NINE, TEN, NINE, TEN]


async def test_a_cancelled_or_unknown_booking_is_not_moved(life: Life) -> None:
    """A move of a cancelled booking gets 409, and a move of an unknown id gets 404."""
    appointment = await life.booked(fresh())
    cancelled = (await life.cancel(appointment["id"])).body["appointment"]
    answer = await life.move(appointment["id"], slot=TEN)
    assert (answer.status, answer.body) == (409, is_cancelled(cancelled))
    assert answer.headers["error-type"] == "AppointmentCancelled"
    for id in (str(uuid4()), "4711"):
        assert (await life.move(id, slot=TEN)).body == NO_SUCH


async def test_a_late_retry_of_a_move_moves_nothing(life: Life) -> None:
    """A late retry of a move, with its move id, does not move the booking back."""
    appointment, move_id = await life.booked(fresh()), str(uuid4())
    await life.move(appointment["id"], slot=TEN, moveId=move_id)
    await life.move(appointment["id"], slot=ELEVEN)
    answer = await life.move(appointment["id"], slot=TEN, moveId=move_id)
    assert (answer.status, answer.body["appointment"]["slot"]) == (200, ELEVEN)
    cancelled = (await life.cancel(appointment["id"])).body["appointment"]
    answer = await life.move(appointment["id"], slot=TEN, moveId=move_id)
    assert (answer.status, answer.body) == (409, is_cancelled(cancelled))
    assert [type for _, type, _ in await life.changes(appointment["id"])] == [
        "booked",
        "moved",
        "moved",
        "cancelled",
    ]


@pytest.mark.parametrize("many", [False, True], ids=["single", "many"])
async def test_racing_moves_of_one_booking_each_have_an_entry_or_are_refused(
    life: Life, nats_connection: Client, many: bool
) -> None:
    """If moves of one booking race, every 200 has a history entry, and the rest change nothing.

    The rest get AskedEarlier after a later move, or Changing if their batch runs out of rounds.
    """
    appointment = await life.booked(fresh())
    slots = [f"2031-05-04T10:{minute:02}:00.000Z" for minute in range(30)]
    commands = [{"id": appointment["id"], "slot": slot} for slot in slots]
    answers = await all_at_once(nats_connection, "booking.v1.move", commands, many=many)
    done = [slot for slot, answer in zip(slots, answers, strict=True) if answer.status == 200]
    refused = {answer.headers["error-type"] for answer in answers if answer.status != 200}
    assert done
    assert refused <= {"AskedEarlier", "Changing"}
    changes = await life.changes(appointment["id"])
    assert [version for version, _, _ in changes] == list(range(1, 2 + len(done)))
    assert sorted(slot for _, _, slot in changes[1:]) == done
    assert (await life.found(appointment["id"]))["slot"] == changes[-1][2]


@pytest.mark.parametrize("many", [False, True], ids=["single", "many"])
async def test_of_racing_moves_to_one_slot_one_succeeds(
    life: Life, nats_connection: Client, many: bool
) -> None:
    """If several bookings move to one free slot at once, one succeeds and the rest stay unchanged."""
    body = fresh()
    bookings = [await life.booked({**body, "slot": f"2031-05-04T08:{n:02}:00Z"}) for n in range(0, 60, 5)]
    commands = [{"id": booking["id"], "slot": TEN} for booking in bookings]
    answers = await all_at_once(nats_connection, "booking.v1.move", commands, many=many)
    assert sorted(answer.status for answer in answers) == [200] + [409] * 11
    for booking, answer in zip(bookings, answers, strict=True):
        moved = {"slot": TEN, "version": 2} if answer.status == 200 else {}
        assert await life.found(booking["id"]) == {**booking, **moved}


@pytest.mark.parametrize("many", [False, True], ids=["single", "many"])
async def test_two_bookings_cannot_swap_slots(life: Life, nats_connection: Client, many: bool) -> None:
    """Two bookings that move to each other's slot at once both get 409, for both slots are booked."""
    for _ in range(10):
        body = fresh()
        one, other = await life.booked(body), await life.booked({**body, "slot": TEN})
        swap = [{"id": one["id"], "slot": TEN}, {"id": other["id"], "slot": NINE}]
        answers = await all_at_once(nats_connection, "booking.v1.move", swap, many=many)
        assert [answer.body for answer in answers] == [BOOKED, BOOKED]
        assert await life.found(one["id"]) == one
        assert await life.found(other["id"]) == other


async def test_a_move_honours_holds(life: Life) -> None:
    """A move to a held slot gets 409, unless name or token own the hold, which the move then uses up."""
    body, token = fresh("Ada"), str(uuid4())
    appointment = await life.booked(body)
    await life.hold({**body, "slot": TEN, "patientName": "Grace", "holdToken": token})
    answer = await life.move(appointment["id"], slot=TEN)
    assert (answer.status, answer.body) == (409, HELD)
    assert await life.found(appointment["id"]) == appointment
    assert (await life.move(appointment["id"], slot=TEN, holdToken=token)).status == 200
    await life.hold({**body, "slot": ELEVEN})
    assert (await life.move(appointment["id"], slot=ELEVEN)).status == 200
    for slot in (TEN, NINE):  # the old slot is free, and the hold is used up
        assert (await life.book({**body, "slot": slot, "patientName": "Nobody Else"})).status == 201
    await life.cancel(appointment["id"])
    assert (await life.book({**body, "slot": ELEVEN, "patientName": "Nobody Else"})).status == 201


async def test_a_move_to_a_partly_booked_and_partly_held_target_is_refused_as_booked(life: Life) -> None:
    """A move to a target that is partly held and partly booked gets `Slot already booked`."""
    body = fresh("Ada", resources=["a"])
    appointment = await life.booked(body)
    await life.hold({**body, "resources": ["b"], "patientName": "Grace"})
    await life.booked({**body, "resources": ["c"], "patientName": "Grace"})
    assert (await life.move(appointment["id"], resources=["b", "c"])).body == BOOKED


@pytest.mark.parametrize(
    "where",
    [{"slot": "2031-05-04T09:01:00Z"}, {"durationMinutes": 4}, {"slot": "2031-05-04T09:00:00.001Z"}],
    ids=str,
)
async def test_a_move_within_its_own_cells_is_a_change(life: Life, where: dict[str, Any]) -> None:
    """A move to another slot or duration within the same cells shows in answer, reads and history."""
    appointment = await life.booked(fresh(durationMinutes=3))
    answer = await life.move(appointment["id"], **where)
    found = await life.found(appointment["id"])
    assert (answer.status, answer.body["appointment"]) == (200, found)
    at = where.get("slot", appointment["slot"])
    assert datetime.fromisoformat(found["slot"]) == datetime.fromisoformat(at)
    assert found["durationMinutes"] == where.get("durationMinutes", 3)
    assert [(1, "booked", appointment["slot"]), (2, "moved", found["slot"])] == await life.changes(
        found["id"]
    )


async def test_a_history_keeps_its_first_entry_and_the_latest(use_cases: UseCases) -> None:
    """After 130 moves a history has 100 entries: the booking, and the last 99 changes."""
    _, booking = await booked(use_cases)
    for minute in range(130):
        if minute % 10 == 0:
            await use_cases.schema.wait_until_verified()  # as a worker does every second
        slot = f"2031-05-04T1{minute // 60}:{minute % 60:02}:00Z"
        await use_cases.bookings.move(
            MoveAppointment.model_validate({"id": booking.id, "slot": slot}), soon()
        )
    cancelled = await use_cases.bookings.cancel(CancelAppointment(id=booking.id), soon())
    found = await use_cases.reads.get(booking.id, soon())
    assert found == cancelled
    assert [entry.version for entry in found.history] == [1, *range(34, 133)]
    assert [found.history[0].type, found.history[-1].type] == ["booked", "cancelled"]
