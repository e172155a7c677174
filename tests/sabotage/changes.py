"""Remove safeguards of moves and cancels."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pymongo import UpdateOne

from shared.domain.booking import Booking
from shared.stores.mongo import writes as store_of_changes
from shared.stores.mongo.bulk import WriteResult, bulk_write
from shared.stores.mongo.writes import BookingWrites, CompareAndSet


def move_in_two_writes() -> None:
    """Move a booking in one write, and change its claims in a second write."""
    change_many = BookingWrites.change_many

    async def in_two(
        store: BookingWrites, both: Sequence[CompareAndSet], *, timeout: float
    ) -> list[WriteResult]:
        as_before = [CompareAndSet(one.before, replace(one.after, claims=one.before.claims)) for one in both]
        outcomes = await change_many(store, as_before, timeout=timeout)
        await asyncio.sleep(0.1)
        for one in both:
            claims = {"$set": {"claims": list(one.after.claims.keys)}}
            update = UpdateOne({"_id": one.after.id}, claims)
            await bulk_write(store._latest, "claims", [update], timeout=timeout)
        return outcomes

    BookingWrites.change_many = in_two  # type: ignore[assignment,method-assign]


def late_freeing() -> None:
    """Answer a cancel or move before it is written to MongoDB."""
    change_many = BookingWrites.change_many
    writes = set()

    async def soon(
        store: BookingWrites, changes: Sequence[CompareAndSet], *, timeout: float
    ) -> list[WriteResult]:
        async def later() -> None:
            await asyncio.sleep(0.5)
            await change_many(store, changes, timeout=timeout)

        writes.add(task := asyncio.create_task(later()))
        task.add_done_callback(writes.discard)
        return [WriteResult.DONE] * len(changes)

    BookingWrites.change_many = soon  # type: ignore[assignment,method-assign]


def no_compare_and_set() -> None:
    """Update a booking by id, without comparing it with the row that was read 0.1 s before."""
    change_many = BookingWrites.change_many

    def by_id(booking: Booking) -> dict[str, Any]:
        return {"_id": booking.id, "site": booking.site, "status": "booked"}

    async def late(
        store: BookingWrites, changes: Sequence[CompareAndSet], *, timeout: float
    ) -> list[WriteResult]:
        await asyncio.sleep(0.1)
        return await change_many(store, changes, timeout=timeout)

    store_of_changes._as_read = by_id
    BookingWrites.change_many = late  # type: ignore[method-assign, assignment]


def erase_any_version() -> None:
    """Erase a booking by id, without comparing it with the row that was read."""
    store_of_changes._as_read = lambda booking: {"_id": booking.id}


def history_apart() -> None:
    """Write a change in one write, and its history entry in a second write."""
    change_many = BookingWrites.change_many

    def without_history(change: CompareAndSet) -> UpdateOne:
        row = change.after.to_document()
        sets = {field: row[field] for field in store_of_changes._FIELDS}
        return UpdateOne(store_of_changes._as_read(change.before), {"$set": sets})

    async def in_two(
        store: BookingWrites, both: Sequence[CompareAndSet], *, timeout: float
    ) -> list[WriteResult]:
        outcomes = await change_many(store, both, timeout=timeout)
        await asyncio.sleep(0.1)
        for one in both:
            entry = one.after.history[-1].to_document()
            push = UpdateOne(
                {"_id": one.after.id, "version": one.after.version}, {"$push": {"history": entry}}
            )
            await bulk_write(store._latest, "history", [push], timeout=timeout)
        return outcomes

    store_of_changes._update = without_history
    BookingWrites.change_many = in_two  # type: ignore[assignment,method-assign]
