"""Erasures that meet other writes of the same rows, called as use cases."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from booking_worker.privacy import erasure
from booking_worker.privacy.erasure import erase
from booking_worker.privacy.retention import retain
from shared.contract.commands import BookAppointment, CancelAppointment, MoveAppointment
from shared.contract.deadline import Deadline
from shared.contract.instants import format_instant
from shared.domain.booking import Booking
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo import writes
from shared.stores.mongo.answered import Unanswered
from shared.stores.mongo.bookings import COLLECTION
from shared.stores.mongo.connection import Document
from shared.stores.mongo.personal_data import PersonalData, of_name, with_ids
from shared.stores.mongo.regridding import RegridStore
from tests.integration.use_cases import UseCases
from tests.sabotage import SABOTAGES
from tests.slots import fresh

PATIENT = "Zebra Canary"
TEN = datetime(2031, 5, 4, 10, tzinfo=UTC)


class Interrupted(PersonalData):
    """Personal data whose first read of an erasure is followed by another write of the row."""

    def __init__(self, database: mongodb.Database, write: Callable[[], Awaitable[object]]) -> None:
        super().__init__(database)
        self._writes = [write]

    async def read(self, ids: Collection[str]) -> list[Document]:
        rows = await super().read(ids)
        if self._writes:
            await self._writes.pop()()
        return rows


async def booked(use_cases: UseCases, **more: Any) -> Booking:
    command = BookAppointment.model_validate(fresh(PATIENT, **more))
    return (await use_cases.bookings.book(command, Deadline.after(5))).booking


async def row_of(use_cases: UseCases, booking: Booking) -> Document:
    row = await use_cases.database.get_collection(COLLECTION).find_one({"_id": booking.id})
    assert row
    return row


def changes_of(row: Document) -> list[tuple[int, str]]:
    return [(entry["version"], entry["type"]) for entry in row["history"]]


async def erased_during_a_move(use_cases: UseCases) -> Document:
    """Erase a booking that is moved between the read and the write of the erasure; return its row."""
    booking = await booked(use_cases)

    async def move() -> None:
        await use_cases.bookings.move(MoveAppointment(id=booking.id, slot=TEN), Deadline.after(5))

    data = Interrupted(use_cases.database, move)
    assert (await erase(data, with_ids([booking.id]))).total == 1
    return await row_of(use_cases, booking)


async def test_erasure_does_not_overwrite_a_concurrent_move(use_cases: UseCases) -> None:
    """An erasure of a row that is moved meanwhile reads the row again: both changes stand, in order."""
    row = await erased_during_a_move(use_cases)
    assert changes_of(row) == [(1, "booked"), (2, "moved"), (3, "erased")]
    assert (row["version"], row["slot"], row["patientName"], row["requestHash"]) == (3, TEN, None, None)
    assert [entry["slot"] for entry in row["history"]][1:] == [TEN, TEN]


async def test_erasure_loses_a_version_without_the_compare_and_set(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: an erasure by id alone gives the version of the concurrent move to a second change."""
    monkeypatch.setattr(writes, "_as_read", writes._as_read)  # restored after the test
    SABOTAGES["erase_any_version"]()
    row = await erased_during_a_move(use_cases)
    assert changes_of(row) == [(1, "booked"), (2, "moved"), (2, "erased")]


async def test_move_that_was_planned_before_an_erasure_restores_no_name(use_cases: UseCases) -> None:
    """Moves and cancels that race with an erasure succeed, and the row has no name in the end."""
    bookings = [await booked(use_cases) for _ in range(20)]
    data = PersonalData(use_cases.database)

    async def change(booking: Booking) -> None:
        await use_cases.bookings.move(MoveAppointment(id=booking.id, slot=TEN), Deadline.after(5))
        await use_cases.bookings.cancel(CancelAppointment(id=booking.id), Deadline.after(5))

    await asyncio.gather(erase(data, of_name(PATIENT)), *(change(booking) for booking in bookings))
    for booking in bookings:
        row = await row_of(use_cases, booking)
        assert sorted(kind for _, kind in changes_of(row)) == ["booked", "cancelled", "erased", "moved"]
        assert [version for version, _ in changes_of(row)] == [1, 2, 3, 4]
        assert (row["patientName"], row["status"], row["slot"]) == (None, "cancelled", TEN)


async def test_two_erasures_at_once_are_one_change(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two erasures of the same bookings, in pages, erase each of them once."""
    monkeypatch.setattr(erasure, "ROWS_AT_ONCE", 2)
    bookings = [await booked(use_cases) for _ in range(5)]
    data = PersonalData(use_cases.database)
    await asyncio.gather(*(erase(data, of_name(PATIENT)) for _ in range(2)))
    for booking in bookings:
        assert changes_of(await row_of(use_cases, booking)) == [(1, "booked"), (2, "erased")]


async def test_retention_counts_from_the_end_of_a_booking(grid_use_cases: UseCases) -> None:
    """Names are kept for the days after the end, not the start, and cancelled bookings lose theirs too."""
    now = datetime.now(UTC)

    async def lasting_until(age: timedelta) -> Booking:
        slot = format_instant((now - age - timedelta(hours=10)).replace(second=0, microsecond=0))
        return await booked(grid_use_cases, slot=slot, durationMinutes=600)

    kept = await lasting_until(timedelta(days=1, hours=-1))
    ended, cancelled = [await lasting_until(timedelta(days=1, hours=1)) for _ in range(2)]
    await grid_use_cases.bookings.cancel(CancelAppointment(id=cancelled.id), Deadline.after(5))
    data = PersonalData(grid_use_cases.database)
    counts = await asyncio.gather(*(retain(data, 1) for _ in range(2)))
    assert max(count.total for count in counts) == 2
    assert (await retain(data, 1)).total == 0
    assert changes_of(await row_of(grid_use_cases, kept)) == [(1, "booked")]
    assert changes_of(await row_of(grid_use_cases, ended)) == [(1, "booked"), (2, "erased")]
    assert changes_of(await row_of(grid_use_cases, cancelled)) == [
        (1, "booked"),
        (2, "cancelled"),
        (3, "erased"),
    ]


async def test_erasure_during_a_change_of_the_grid_is_to_be_repeated(
    grid_use_cases: UseCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MongoDB refuses to write a row of the old grid: the erasure reports that, and succeeds afterwards."""
    monkeypatch.setattr(erasure, "PAUSE_SECONDS", 0)
    booking, data = await booked(grid_use_cases), PersonalData(grid_use_cases.database)
    grid = RegridStore(grid_use_cases.database)
    await grid.admit_only(5)
    with pytest.raises(Unanswered, match="grid"):
        await erase(data, with_ids([booking.id]))
    await grid.admit_only(15)
    await erase(data, with_ids([booking.id]))
    assert changes_of(await row_of(grid_use_cases, booking)) == [(1, "booked"), (2, "erased")]
