"""Moves: one write of one row, which takes the new place and leaves the old, or leaves all as it was."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client

from shared.contract.asked_at import unix_ms_now
from shared.contract.commands import BookAppointment, CancelAppointment, MoveAppointment, PlaceHold
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    InvalidRequest,
    NotExecuted,
    OutcomeUnknown,
    SlotAlreadyBooked,
    SlotHeld,
)
from shared.domain.booking import Booking
from shared.stores.mongo import changes
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.changes import ChangeStore, CompareAndSet
from shared.stores.mongo.writes import WriteResult
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
    """A body, and the booking that it makes."""
    body = fresh(**more)
    return body, (await use_cases.bookings.book(BookAppointment.model_validate(body), soon())).booking


def free(body: dict[str, Any], **more: Any) -> BookAppointment:
    """A booking that succeeds if the place is free and nobody else holds it."""
    return BookAppointment.model_validate({**body, "patientName": "Nobody Else", **more})


async def test_a_move_takes_the_new_place_and_leaves_the_old(life: Life) -> None:
    """Once a move is answered, the old slot is free and the new one is not; it is the same booking."""
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
    """What a move does not say stays as it is; resources are taken and left all together."""
    body = fresh(resources=["doctor", "room.1"])
    appointment = await life.booked(body)
    other = await life.booked({**body, "resources": ["room.3"]})
    answer = await life.move(appointment["id"], resources=["room.3", "doctor"])
    assert (answer.status, answer.body) == (409, BOOKED)
    answer = await life.move(appointment["id"], resources=["room.2", "doctor"])
    assert answer.body["appointment"] == {**appointment, "resources": ["doctor", "room.2"], "version": 2}
    assert (await life.move(other["id"], resources=["room.1"])).status == 200


async def test_a_taken_target_leaves_the_booking_where_it_was(life: Life) -> None:
    """A move to where another is booked is 409, and neither booking has changed."""
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


async def test_a_move_to_where_it_is_changes_nothing(life: Life) -> None:
    """A move to its own place, however it is spelled, is 200 and no entry of the history."""
    appointment = await life.booked(fresh())
    for where in ({"slot": "2031-05-04T11:00:00+02:00"}, {"resources": ["default"]}):
        answer = await life.move(appointment["id"], **where)
        assert (answer.status, answer.body["appointment"]) == (200, appointment)
    assert len(await life.changes(appointment["id"])) == 1


async def test_there_and_back(life: Life) -> None:
    """A booking may return to where it was; each move is an entry."""
    appointment = await life.booked(fresh())
    for slot in (TEN, NINE, TEN):
        assert (await life.move(appointment["id"], slot=slot)).status == 200
    slots = [slot for _, _, slot in await life.changes(appointment["id"])]
    assert slots == [NINE, TEN, NINE, TEN]


async def test_what_is_cancelled_or_unknown_is_not_moved(life: Life) -> None:
    """A move of a cancelled booking is 409, one of what nobody booked is 404."""
    appointment = await life.booked(fresh())
    cancelled = (await life.cancel(appointment["id"])).body["appointment"]
    answer = await life.move(appointment["id"], slot=TEN)
    assert (answer.status, answer.body) == (409, is_cancelled(cancelled))
    assert answer.headers["error-type"] == "AppointmentCancelled"
    for id in (str(uuid4()), "4711"):
        assert (await life.move(id, slot=TEN)).body == NO_SUCH


async def test_a_repeat_of_a_move_is_not_another(life: Life) -> None:
    """A late repeat of a move that was carried out, known by its id, does not take the booking back."""
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
async def test_movers_of_one_booking(life: Life, nats_connection: Client, many: bool) -> None:
    """Of many who move one booking at once, each that gets 200 has an entry; the others changed nothing.

    Those were asked before one that is done, or travel in a message whose others wait for no more rounds.
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
async def test_movers_to_one_slot(life: Life, nats_connection: Client, many: bool) -> None:
    """Of many bookings that move to one free slot at once, one gets there, and the others stay."""
    body = fresh()
    bookings = [await life.booked({**body, "slot": f"2031-05-04T08:{n:02}:00Z"}) for n in range(0, 60, 5)]
    commands = [{"id": booking["id"], "slot": TEN} for booking in bookings]
    answers = await all_at_once(nats_connection, "booking.v1.move", commands, many=many)
    assert sorted(answer.status for answer in answers) == [200] + [409] * 11
    for booking, answer in zip(bookings, answers, strict=True):
        moved = {"slot": TEN, "version": 2} if answer.status == 200 else {}
        assert await life.found(booking["id"]) == {**booking, **moved}


