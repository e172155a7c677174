"""The safeguards of changes, removed: see `sabotage.py`."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from pymongo import ReadPreference, UpdateOne

from booking_worker.bookings.move import Mover
from booking_worker.bookings.move_plan import MovePlan
from shared.contract.deadline import Deadline
from shared.domain.booking import Booking
from shared.stores.mongo import changes as store_of_changes
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.changes import ChangeStore, CompareAndSet
from shared.stores.mongo.writes import WriteResult, write


def move_in_two_writes() -> None:
    """Move a booking, and give it its claims afterwards."""
    change_many = ChangeStore.change_many

    async def in_two(
        store: ChangeStore, both: Sequence[CompareAndSet], *, timeout: float
    ) -> list[WriteResult]:
        as_before = [CompareAndSet(one.before, replace(one.after, claims=one.before.claims)) for one in both]
        outcomes = await change_many(store, as_before, timeout=timeout)
        await asyncio.sleep(0.1)
        for one in both:
            claims = {"$set": {"claims": list(one.after.claims.keys)}}
            await write(store._latest, "claims", [UpdateOne({"_id": one.after.id}, claims)], timeout=timeout)
        return outcomes

    ChangeStore.change_many = in_two  # type: ignore[assignment,method-assign]


def late_freeing() -> None:
    """Answer a cancel or move before it is written."""
    change_many = ChangeStore.change_many
    under_way = set()

    async def soon(
        store: ChangeStore, changes: Sequence[CompareAndSet], *, timeout: float
    ) -> list[WriteResult]:
        async def later() -> None:
            await asyncio.sleep(0.5)
            await change_many(store, changes, timeout=timeout)

        under_way.add(task := asyncio.create_task(later()))
        task.add_done_callback(under_way.discard)
        return [WriteResult.DONE] * len(changes)

    ChangeStore.change_many = soon  # type: ignore[assignment,method-assign]


def no_compare_and_set() -> None:
    """Change a booking whatever became of it since it was read, which is a moment ago."""
    change_many = ChangeStore.change_many

    def by_id(booking: Booking) -> dict[str, Any]:
        return {"_id": booking.id, "site": booking.site, "status": "booked"}

    async def late(
        store: ChangeStore, changes: Sequence[CompareAndSet], *, timeout: float
    ) -> list[WriteResult]:
        await asyncio.sleep(0.1)
        return await change_many(store, changes, timeout=timeout)

    store_of_changes._as_read = by_id
    ChangeStore.change_many = late  # type: ignore[method-assign, assignment]


def history_apart() -> None:
    """Write a change, and its entry in the history afterwards."""
    change_many = ChangeStore.change_many

    def without_history(change: CompareAndSet) -> UpdateOne:
        row = change.after.to_document()
        sets = {field: row[field] for field in store_of_changes._FIELDS}
        return UpdateOne(store_of_changes._as_read(change.before), {"$set": sets})

    async def in_two(
        store: ChangeStore, both: Sequence[CompareAndSet], *, timeout: float
    ) -> list[WriteResult]:
        outcomes = await change_many(store, both, timeout=timeout)
        await asyncio.sleep(0.1)
        for one in both:
            entry = one.after.history[-1].to_document()
            push = UpdateOne(
                {"_id": one.after.id, "version": one.after.version}, {"$push": {"history": entry}}
            )
            await write(store._latest, "history", [push], timeout=timeout)
        return outcomes

    store_of_changes._update = without_history
    ChangeStore.change_many = in_two  # type: ignore[assignment,method-assign]


def holds_used_up_first() -> None:
    """Use up the holds that a move has before it is decided."""
    carry_out = Mover._write

    async def use_up(
        moves: Mover, plans: Sequence[MovePlan], deadline: Deadline
    ) -> dict[MovePlan, WriteResult]:
        await moves._intents._store.use_up_holds([plan.intent for plan in plans])
        return await carry_out(moves, plans, deadline)

    Mover._write = use_up  # type: ignore[assignment,method-assign]


def secondary_reads() -> None:
    """Read for callers what any member has, committed or not."""

    async def anywhere(store: BookingStore, ids: Collection[str], **_: Any) -> dict[str, Booking]:
        near = store._latest.with_options(read_preference=ReadPreference.SECONDARY)  # type: ignore[arg-type]
        rows = await near.find({"_id": {"$in": list(ids)}}).to_list(None)
        return {row["_id"]: Booking.from_document(row) for row in rows if row["status"] != "refused"}

    BookingStore.get_many = anywhere  # type: ignore[assignment,method-assign]
