"""Report bookings that share a claim or key, for a person to decide which of them stands."""

import pymongo
import structlog

from shared.stores.mongo.bookings import COLLECTION, STATUS_BOOKED
from shared.stores.mongo.connection import Database, Document, aggregate

MOST_REPORTED = 20
SEARCH_SECONDS = 30.0

log = structlog.get_logger()


async def log_duplicates(database: Database, key: dict[str, int]) -> None:
    """Log the values that prevent the unique index on `key`, with the ids of their bookings."""
    field = list(key)[-1]
    stages: list[Document] = [
        {"$group": {"_id": {"site": "$site", "value": f"${field}"}, "ids": {"$push": "$_id"}}},
        {"$match": {"ids.1": {"$exists": True}}},
        {"$limit": MOST_REPORTED},
    ]
    if field == "claims":
        stages = [{"$match": {"status": STATUS_BOOKED}}, {"$unwind": "$claims"}, *stages]
    with pymongo.timeout(SEARCH_SECONDS):
        async for group in aggregate(database.get_collection(COLLECTION), stages):
            site, value = group["_id"].get("site"), group["_id"].get("value")
            if field == "claims":
                log.error("slot_booked_twice", site=site, claim=value, appointments=group["ids"])
            else:
                log.error("key_used_twice", site=site, appointments=group["ids"])