@pytest.mark.parametrize("many", [False, True], ids=["single", "many"])
async def test_two_bookings_that_swap(life: Life, nats_connection: Client, many: bool) -> None:
    """Of two bookings that move to each other's place at once, neither does: both places are taken."""
    for _ in range(10):
        body = fresh()
        one, other = await life.booked(body), await life.booked({**body, "slot": TEN})
        swap = [{"id": one["id"], "slot": TEN}, {"id": other["id"], "slot": NINE}]
        answers = await all_at_once(nats_connection, "booking.v1.move", swap, many=many)
        assert [answer.body for answer in answers] == [BOOKED, BOOKED]
        assert await life.found(one["id"]) == one
        assert await life.found(other["id"]) == other


async def test_a_move_honours_holds(life: Life) -> None:
    """A move to where another holds is 409; its own patient's hold, by name or by token, it uses up."""
    body, token = fresh("Ada"), str(uuid4())
    appointment = await life.booked(body)
    await life.hold({**body, "slot": TEN, "patientName": "Grace", "holdToken": token})
    answer = await life.move(appointment["id"], slot=TEN)
    assert (answer.status, answer.body) == (409, HELD)
    assert await life.found(appointment["id"]) == appointment
    assert (await life.move(appointment["id"], slot=TEN, holdToken=token)).status == 200
    await life.hold({**body, "slot": ELEVEN})
    assert (await life.move(appointment["id"], slot=ELEVEN)).status == 200
    for slot in (TEN, NINE):  # what it left is free, and what it used up holds nothing
        assert (await life.book({**body, "slot": slot, "patientName": "Nobody Else"})).status == 201
    await life.cancel(appointment["id"])
    assert (await life.book({**body, "slot": ELEVEN, "patientName": "Nobody Else"})).status == 201


async def test_booked_wins_over_held(life: Life) -> None:
    """Where a target is held in part and booked in part, a move hears that it is booked."""
    body = fresh("Ada", resources=["a"])
    appointment = await life.booked(body)
    await life.hold({**body, "resources": ["b"], "patientName": "Grace"})
    await life.booked({**body, "resources": ["c"], "patientName": "Grace"})
    assert (await life.move(appointment["id"], resources=["b", "c"])).body == BOOKED


async def test_a_move_that_fails_uses_up_no_hold_and_leaves_no_intent(use_cases: UseCases) -> None:
    """After a refused move its patient's hold stands, and others are granted holds of what it wanted."""
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
    """A move that MongoDB did not answer stays under way, for holds of its target: it may be made yet."""

    async def lose(_store: ChangeStore, changes: list[CompareAndSet], **_: Any) -> list[WriteResult]:
        return [WriteResult.UNKNOWN] * len(changes)

    body, booking = await booked(use_cases, patient="Ada")
    with monkeypatch.context() as patch:
        patch.setattr(ChangeStore, "change_many", lose)
        with pytest.raises(OutcomeUnknown):
            await use_cases.bookings.move(MoveAppointment(id=booking.id, slot=TEN), Deadline.after(1))
    rival = PlaceHold.model_validate({**body, "slot": TEN, "patientName": "Grace"})
    async with asyncio.timeout(4):
        with pytest.raises(NotExecuted):
            await use_cases.holds.place_hold(rival, Deadline.after(0.2))


