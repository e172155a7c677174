"""Bookings that share what a unique index forbids. A person has to decide which of them stands."""

from typing import Any

import pymongo
import structlog

from shared.contract.instants import format_instant
from shared.stores.mongo.bookings import COLLECTION, STATUS_BOOKED
from shared.stores.mongo.connection import Database

MOST_REPORTED = 20
SEARCH_SECONDS = 30.0

log = structlog.get_logger()


async def log_duplicates(database: Database, key: dict[str, int]) -> None:
    """Log what the unique index on `key` forbids: the slots or keys, and the ids of their bookings."""
    field = list(key)[-1]
    stages: list[dict[str, Any]] = [
        {"$group": {"_id": {"resource": "$resource", "shared": f"${field}"}, "ids": {"$push": "$_id"}}},
        {"$match": {"ids.1": {"$exists": True}}},
        {"$limit": MOST_REPORTED},
    ]
    if field == "occupies":
        stages = [{"$match": {"status": STATUS_BOOKED}}, {"$unwind": "$occupies"}, *stages]
    with pymongo.timeout(SEARCH_SECONDS):
        cursor = database.get_collection(COLLECTION).aggregate(stages, allowDiskUse=True)
        async for group in cursor:
            resource, shared = group["_id"]["resource"], group["_id"]["shared"]
            if field == "occupies":
                slot = format_instant(shared)
                log.error("slot_booked_twice", resource=resource, slot=slot, appointments=group["ids"])
            else:
                log.error("key_used_twice", resource=resource, appointments=group["ids"])
