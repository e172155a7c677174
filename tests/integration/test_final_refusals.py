"""A booking's 409 is final: its tombstone makes an earlier attempt that arrives late fail.

The test carries out the write of an earlier attempt late, as MongoDB may.
"""

import asyncio
from typing import Any

import pytest

from booking_worker.bookings.key_finality import Refusals
from shared.contract.asked_at import unix_ms_now
from shared.contract.commands import CancelAppointment, PlaceHold
from shared.contract.deadline import Deadline
from shared.contract.errors import AskedEarlier, SlotAlreadyBooked, SlotHeld
from shared.domain.booking import Booking
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites
from tests.integration.final_refusals import (
    KEY,
    TEN,
    a_second_ago,
    grant,
    lose,
    of,
    refused_after_a_lost_attempt,
    rows,
    soon,
)
from tests.integration.use_cases import UseCases
from tests.slots import fresh


async def test_insert_that_lands_after_the_409_fails(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late insert of a refused booking's first attempt fails on the tombstone, though its slot is free."""
    body = fresh()
    late = await refused_after_a_lost_attempt(use_cases, monkeypatch, body)
    assert await late() == [WriteResult.DUPLICATE]
    assert await rows(use_cases, body["site"]) == [("", "refused"), ("Grace", "cancelled")]


async def test_overtaken_attempt_does_not_book_after_the_409(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that stalls while its retry gets 409 finds the tombstone, and gets AskedEarlier."""
    insert, stalled, go_on = BookingWrites.insert_many, asyncio.Event(), asyncio.Event()

    async def stall(self: BookingWrites, bookings: list[Booking], *, timeout: float) -> list[WriteResult]:
        if not stalled.is_set():
            stalled.set()
            await go_on.wait()
        return await insert(self, bookings, timeout=timeout)

    body = fresh()
    ada, asked = of(body, "Ada", KEY), a_second_ago()
    monkeypatch.setattr(BookingWrites, "insert_many", stall)
    overtaken = asyncio.create_task(use_cases.bookings.book(ada, soon(), asked_at=asked))
    await stalled.wait()
    grace = await use_cases.bookings.book(of(body, "Grace"), soon())
    with pytest.raises(SlotAlreadyBooked):
        await use_cases.bookings.book(ada, soon(), asked_at=asked)
    await use_cases.bookings.cancel(CancelAppointment(id=grace.booking.id), soon())
    go_on.set()
    with pytest.raises(AskedEarlier):
        await overtaken
    assert await rows(use_cases, body["site"]) == [("", "refused"), ("Grace", "cancelled")]
    assert (await use_cases.bookings.book(ada, soon())).booking.status == "booked"


async def test_without_a_tombstone_the_late_insert_books(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: without tombstones, the late insert books for a caller that got 409."""

    async def believe(_refusals: Refusals, judged: dict[Any, Any], _deadline: Deadline) -> dict[Any, Any]:
        return judged

    monkeypatch.setattr(Refusals, "make_final", believe)
    late = await refused_after_a_lost_attempt(use_cases, monkeypatch, fresh())
    assert await late() == [WriteResult.DONE]


async def test_later_request_with_the_key_books_in_the_tombstone(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later request with the key of a refused one books the free slot, in the tombstone's row."""
    body = fresh()
    late = await refused_after_a_lost_attempt(use_cases, monkeypatch, body)
    booked = await use_cases.bookings.book(of(body, "Ada", KEY), soon())
    assert not booked.replayed
    assert await late() == [WriteResult.DUPLICATE]
    assert await rows(use_cases, body["site"]) == [("Ada", "booked"), ("Grace", "cancelled")]
    again = await use_cases.bookings.book(of(body, "Ada", KEY), soon())
    assert again.replayed
    assert again.booking == booked.booking == await use_cases.reads.get(booked.booking.id, soon())
    row = await use_cases.database.get_collection("appointments").find_one({"_id": booked.booking.id})
    assert row == booked.booking.to_document()  # no field of the tombstone is left


async def test_key_of_a_refused_request_is_free_for_another(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refusals are not remembered: another request may use the idempotency key."""
    body = fresh()
    await refused_after_a_lost_attempt(use_cases, monkeypatch, body)
    elsewhere = of({**body, "slot": TEN}, "Ada", KEY)
    assert (await use_cases.bookings.book(elsewhere, soon())).booking.slot == elsewhere.slot


async def test_replacement_that_lands_after_a_second_409_fails(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second 409 for a key also invalidates a booking sent in between: its compare-and-set fails."""
    body, ada = fresh(), None
    await refused_after_a_lost_attempt(use_cases, monkeypatch, body)
    ada = of(body, "Ada", KEY)
    asked = unix_ms_now() - 500
    late = await lose(
        monkeypatch,
        BookingWrites,
        "replace_many",
        lambda: use_cases.bookings.book(ada, soon(), asked_at=asked),
    )
    alan = await use_cases.bookings.book(of(body, "Alan"), soon())
    with pytest.raises(SlotAlreadyBooked):
        await use_cases.bookings.book(ada, soon())
    await use_cases.bookings.cancel(CancelAppointment(id=alan.booking.id), soon())
    assert await late() == [WriteResult.UNSURE]
    assert ("Ada", "booked") not in await rows(use_cases, body["site"])


async def test_insert_that_lands_before_the_tombstone_is_replayed(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the first attempt lands before its retry writes the tombstone, the retry replays that booking."""
    body = fresh()
    ada = of(body, "Ada", KEY)
    late = await lose(
        monkeypatch,
        BookingWrites,
        "insert_many",
        lambda: use_cases.bookings.book(ada, soon(), is_first_attempt=True),
    )
    grace = await use_cases.bookings.book(of(body, "Grace"), soon())
    refuse = BookingWrites.reserve_keys

    async def refuse_late(store: BookingWrites, keys: Any, **more: Any) -> list[WriteResult]:
        await use_cases.bookings.cancel(CancelAppointment(id=grace.booking.id), soon())
        assert await late() == [WriteResult.DONE]
        return await refuse(store, keys, **more)

    monkeypatch.setattr(BookingWrites, "reserve_keys", refuse_late)
    booked = await use_cases.bookings.book(ada, soon())
    assert (booked.replayed, booked.booking.patient_name) == (True, "Ada")


async def test_409_for_a_held_slot_is_final_too(use_cases: UseCases, monkeypatch: pytest.MonkeyPatch) -> None:
    """A booking's 409 for a held slot writes a tombstone as well."""
    body = fresh()
    ada = of(body, "Ada", KEY)
    late = await lose(
        monkeypatch,
        BookingWrites,
        "insert_many",
        lambda: use_cases.bookings.book(ada, soon(), is_first_attempt=True),
    )
    grace = PlaceHold.model_validate({**body, "patientName": "Grace"})
    async for key in use_cases.redis.scan_iter(f"intent*{{{body['site']}}}*"):
        await use_cases.redis.delete(key)  # so that the intent of Ada's lost attempt does not block the hold
    await grant(use_cases, grace)
    with pytest.raises(SlotHeld):
        await use_cases.bookings.book(ada, soon())
    assert await late() == [WriteResult.DUPLICATE]
