"""An extension of a hold is granted whole, or leaves the hold unchanged."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from shared.contract.commands import BookAppointment, PlaceHold
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    Changing,
    NoPrimary,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    SlotAlreadyBooked,
    SlotHeld,
)
from shared.domain.grid import Grid
from shared.stores.mongo.bookings import BookingStore, Found
from shared.stores.redis.keys import keys_of
from tests.integration.hold_use_cases import book_without_redis, dump, wanted
from tests.integration.use_cases import UseCases
from tests.slots import fresh


@pytest.mark.parametrize("lost", [OutcomeUnknown, NoPrimary])
@pytest.mark.parametrize("minutes", [15, 30], ids=["as long", "longer"])
async def test_unverified_extension_changes_nothing(
    grid_use_cases: UseCases, monkeypatch: pytest.MonkeyPatch, lost: type[Refused], minutes: int
) -> None:
    """An extension without a successful read of the bookings is not executed; the hold keeps its expiry."""

    async def lose(*_: Any, **__: Any) -> None:
        raise lost

    body, holds = fresh("Ada", holdToken=str(uuid4())), grid_use_cases.holds
    await holds.place_hold(PlaceHold.model_validate(body), Deadline.after(5))
    before = await dump(grid_use_cases, body["site"])
    longer = PlaceHold.model_validate({**body, "durationMinutes": minutes})
    with monkeypatch.context() as patch:
        patch.setattr(BookingStore, "find", lose)
        with pytest.raises(NotExecuted):
            await holds.place_hold(longer, Deadline.after(5))
    assert await dump(grid_use_cases, body["site"]) == before


@pytest.mark.parametrize("cells", ["after it", "before it", "both"])
@pytest.mark.parametrize("name", ["Ada", "Grace"])
async def test_refused_extension_changes_nothing(grid_use_cases: UseCases, cells: str, name: str) -> None:
    """A refused extension leaves the hold's expiry, owner, token record and index entries unchanged."""
    body = fresh("Ada", holdToken=str(uuid4()), slot="2031-05-04T09:15:00Z")
    hold = PlaceHold.model_validate(body)
    before_it, after_it = (
        BookAppointment(slot=hold.slot + timedelta(minutes=n), site=hold.site, patientName="Eve")
        for n in (-15, 15)
    )
    await grid_use_cases.holds.place_hold(hold, Deadline.after(5))
    other = {**body, "slot": "2031-05-04T12:00:00Z"}
    await grid_use_cases.holds.place_hold(PlaceHold.model_validate(other), Deadline.after(5))
    before = await dump(grid_use_cases, hold.site)
    assert {key.partition(":")[0] for key in before} == {
        "hold",
        "token",
        "held",
        "held_ends",
        "held_resources",
    }
    await book_without_redis(grid_use_cases, before_it if cells == "before it" else after_it)
    places: dict[str, dict[str, Any]] = {
        "after it": {"durationMinutes": 30},
        "before it": {"slot": before_it.slot, "durationMinutes": 30},
        "both": {"slot": before_it.slot, "durationMinutes": 45},
    }
    longer = places[cells]
    with pytest.raises(SlotAlreadyBooked):
        await grid_use_cases.holds.place_hold(
            hold.model_copy(update={**longer, "patientName": name}), Deadline.after(5)
        )
    assert await dump(grid_use_cases, hold.site) == before


async def test_extension_that_is_only_placed_changes_nothing(
    grid_use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies between placing and granting an extension leaves the hold unchanged."""
    hold = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4())))
    await grid_use_cases.holds.place_hold(hold, Deadline.after(5))
    before = await dump(grid_use_cases, hold.site)
    longer = hold.model_copy(update={"durationMinutes": 30})
    for request in (hold, longer):
        assert await grid_use_cases.hold_store.place_many([wanted(request, Grid(15))], Deadline.after(60))
    after = await dump(grid_use_cases, hold.site)
    assert {key: after[key] for key in before if key.startswith("h")} == {
        key: before[key] for key in before if key.startswith("h")
    }


async def test_hold_that_expires_during_its_extension_can_be_retried(
    grid_use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An extension whose hold expires meanwhile gets 503 Changing, and its retry is granted."""
    hold, look = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4()))), BookingStore.find

    async def look_while_it_expires(*args: Any, **options: Any) -> Found:
        await grid_use_cases.redis.pexpire(keys_of(wanted(hold, Grid(15)).claims)[0], 0)
        return await look(*args, **options)

    await grid_use_cases.holds.place_hold(hold, Deadline.after(5))
    with monkeypatch.context() as patch:
        patch.setattr(BookingStore, "find", look_while_it_expires)
        with pytest.raises(Changing):
            await grid_use_cases.holds.place_hold(
                hold.model_copy(update={"durationMinutes": 30}), Deadline.after(5)
            )
    assert [key async for key in grid_use_cases.redis.scan_iter(f"hold:{{{hold.site}}}*")] == []
    assert await grid_use_cases.holds.place_hold(hold, Deadline.after(5))


async def test_refused_extension_over_a_booking_keeps_the_expiry(use_cases: UseCases) -> None:
    """A refused extension, of a slot booked while Redis was unreachable, leaves the hold unchanged."""
    hold = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4())))
    await use_cases.holds.place_hold(hold, Deadline.after(5))
    before = await dump(use_cases, hold.site)
    rival = BookAppointment(slot=hold.slot, site=hold.site, patientName="Grace")
    await book_without_redis(use_cases, rival)
    with pytest.raises(SlotAlreadyBooked):
        await use_cases.holds.place_hold(hold, Deadline.after(5))
    assert await dump(use_cases, hold.site) == before


async def test_refused_bookings_do_not_disturb_the_holder(grid_use_cases: UseCases) -> None:
    """While 200 bookings a second of a held slot are refused, every extension by its holder is granted."""
    body = fresh("Ada", holdToken=str(uuid4()), durationMinutes=30)
    hold = PlaceHold.model_validate(body)
    await grid_use_cases.holds.place_hold(hold, Deadline.after(5))
    refused = list[type[BaseException]]()

    async def rival(n: int) -> None:
        await asyncio.sleep(n / 200)
        wants = {**body, "patientName": f"Rival {n}", "holdToken": None, "durationMinutes": 15 + 15 * (n % 3)}
        with pytest.raises(SlotHeld) as refusal:
            await grid_use_cases.bookings.book(BookAppointment.model_validate(wants), Deadline.after(5))
        refused.append(refusal.type)

    rivals = [asyncio.create_task(rival(n)) for n in range(400)]
    while not all(rival.done() for rival in rivals):
        assert (await grid_use_cases.holds.place_hold(hold, Deadline.after(5))).token == body["holdToken"]
    await asyncio.gather(*rivals)
    assert len(refused) == 400
