"""The cap of a share on bookings in 24 hours, counted in cells: which bookings count, and for how long."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from booking_worker.bookings.requests import Booked
from shared.contract.asked_at import unix_ms_now
from shared.contract.caller import Caller, Share
from shared.contract.commands import BookAppointment, CancelAppointment, MoveAppointment
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    AppointmentCancelled,
    KeyReused,
    OutcomeUnknown,
    Refused,
    SlotAlreadyBooked,
    TooManyBookings,
)
from tests.integration.hold_use_cases import refuse
from tests.integration.sabotage import remove
from tests.integration.use_cases import UseCases, lost_inserts
from tests.slots import fresh_site

DAY_MS = 24 * 3600 * 1000
ADDRESS, PHONE = "a:1", "p:1"


def caller(bookings: int | None, *shares: str) -> Caller:
    """Return a caller whose shares have a cap."""
    return Caller(id="web", shares=tuple(Share(id=id, bookings=bookings) for id in shares or (ADDRESS,)))


def command(site: str, number: int, **more: Any) -> BookAppointment:
    """Return a command for the slot of a number in a site."""
    slot = datetime(2031, 5, 4, tzinfo=UTC) + timedelta(hours=number)
    body = {"site": site, "slot": slot.isoformat(), "patientName": "Ada", "idempotencyKey": str(uuid4())}
    return BookAppointment.model_validate(body | more)


async def book(
    use_cases: UseCases, request: BookAppointment, by: Caller, *, is_first: bool = False
) -> Booked | Refused:
    """Book, and wait until the counts of the answered booking are final."""
    try:
        booked = await use_cases.bookings.book(
            request, Deadline.after(30), caller=by, is_first_attempt=is_first
        )
    except Refused as refused:
        return refused
    finally:
        await use_cases.clearer.drain()
    return booked


async def books(use_cases: UseCases, site: str, number: int, by: Caller) -> bool:
    """Return whether a new booking is booked; else a share has booked too much."""
    outcome = await book(use_cases, command(site, number), by)
    assert isinstance(outcome, Booked | TooManyBookings)
    return isinstance(outcome, Booked)


@pytest.mark.parametrize(("without", "booked"), [("", 5), ("no_cap_of_bookings", 30)])
async def test_concurrent_bookings_of_a_share_stop_at_its_cap(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch, without: str, booked: int
) -> None:
    """Of 30 concurrent bookings of a share with the cap 5, exactly 5 are booked. Control: all are."""
    remove(monkeypatch, without)
    site = fresh_site()
    outcomes = await asyncio.gather(*(books(use_cases, site, n, caller(5)) for n in range(30)))
    assert sum(outcomes) == booked


async def test_booking_counts_each_of_its_cells(use_cases: UseCases) -> None:
    """A booking of three resources counts three, and is refused if two are left."""
    site, by = fresh_site(), caller(5)
    for number, refused in ((0, False), (1, True)):
        outcome = await book(use_cases, command(site, number, resources=["a", "b", "c"]), by)
        assert isinstance(outcome, TooManyBookings if refused else Booked)
    assert [await books(use_cases, site, number, by) for number in (2, 3, 4)] == [True, True, False]


@pytest.mark.parametrize(("without", "returned"), [("", True), ("refused_bookings_stay_counted", False)])
async def test_booking_of_a_taken_slot_gives_its_count_back(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch, without: str, returned: bool
) -> None:
    """A booking refused with 409 is not counted. Control: it is."""
    remove(monkeypatch, without)
    site, by = fresh_site(), caller(1, ADDRESS, PHONE)
    assert await books(use_cases, site, 0, caller(None))
    for is_first in (True, False):
        taken = await book(use_cases, command(site, 0), by, is_first=is_first)
        assert isinstance(taken, SlotAlreadyBooked) or without
    assert await books(use_cases, site, 1, by) is returned
    assert not await books(use_cases, site, 2, by)


async def test_repeat_of_a_booking_is_201_at_the_cap(use_cases: UseCases) -> None:
    """A repeat of a booking is its replay although a share is at its cap, also from another client."""
    site, by = fresh_site(), caller(1)
    request = command(site, 0)
    booked = await book(use_cases, request, by, is_first=True)
    assert isinstance(booked, Booked)
    for client in (by, by, caller(0, PHONE), caller(0, ADDRESS, PHONE)):
        replay = await book(use_cases, request, client)
        assert isinstance(replay, Booked)
        assert replay.replayed
        assert replay.booking.id == booked.booking.id
    assert not await books(use_cases, site, 1, by)


@pytest.mark.parametrize(("without", "replayed"), [("", True), ("no_key_lookup", False)])
async def test_repeat_of_an_old_booking_is_201_at_the_cap(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch, without: str, replayed: bool
) -> None:
    """A repeat whose count has aged out finds its booking, moved meanwhile, before a cap refuses it.

    Control: without a look for its key, it is refused.
    """
    site = fresh_site()
    request = command(site, 0)
    booked = await book(use_cases, request, caller(1))
    assert isinstance(booked, Booked)
    move = MoveAppointment(id=booked.booking.id, slot=command(site, 1).slot)
    await use_cases.bookings.move(move, Deadline.after(30))
    await use_cases.redis.delete(f"share_bookings:{{{site}}}:{ADDRESS}")
    remove(monkeypatch, without)
    outcome = await book(use_cases, request, caller(0))
    assert isinstance(outcome, Booked) is replayed
    assert isinstance(outcome, TooManyBookings) is not replayed


@pytest.mark.parametrize(("without", "booked"), [("", True), ("attempts_count_apart", False)])
async def test_repeat_of_a_lost_attempt_relies_on_its_count(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch, without: str, booked: bool
) -> None:
    """An attempt with an unknown outcome stays counted, and its repeat books with this count.

    Control: if each attempt counts by itself, the last booking that a client may make cannot be repeated.
    """
    remove(monkeypatch, without)
    site, by = fresh_site(), caller(1)
    request = command(site, 0)
    with lost_inserts(monkeypatch):
        assert isinstance(await book(use_cases, request, by, is_first=True), OutcomeUnknown)
    assert not await books(use_cases, site, 1, by)
    assert isinstance(await book(use_cases, request, by), Booked) is booked


@pytest.mark.parametrize(("without", "next_booked"), [("", False), ("every_refusal_takes_back", True)])
async def test_refused_repeats_do_not_give_a_count_back(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch, without: str, next_booked: bool
) -> None:
    """No repeat of a stored booking makes room for another one, whatever it pretends.

    Control: if each refused attempt takes back the count, a client books without end.
    """
    remove(monkeypatch, without)
    site, by = fresh_site(), caller(1)
    request = command(site, 0)
    booked = await book(use_cases, request, by)
    assert isinstance(booked, Booked)
    assert isinstance(await book(use_cases, request, by, is_first=True), SlotAlreadyBooked)
    assert await books(use_cases, site, 1, by) is next_booked


async def test_key_of_another_request_and_a_cancel_give_no_count_back(use_cases: UseCases) -> None:
    """After a 422 with its key, and after it is cancelled, a booking still counts."""
    site, by = fresh_site(), caller(2)
    request = command(site, 0)
    booked = await book(use_cases, request, by)
    assert isinstance(booked, Booked)
    another = command(site, 1, idempotencyKey=request.idempotencyKey)
    assert isinstance(await book(use_cases, another, by), KeyReused)
    assert not isinstance(await book(use_cases, another, by, is_first=True), Booked)
    await use_cases.bookings.cancel(CancelAppointment(id=booked.booking.id), Deadline.after(30))
    assert isinstance(await book(use_cases, request, by), AppointmentCancelled)
    assert [await books(use_cases, site, number, by) for number in (2, 3)] == [True, False]


@pytest.mark.parametrize(("without", "moved"), [("", False), ("no_cap_of_bookings", True)])
async def test_move_counts_the_cells_that_it_adds(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch, without: str, moved: bool
) -> None:
    """A move to more cells than a share has left is refused, and moves to as many or fewer cells are not.

    Control: without the cap, a short booking becomes a long one.
    """
    remove(monkeypatch, without)
    site, by = fresh_site(), caller(4)
    booked = await book(use_cases, command(site, 0, resources=["a", "b"]), by)
    assert isinstance(booked, Booked)

    async def is_moved(*resources: str, move_id: str | None = None) -> bool:
        change = {"id": booked.booking.id, "resources": resources, "moveId": move_id}
        try:
            await use_cases.bookings.move(
                MoveAppointment.model_validate(change), Deadline.after(30), caller=by
            )
        except TooManyBookings:
            return False
        finally:
            await use_cases.clearer.drain()
        return True

    assert await is_moved("c", "d")
    assert await is_moved("a", "b", "c", "d", "e") is moved
    assert await is_moved("a", "b", "c", move_id=(move_id := str(uuid4())))  # one more
    assert await is_moved("a", "b", "c", move_id=move_id)  # a repeat
    assert await is_moved("d")
    assert await is_moved("a", "b", "c") is moved
    assert await is_moved("a", "b")  # one more: 4 in all
    assert await books(use_cases, site, 1, by) is moved


@pytest.mark.parametrize(("without", "moved"), [("", False), ("move_names_no_booking", True)])
async def test_moves_of_two_bookings_with_one_id_count_apart(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch, without: str, moved: bool
) -> None:
    """A second booking grows into the cells that the first one grew into and left: its cells count too.

    Control: if the count does not name the booking, each further booking grows without being counted.
    """
    remove(monkeypatch, without)
    site, by, move_id = fresh_site(), caller(4), str(uuid4())
    first, second = [await book(use_cases, command(site, n, resources=["a"]), by) for n in (0, 1)]
    assert isinstance(first, Booked)
    assert isinstance(second, Booked)

    async def is_moved(booked: Booked, **change: Any) -> bool:
        move = MoveAppointment.model_validate({"id": booked.booking.id, **change})
        try:
            await use_cases.bookings.move(move, Deadline.after(30), caller=by)
        except TooManyBookings:
            return False
        finally:
            await use_cases.clearer.drain()
        return True

    target = {"slot": command(site, 2).slot, "resources": ["a", "b", "c"], "moveId": move_id}
    assert await is_moved(first, **target)  # 4 in all
    assert await is_moved(first, slot=command(site, 3).slot)
    assert await is_moved(second, **target) is moved


async def test_refused_move_gives_its_count_back(use_cases: UseCases) -> None:
    """A move onto a booked slot is 409 and not counted."""
    site, by = fresh_site(), caller(2)
    assert isinstance(await book(use_cases, command(site, 1, resources=["b"]), caller(None)), Booked)
    booked = await book(use_cases, command(site, 0, resources=["a"]), by)
    assert isinstance(booked, Booked)
    move = {"id": booked.booking.id, "slot": command(site, 1).slot, "resources": ["a", "b"]}
    for _ in range(2):
        with pytest.raises(SlotAlreadyBooked):
            await use_cases.bookings.move(MoveAppointment.model_validate(move), Deadline.after(30), caller=by)
        await use_cases.clearer.drain()
    assert [await books(use_cases, site, number, by) for number in (2, 3)] == [True, False]


async def test_booking_counts_for_24_hours(use_cases: UseCases) -> None:
    """A booking counts until 24 hours after it was made; then its members are removed."""
    site, by = fresh_site(), caller(1)
    assert await books(use_cases, site, 0, by)
    key = f"share_bookings:{{{site}}}:{ADDRESS}"
    member = str((await use_cases.redis.zrange(key, 0, -1))[0])
    now = unix_ms_now()
    await use_cases.redis.zadd(key, {member: now - DAY_MS + 30_000})
    assert not await books(use_cases, site, 1, by)
    await use_cases.redis.zadd(key, {member: now - DAY_MS - 1})
    assert await books(use_cases, site, 1, by)
    assert await use_cases.redis.zcard(key) == 1
    assert DAY_MS - 30_000 < await use_cases.redis.pttl(key) <= DAY_MS


async def test_other_shares_and_sites_still_book(use_cases: UseCases) -> None:
    """A share at its cap limits no other share, no other site, and no caller without shares."""
    site, elsewhere = fresh_site(), fresh_site()
    assert await books(use_cases, site, 0, caller(1))
    assert not await books(use_cases, site, 1, caller(1, PHONE, ADDRESS))
    assert await books(use_cases, site, 1, caller(1, PHONE))
    assert await books(use_cases, elsewhere, 0, caller(1))
    assert await books(use_cases, site, 2, Caller(id="desk"))


async def test_counts_hold_no_idempotency_key(use_cases: UseCases) -> None:
    """Redis stores a digest of a booking's key, and nothing for a caller without shares."""
    site = fresh_site()
    request = command(site, 0, idempotencyKey="Ada-Lovelace-1")
    assert isinstance(await book(use_cases, request, caller(1)), Booked)
    key = f"share_bookings:{{{site}}}:{ADDRESS}"
    assert "Ada" not in str(await use_cases.redis.zrange(key, 0, -1))
    assert isinstance(await book(use_cases, command(elsewhere := fresh_site(), 0), Caller(id="desk")), Booked)
    assert not [key async for key in use_cases.redis.scan_iter(f"share*{{{elsewhere}}}*")]


async def test_bookings_pass_without_redis(use_cases: UseCases, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that cannot reach Redis books for a share at its cap."""
    site, by = fresh_site(), caller(0)
    assert not await books(use_cases, site, 0, by)
    refuse(monkeypatch, "register_intents")
    assert await books(use_cases, site, 0, by)
