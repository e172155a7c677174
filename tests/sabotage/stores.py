"""Remove safeguards of the MongoDB stores, or make the stores slow or fail."""

import asyncio
from collections.abc import Collection
from math import inf
from typing import Any

import structlog
from pymongo import ReadPreference, WriteConcern

from booking_worker.bookings.lately_booked import LatelyBooked
from shared.domain.booking import Booking
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.meta import settle
from shared.stores.mongo.schema import Schema
from shared.stores.mongo.writes import BookingWrites
from shared.worker import batcher, flow_control


def no_index_check() -> None:
    """Serve without checking the indexes, and insert without checking recent refusals."""

    async def believe(schema: Schema) -> None:
        schema._meta = await settle(schema._database, schema._meta or schema._slot_minutes)
        schema._valid_until, schema._problem = inf, None

    Schema._check = believe  # type: ignore[assignment,method-assign]
    LatelyBooked.has_any = lambda *_: False  # type: ignore[method-assign]


def write_concern_one() -> None:
    """Acknowledge writes that only the primary has."""
    vars(mongodb)["WriteConcern"] = lambda _w, **more: WriteConcern(1, **more)


def no_read_barrier() -> None:
    """Read without a barrier, so that a deposed primary may answer."""

    async def find(
        store: BookingStore, any_of: list[dict[str, Any]], _timeout: float
    ) -> list[dict[str, Any]]:
        return await store._committed.find({"$or": any_of}).to_list(None)

    BookingStore._find_behind_barrier = find  # type: ignore[assignment,method-assign]


def no_doubt() -> None:
    """Count a write without an answer as not executed."""
    insert_many = BookingWrites.insert_many

    async def sure(*args: Any, **more: Any) -> list[WriteResult]:
        outcomes = await insert_many(*args, **more)
        return [WriteResult.NOT_EXECUTED if one is WriteResult.UNKNOWN else one for one in outcomes]

    BookingWrites.insert_many = sure  # type: ignore[method-assign]


def slow_store() -> None:
    """Delay inserts by two seconds, so that many commands are in flight."""
    _delay_inserts(2)


def sluggish_store() -> None:
    """Delay inserts by half a second, so that bookings are in flight for long."""
    _delay_inserts(0.5)


def small_worker() -> None:
    """Limit a worker to 32 bookings a batch and 250 commands in flight."""
    _delay_inserts(0.25)
    vars(batcher)["LARGEST_BATCH"] = 32
    vars(flow_control)["MOST_IN_FLIGHT"] = 250


def stuck_store() -> None:
    """Delay inserts for longer than any test, so that commands stay in flight."""
    _delay_inserts(3600)


def failing_store() -> None:
    """Raise an exception that quotes the bookings to insert."""

    async def fail(_store: BookingWrites, bookings: Any, **_: Any) -> Any:
        raise ValueError(f"cannot insert {bookings}")

    BookingWrites.insert_many = fail  # type: ignore[assignment,method-assign]


def _delay_inserts(seconds: float) -> None:
    insert_many = BookingWrites.insert_many

    async def slow(*args: Any, **more: Any) -> Any:
        structlog.get_logger().info("insert_delayed")
        await asyncio.sleep(seconds)
        return await insert_many(*args, **more)

    BookingWrites.insert_many = slow  # type: ignore[method-assign]


def secondary_reads() -> None:
    """Read bookings for callers from secondaries, committed or not."""

    async def anywhere(store: BookingStore, ids: Collection[str], **_: Any) -> dict[str, Booking]:
        near = store._latest.with_options(read_preference=ReadPreference.SECONDARY)  # type: ignore[arg-type]
        rows = await near.find({"_id": {"$in": list(ids)}}).to_list(None)
        return {row["_id"]: Booking.from_document(row) for row in rows if row["status"] != "refused"}

    BookingStore.get_many = anywhere  # type: ignore[assignment,method-assign]
