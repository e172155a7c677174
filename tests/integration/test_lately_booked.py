"""A booking of a slot that was recently refused is read first, and refused again without a write."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from shared.contract.asked_at import unix_ms_now
from shared.contract.commands import BookAppointment, CancelAppointment, MoveAppointment
from shared.contract.deadline import Deadline
from shared.contract.errors import SlotAlreadyBooked
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites
from shared.stores.redis.holds import HoldRequest, Placed
from shared.stores.redis.intents import IntentStore
from shared.stores.redis.keys import Holder, keys_of
from tests.integration.use_cases import UseCases
from tests.slots import fresh

TEN, ELEVEN = "2030-01-07T10:00:00Z", "2030-01-07T11:00:00Z"


def soon() -> Deadline:
    return Deadline.after(5)


async def refuse(use_cases: UseCases, body: dict[str, Any]) -> None:
    with pytest.raises(SlotAlreadyBooked):
        await use_cases.bookings.book(BookAppointment.model_validate({**body, "patientName": "Bob"}), soon())


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the writes from now on: `insert`, `intent` or `change`."""
    done: list[str] = []
    insert, register = BookingWrites.insert_many, IntentStore.register_intents
    change = BookingWrites.change_many

    async def noting_insert(
        store: BookingWrites, bookings: Sequence[Booking], **more: Any
    ) -> list[WriteResult]:
        done.append("insert")
        return await insert(store, bookings, **more)

    async def noting_register(store: IntentStore, intents: Any, **more: Any) -> Any:
        done.extend(["intent"] if intents else [])
        return await register(store, intents, **more)

    async def noting_change(store: BookingWrites, changes: Any, **more: Any) -> list[WriteResult]:
        done.append("change")
        return await change(store, changes, **more)

    monkeypatch.setattr(BookingWrites, "insert_many", noting_insert)
    monkeypatch.setattr(IntentStore, "register_intents", noting_register)
    monkeypatch.setattr(BookingWrites, "change_many", noting_change)
    return done


async def test_a_slot_recently_refused_is_refused_without_a_write(
    use_cases: UseCases, written: list[str]
) -> None:
    """The first refusal of a slot costs an insert that fails; the next cost neither insert nor intent."""
    body = fresh(slot=TEN)
    await use_cases.bookings.book(BookAppointment.model_validate(body), soon())
    await refuse(use_cases, body)
    assert written == ["intent", "insert"] * 2
    written.clear()
    for _ in range(3):
        await refuse(use_cases, body)
    assert written == []


async def test_a_move_to_a_slot_recently_refused_writes_nothing(
    use_cases: UseCases, written: list[str]
) -> None:
    """A move to a slot that was recently refused writes nothing to MongoDB or Redis."""
    body = fresh(slot=TEN)
    await use_cases.bookings.book(BookAppointment.model_validate(body), soon())
    moved = await use_cases.bookings.book(BookAppointment.model_validate({**body, "slot": ELEVEN}), soon())
    await refuse(use_cases, body)
    written.clear()
    with pytest.raises(SlotAlreadyBooked):
        await use_cases.bookings.move(MoveAppointment(id=moved.booking.id, slot=TEN), soon())
    assert written == []


async def test_a_slot_recently_refused_is_booked_once_it_is_free(use_cases: UseCases) -> None:
    """A slot that was recently refused is booked by the first request after it is cancelled."""
    body = fresh(slot=TEN)
    ada = await use_cases.bookings.book(BookAppointment.model_validate(body), soon())
    for _ in range(2):
        await refuse(use_cases, body)
    await use_cases.bookings.cancel(CancelAppointment(id=ada.booking.id), soon())
    bob = BookAppointment.model_validate({**body, "patientName": "Bob"})
    assert (await use_cases.bookings.book(bob, soon())).booking.status == "booked"


async def test_a_replay_on_a_slot_recently_refused_gets_its_booking(use_cases: UseCases) -> None:
    """The read before the write also finds the booking of the request's own key."""
    body = {**fresh(slot=TEN), "idempotencyKey": "web-4711"}
    ada = await use_cases.bookings.book(BookAppointment.model_validate(body), soon())
    await refuse(use_cases, {name: value for name, value in body.items() if name != "idempotencyKey"})
    again = await use_cases.bookings.book(BookAppointment.model_validate(body), soon())
    assert (again.booking.id, again.replayed) == (ada.booking.id, True)


async def test_a_replay_on_a_slot_recently_refused_uses_up_its_hold(use_cases: UseCases) -> None:
    """A replay removes its patient's hold: the worker that booked may have died before it removed it."""
    body = fresh(slot=TEN)
    command = BookAppointment.model_validate({**body, "idempotencyKey": "web-4711"})
    await use_cases.bookings.book(command, soon())
    await refuse(use_cases, body)
    grid, digest = Grid(0), Digests(use_cases.schema.secret).of_name(command.patientName)
    claims = Claims.of(command, grid.slot_range(command))
    wanted = HoldRequest(claims, Holder(str(uuid4()), digest), unix_ms_now())
    (placed,) = await use_cases.hold_store.place_many([wanted], soon())
    assert isinstance(placed, Placed)
    await use_cases.hold_store.grant_many([(wanted, placed)])
    assert (await use_cases.bookings.book(command, soon())).replayed
    await use_cases.clearer.drain()
    assert not await use_cases.redis.exists(*keys_of(claims))