async def test_a_move_that_was_not_answered_is_not_made_twice(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A move that MongoDB carried out and did not answer is unknown; its repeat finds it, made once."""
    change = ChangeStore.change_many

    async def lose(*args: Any, **more: Any) -> list[WriteResult]:
        return [WriteResult.UNKNOWN for _ in await change(*args, **more)]

    _, booking = await booked(use_cases)
    move = MoveAppointment(id=booking.id, slot=TEN, moveId=str(uuid4()))
    with monkeypatch.context() as patch:
        patch.setattr(ChangeStore, "change_many", lose)
        with pytest.raises(OutcomeUnknown):
            await use_cases.bookings.move(move, soon())
    moved = await use_cases.bookings.move(move, soon())
    assert [entry.type for entry in moved.history] == ["booked", "moved"]
    assert (moved.version, moved.slot) == (2, move.slot)


async def test_a_short_count_is_told_apart_by_the_rows(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of moves of which MongoDB says that some did not match, each knows its own write; none is doubled."""
    change, racing, asked = ChangeStore.change_many, [True], unix_ms_now()
    bookings = [(await booked(use_cases))[1] for _ in range(4)]

    async def be_late(store: ChangeStore, changes: list[CompareAndSet], **more: Any) -> list[WriteResult]:
        if racing and racing.pop():
            rival = MoveAppointment(id=changes[0].before.id, slot=ELEVEN)
            await use_cases.bookings.move(rival, soon(), asked_at=asked)
        return await change(store, changes, **more)

    monkeypatch.setattr(ChangeStore, "change_many", be_late)
    moves = [MoveAppointment(id=booking.id, slot=TEN) for booking in bookings]
    moved = await asyncio.gather(*(use_cases.bookings.move(move, soon()) for move in moves))
    assert {booking.slot for booking in moved} == {moves[0].slot}
    assert sorted(len(booking.history) for booking in moved) == [2, 2, 2, 3]


async def test_control_without_compare_and_set_a_history_is_wrong(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: where a change matches its row however it stands, two movers make one version twice."""
    change, racing = ChangeStore.change_many, [True]
    _, booking = await booked(use_cases)

    async def be_late(store: ChangeStore, planned: list[CompareAndSet], **more: Any) -> list[WriteResult]:
        if racing and racing.pop():
            await use_cases.bookings.move(MoveAppointment(id=booking.id, slot=ELEVEN), soon())
        return await change(store, planned, **more)

    monkeypatch.setattr(ChangeStore, "change_many", be_late)
    monkeypatch.setattr(changes, "_as_read", lambda read: {"_id": read.id})
    await use_cases.bookings.move(MoveAppointment(id=booking.id, slot=TEN), soon())
    found = await use_cases.reads.get(booking.id, soon())
    assert [entry.version for entry in found.history] == [1, 2, 2]


async def test_a_stale_index_refuses_no_move(use_cases: UseCases, monkeypatch: pytest.MonkeyPatch) -> None:
    """A duplicate of which no booking is found, as of a deposed primary, is tried again: no false 409."""
    change, stale = ChangeStore.change_many, [True]

    async def refuse_at_first(
        store: ChangeStore, changes: list[CompareAndSet], **more: Any
    ) -> list[WriteResult]:
        if stale and stale.pop():
            return [WriteResult.DUPLICATE] * len(changes)
        return await change(store, changes, **more)

    monkeypatch.setattr(ChangeStore, "change_many", refuse_at_first)
    body, booking = await booked(use_cases)
    assert (await use_cases.bookings.move(MoveAppointment(id=booking.id, slot=TEN), soon())).version == 2
    assert await use_cases.bookings.book(free(body), soon())


async def test_an_index_that_stays_stale_moves_nothing(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where such a duplicate stays, the mover hears that nothing was done, and no false 409."""

    async def refuse(_store: ChangeStore, changes: list[CompareAndSet], **_: Any) -> list[WriteResult]:
        return [WriteResult.DUPLICATE] * len(changes)

    _, booking = await booked(use_cases)
    monkeypatch.setattr(ChangeStore, "change_many", refuse)
    with pytest.raises(NotExecuted):
        await use_cases.bookings.move(MoveAppointment(id=booking.id, slot=TEN), soon())


async def test_a_repeat_that_finds_no_majority_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A move that was carried out before, of which that cannot be read behind the barrier, is no 503."""

    async def lose(*_: Any, **__: Any) -> None:
        raise OutcomeUnknown

    _, booking = await booked(use_cases)
    move = MoveAppointment(id=booking.id, slot=TEN, moveId=str(uuid4()))
    await use_cases.bookings.move(move, soon())
    monkeypatch.setattr(BookingStore, "find", lose)
    with pytest.raises(OutcomeUnknown):
        await use_cases.bookings.move(move, soon())


async def test_on_a_grid_a_move_keeps_what_it_does_not_say(grid_use_cases: UseCases) -> None:
    """Slot and duration move by themselves; what overlaps the booking's own old place is no obstacle."""
    body, booking = await booked(grid_use_cases, durationMinutes=45)
    for where, slot, minutes in (
        ({"slot": "2031-05-04T09:15:00Z"}, (9, 15), 45),
        ({"durationMinutes": 60}, (9, 15), 60),
        ({"slot": TEN, "durationMinutes": 15}, (10, 0), 15),
    ):
        moved = await grid_use_cases.bookings.move(
            MoveAppointment.model_validate({"id": booking.id, **where}), soon()
        )
        assert (moved.slot, moved.duration) == (datetime(2031, 5, 4, *slot, tzinfo=UTC), minutes)
        assert len(moved.claims.keys) == minutes // 15
    await grid_use_cases.bookings.book(free(body, durationMinutes=60), soon())


@pytest.mark.parametrize(
    ("where", "field"),
    [
        ({"slot": "9999-12-31T23:45:00Z"}, "slot"),
        ({"durationMinutes": 1440, "resources": [f"r{n}" for n in range(7)]}, "600"),
    ],
    ids=str,
)
async def test_a_move_to_what_cannot_be_booked_is_refused(
    grid_use_cases: UseCases, where: dict[str, Any], field: str
) -> None:
    """What a booking may not ask for, a move may not either, and the sentence names it."""
    _, booking = await booked(grid_use_cases)
    with pytest.raises(InvalidRequest, match=field):
        await grid_use_cases.bookings.move(
            MoveAppointment.model_validate({"id": booking.id, **where}), soon()
        )


async def test_without_a_grid_a_move_has_no_duration(use_cases: UseCases) -> None:
    """On a grid of 0 a move with a duration is refused, as a booking is."""
    _, booking = await booked(use_cases)
    with pytest.raises(InvalidRequest, match="durationMinutes"):
        await use_cases.bookings.move(MoveAppointment(id=booking.id, durationMinutes=15), soon())


@pytest.mark.parametrize(
    "where",
    [{"slot": "2031-05-04T09:01:00Z"}, {"durationMinutes": 4}, {"slot": "2031-05-04T09:00:00.001Z"}],
    ids=str,
)
async def test_a_move_within_its_own_cells_is_a_change(life: Life, where: dict[str, Any]) -> None:
    """What keeps its claims and not its place is moved: the answer, the reads and the history say so."""
    appointment = await life.booked(fresh(durationMinutes=3))
    answer = await life.move(appointment["id"], **where)
    told = await life.found(appointment["id"])
    assert (answer.status, answer.body["appointment"]) == (200, told)
    at = where.get("slot", appointment["slot"])
    assert datetime.fromisoformat(told["slot"]) == datetime.fromisoformat(at)
    assert told["durationMinutes"] == where.get("durationMinutes", 3)
    assert [(1, "booked", appointment["slot"]), (2, "moved", told["slot"])] == await life.changes(told["id"])


async def test_moves_of_large_bookings_leave_room(grid_use_cases: UseCases) -> None:
    """Moves of hundreds of claims each, more than one batch takes, are all made."""
    large = {"durationMinutes": 24 * 60, "resources": [f"r{n}" for n in range(6)]}
    bookings = [(await booked(grid_use_cases, **large))[1] for _ in range(12)]
    moves = [MoveAppointment.model_validate({"id": each.id, "slot": TEN}) for each in bookings]
    moved = await asyncio.gather(*(grid_use_cases.bookings.move(move, Deadline.after(20)) for move in moves))
    assert {len(booking.claims.keys) for booking in moved} == {576}


async def test_a_history_keeps_its_first_entry_and_the_latest(use_cases: UseCases) -> None:
    """After 130 moves a history has 100 entries: how it was booked, and the last 99 changes."""
    _, booking = await booked(use_cases)
    for minute in range(130):
        if minute % 10 == 0:
            await use_cases.schema.wait_until_verified()  # a worker looks each second
        slot = f"2031-05-04T1{minute // 60}:{minute % 60:02}:00Z"
        await use_cases.bookings.move(
            MoveAppointment.model_validate({"id": booking.id, "slot": slot}), soon()
        )
    cancelled = await use_cases.bookings.cancel(CancelAppointment(id=booking.id), soon())
    found = await use_cases.reads.get(booking.id, soon())
    assert found == cancelled
    assert [entry.version for entry in found.history] == [1, *range(34, 133)]
    assert [found.history[0].type, found.history[-1].type] == ["booked", "cancelled"]
