"""What a hold worker decides in moments that no caller can time."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from math import inf
from typing import Any
from uuid import uuid4

import pytest

from hold_worker.service import Held
from shared.contract.commands import BookAppointment, PlaceHold
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    BeingBooked,
    HoldsUnreachable,
    NoPrimary,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    SlotAlreadyBooked,
    SlotHeld,
)
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.stores.mongo.bookings import COLLECTION, BookingStore, Found
from shared.stores.mongo.writes import Written
from shared.stores.redis.holds import HoldStore, Wanted
from shared.stores.redis.keys import Holder, keys_of
from shared.stores.redis.scripts import Scripts
from tests.integration.use_cases import UseCases, lost_inserts
from tests.slots import fresh


def quarters_of(hold: PlaceHold) -> list[BookAppointment]:
    """What another patient asks for: the first quarter of a hold, and the second."""
    return [
        BookAppointment(slot=hold.slot + timedelta(minutes=n), site=hold.site, patientName="Grace")
        for n in (0, 15)
    ]


async def book_unseen(use_cases: UseCases, command: BookAppointment) -> Booking:
    """Book a slot as a worker does that cannot reach Redis."""
    rival = Booking.new(command, Grid(0).span_of(command), Digests(use_cases.schema.secret))
    assert await BookingStore(use_cases.database).insert_many([rival], timeout=5) == [Written.DONE]
    return rival


def wanted(hold: PlaceHold, grid: Grid) -> Wanted:
    """What a hold wants, and for whom."""
    return Wanted(Claims.of(hold, grid.span_of(hold)), Holder(hold.holdToken or "", "digest"))


def refuse(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Have Redis refuse a script, as one that takes no writes does."""
    run = Scripts.run

    async def run_or_refuse(scripts: Scripts, name: str, *args: Any) -> Any:
        if name == script:
            raise HoldsUnreachable
        return await run(scripts, name, *args)

    monkeypatch.setattr(Scripts, "run", run_or_refuse)


async def test_a_booking_that_is_decided_while_a_hold_looks_is_seen(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MongoDB is read after Redis has said that nothing is under way: what was decided meanwhile is seen."""
    body, entered, going_on = fresh("Ada"), asyncio.Event(), asyncio.Event()
    insert, look = BookingStore.insert_many, BookingStore.find

    async def insert_late(*args: Any, **options: Any) -> list[Written]:
        entered.set()
        await going_on.wait()
        return await insert(*args, **options)

    async def look_and_let_it_be_booked(*args: Any, **options: Any) -> Found:
        seen = await look(*args, **options)
        if not going_on.is_set():
            going_on.set()
            await booking
        return seen

    monkeypatch.setattr(BookingStore, "insert_many", insert_late)
    monkeypatch.setattr(BookingStore, "find", look_and_let_it_be_booked)
    booking = asyncio.create_task(
        use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(5))
    )
    await entered.wait()
    rival = PlaceHold.model_validate({**body, "patientName": "Grace"})
    with pytest.raises(SlotAlreadyBooked):
        await use_cases.holds.place_hold(rival, Deadline.after(5))


async def test_an_extension_that_cannot_be_verified_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold that was extended, without a look at the bookings, is not said to be untouched; it stands."""

    async def lose(*_: Any, **__: Any) -> None:
        raise OutcomeUnknown

    body = fresh("Ada", holdToken=str(uuid4()))
    hold = PlaceHold.model_validate(body)
    await use_cases.holds.place_hold(hold, Deadline.after(5))
    with monkeypatch.context() as patch:
        patch.setattr(BookingStore, "find", lose)
        with pytest.raises(OutcomeUnknown):
            await use_cases.holds.place_hold(hold, Deadline.after(5))
    rival = BookAppointment.model_validate({**body, "patientName": "Grace", "holdToken": None})
    with pytest.raises(SlotHeld):
        await use_cases.bookings.book(rival, Deadline.after(5))


async def test_an_extension_that_is_partly_new_and_cannot_be_verified_is_unknown(
    grid_use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold of which a part was granted before is not said to be untouched where the rest is not known."""

    async def lose(*_: Any, **__: Any) -> None:
        raise NotExecuted

    body, holds = fresh("Ada", holdToken=str(uuid4())), grid_use_cases.holds
    longer = PlaceHold.model_validate({**body, "durationMinutes": 30})
    await holds.place_hold(PlaceHold.model_validate(body), Deadline.after(5))
    monkeypatch.setattr(BookingStore, "find", lose)
    with pytest.raises(OutcomeUnknown):
        await holds.place_hold(longer, Deadline.after(5))


async def test_a_hold_that_cannot_be_withdrawn_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold that was set, and could be neither verified nor withdrawn, is not said not to stand."""

    async def lose_primary(*_: Any, **__: Any) -> None:
        raise NoPrimary

    monkeypatch.setattr(BookingStore, "find", lose_primary)
    refuse(monkeypatch, "withdraw_holds")
    with pytest.raises(OutcomeUnknown):
        await use_cases.holds.place_hold(PlaceHold.model_validate(fresh()), Deadline.after(5))


async def test_a_hold_that_cannot_be_granted_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold that was set, and of which Redis will not note that it is granted, is not said not to stand."""
    refuse(monkeypatch, "grant_holds")
    with pytest.raises(OutcomeUnknown):
        await use_cases.holds.place_hold(PlaceHold.model_validate(fresh()), Deadline.after(5))


async def test_a_hold_that_is_lost_before_it_is_granted_is_unknown(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is promised a hold that Redis lost while MongoDB was read."""
    hold, look = PlaceHold.model_validate(fresh(holdToken=str(uuid4()))), BookingStore.find

    async def look_while_it_is_lost(*args: Any, **options: Any) -> Found:
        await use_cases.redis.delete(*keys_of(wanted(hold, Grid(0)).claims))
        return await look(*args, **options)

    monkeypatch.setattr(BookingStore, "find", look_while_it_is_lost)
    with pytest.raises(OutcomeUnknown):
        await use_cases.holds.place_hold(hold, Deadline.after(5))


async def test_what_a_worker_left_that_died_is_withdrawn(grid_use_cases: UseCases) -> None:
    """A hold that was set and never granted does not keep a slot: its refused repeat withdraws all of it."""
    hold = PlaceHold.model_validate(fresh("Ada", durationMinutes=30, holdToken=str(uuid4())))
    first, second = quarters_of(hold)
    await book_unseen(grid_use_cases, first)
    await grid_use_cases.hold_store.place_many([wanted(hold, Grid(15))], Deadline.after(60))
    with pytest.raises(SlotAlreadyBooked):
        await grid_use_cases.holds.place_hold(hold, Deadline.after(5))
    assert await grid_use_cases.bookings.book(second, Deadline.after(5))


async def test_an_extension_that_is_refused_leaves_what_was_granted(grid_use_cases: UseCases) -> None:
    """Who holds a quarter, and cannot have the next, for it is booked, holds the first still."""
    hold = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4())))
    first, second = quarters_of(hold)
    await grid_use_cases.holds.place_hold(hold, Deadline.after(5))
    await book_unseen(grid_use_cases, second)
    with pytest.raises(SlotAlreadyBooked):
        await grid_use_cases.holds.place_hold(
            hold.model_copy(update={"durationMinutes": 30}), Deadline.after(5)
        )
    with pytest.raises(SlotHeld):
        await grid_use_cases.bookings.book(first, Deadline.after(5))


async def test_an_extension_that_is_refused_does_not_change_whose_a_hold_is(grid_use_cases: UseCases) -> None:
    """Who asks for more with another's token, and is refused, cannot book what is held by his own name."""
    hold = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4())))
    first, second = quarters_of(hold)
    await grid_use_cases.holds.place_hold(hold, Deadline.after(5))
    await book_unseen(grid_use_cases, second)
    more = hold.model_copy(update={"durationMinutes": 30, "patientName": first.patientName})
    with pytest.raises(SlotAlreadyBooked):
        await grid_use_cases.holds.place_hold(more, Deadline.after(5))
    with pytest.raises(SlotHeld):
        await grid_use_cases.bookings.book(first, Deadline.after(5))


async def test_a_hold_does_not_wait_for_a_more_patient_one(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of holds that are looked up together, each is answered by its own deadline, and nothing is left."""
    look, going_on = BookingStore.find, asyncio.Event()

    async def look_late(*args: Any, timeout: float, **options: Any) -> Found:
        try:
            async with asyncio.timeout(timeout):
                await going_on.wait()
        except TimeoutError:
            raise OutcomeUnknown from None
        return await look(*args, timeout=timeout, **options)

    monkeypatch.setattr(BookingStore, "find", look_late)
    patient, hasty = (PlaceHold.model_validate(fresh("Ada")) for _ in range(2))
    waiting = asyncio.create_task(use_cases.holds.place_hold(patient, Deadline.after(60)))
    with pytest.raises(NotExecuted):
        await use_cases.holds.place_hold(hasty, Deadline.after(0.2))
    going_on.set()
    assert (await waiting).token
    rival = {**hasty.model_dump(), "patientName": "Grace"}
    assert await use_cases.bookings.book(BookAppointment.model_validate(rival), Deadline.after(5))


async def test_a_hold_keeps_no_companions_waiting(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where others wait for its answer, a hold does not wait long for a booking that may be made."""

    body = fresh("Ada")
    with lost_inserts(monkeypatch), pytest.raises(OutcomeUnknown):
        await use_cases.bookings.book(BookAppointment(**body), Deadline.after(5))
    rival = PlaceHold(**{**body, "patientName": "Grace"})
    deadline = Deadline.after(60)
    with pytest.raises(BeingBooked):
        await use_cases.holds.place_hold(rival, deadline, alone=False)
    assert deadline.remaining > 30


async def test_no_hold_is_granted_after_its_deadline(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was frozen while it looked, and goes on late, grants nothing and leaves nothing."""
    look = BookingStore.find

    async def look_and_freeze(*args: Any, **options: Any) -> Found:
        found = await look(*args, **options)
        time.sleep(1.2)  # noqa: ASYNC251  # the whole process stands still
        return found

    hold = PlaceHold.model_validate(fresh("Ada"))
    with monkeypatch.context() as patch:
        patch.setattr(BookingStore, "find", look_and_freeze)
        with pytest.raises((NotExecuted, OutcomeUnknown)):
            await use_cases.holds.place_hold(hold, Deadline.after(1))
    rival = {**hold.model_dump(), "patientName": "Grace"}
    assert await use_cases.bookings.book(BookAppointment.model_validate(rival), Deadline.after(5))


async def test_no_hold_is_granted_where_the_schema_is_not_verified(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that slept while it looked may not know of another grid: it grants nothing."""
    look = BookingStore.find

    async def look_and_sleep(*args: Any, **options: Any) -> Found:
        found = await look(*args, **options)
        monkeypatch.setattr(use_cases.schema, "_valid_until", -inf)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(BookingStore, "find", look_and_sleep)
        with pytest.raises(NotExecuted):
            await use_cases.holds.place_hold(PlaceHold.model_validate(fresh("Ada")), Deadline.after(5))


async def test_a_cancelled_booking_keeps_no_hold_away(use_cases: UseCases) -> None:
    """A slot whose booking has been cancelled is free to be held."""
    body = fresh("Ada")
    booked = await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(5))
    await use_cases.database[COLLECTION].update_one(
        {"_id": booked.booking.id}, {"$set": {"status": "cancelled"}}
    )
    assert await use_cases.holds.place_hold(
        PlaceHold.model_validate({**body, "patientName": "Grace"}), Deadline.after(5)
    )


async def test_holds_together_are_each_refused_for_their_own_slot(use_cases: UseCases) -> None:
    """Of holds that are looked up together, those of booked slots are refused, and the others granted."""
    bodies = [fresh("Ada") for _ in range(6)]
    for body in bodies[::2]:
        await use_cases.bookings.book(BookAppointment.model_validate(body), Deadline.after(5))
    placed = await asyncio.gather(
        *(use_cases.holds.place_hold(PlaceHold.model_validate(body), Deadline.after(5)) for body in bodies),
        return_exceptions=True,
    )
    assert [isinstance(each, SlotAlreadyBooked) for each in placed] == [True, False] * 3
    assert [isinstance(each, Held) for each in placed] == [False, True] * 3


async def test_a_hold_is_taken_off_a_slot_that_is_booked(use_cases: UseCases) -> None:
    """Who extends a hold over a booking, made while Redis could not be asked, loses it: freed is free."""
    body = fresh("Ada", holdToken=str(uuid4()))
    hold = PlaceHold.model_validate(body)
    await use_cases.holds.place_hold(hold, Deadline.after(5))
    command = BookAppointment.model_validate({**body, "patientName": "Grace", "holdToken": None})
    rival = await book_unseen(use_cases, command)
    with pytest.raises(SlotAlreadyBooked):
        await use_cases.holds.place_hold(hold, Deadline.after(5))
    await use_cases.database[COLLECTION].update_one({"_id": rival.id}, {"$set": {"status": "cancelled"}})
    assert await use_cases.bookings.book(command, Deadline.after(5))


async def test_holds_that_wait_ask_together_and_ever_more_rarely(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many holds wait for bookings that are not decided, Redis is asked a few times a second."""
    ask, questions = HoldStore.remaining_intents, list[int]()

    async def note(store: HoldStore, asked: Sequence[Any]) -> list[list[str] | Refused]:
        questions.append(len(asked))
        return await ask(store, asked)

    bodies = [fresh("Ada") for _ in range(50)]
    with lost_inserts(monkeypatch):
        await asyncio.gather(
            *(use_cases.bookings.book(BookAppointment(**body), Deadline.after(5)) for body in bodies),
            return_exceptions=True,
        )
    monkeypatch.setattr(HoldStore, "remaining_intents", note)
    rivals = [PlaceHold(**{**body, "patientName": "Grace"}) for body in bodies]
    answers = await asyncio.gather(
        *(use_cases.holds.place_hold(rival, Deadline.after(1.5)) for rival in rivals), return_exceptions=True
    )
    assert {type(answer) for answer in answers} <= {BeingBooked, OutcomeUnknown}
    assert max(questions) == 50
    assert len(questions) <= 30
