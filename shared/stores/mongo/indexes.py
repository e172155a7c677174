"""Define, verify and create the indexes of `appointments`. The two unique ones decide who gets a slot."""

import math
from collections.abc import Collection
from typing import Any

import structlog
from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError, OperationFailure

from shared.contract.asked_at import LATEST_ATTEMPT_SECONDS
from shared.process.settings import Misconfigured
from shared.stores.mongo.bookings import COLLECTION, STATUS_BOOKED, STATUS_REFUSED
from shared.stores.mongo.connection import Database, Document, is_standalone

NAMESPACE_NOT_FOUND = 26
TOMBSTONE_SECONDS = math.ceil(LATEST_ATTEMPT_SECONDS)
"""No attempt that a tombstone bars arrives later than this after the tombstone was written."""
INDEXES: dict[str, dict[str, Any]] = {
    "one_booking_per_claim": {
        "key": {"site": 1, "claims": 1},
        "unique": True,
        "partialFilterExpression": {"status": STATUS_BOOKED},
    },
    "one_booking_per_key": {"key": {"site": 1, "idempotencyKey": 1}, "unique": True},
    "by_resource_and_slot": {
        "key": {"site": 1, "resources": 1, "slot": 1},
        "partialFilterExpression": {"status": STATUS_BOOKED},
    },
    "by_site_and_slot": {
        "key": {"site": 1, "slot": 1, "_id": 1},
        "partialFilterExpression": {"status": STATUS_BOOKED},
    },
    "by_site_and_begin": {
        "key": {"site": 1, "begin": 1, "resources": 1},
        "partialFilterExpression": {"status": STATUS_BOOKED, "begin": {"$exists": True}},
    },
    "by_updated_at": {"key": {"updatedAt": 1}, "partialFilterExpression": {"updatedAt": {"$exists": True}}},
    "refused_rows_expire": {
        "key": {"refusedAt": 1},
        "partialFilterExpression": {"status": STATUS_REFUSED},
        "expireAfterSeconds": TOMBSTONE_SECONDS,
    },
}
DECIDING = [name for name, index in INDEXES.items() if "unique" in index]
"""If one of these is gone, a worker stops serving.

Another absent index is created at the next start.
"""
_NOT_OPTIONS = {"v", "name", "ns", "background"}

log = structlog.get_logger()


class Duplicated(Exception):
    """Several bookings share a value that the unique index `index` forbids, so it cannot be created."""

    def __init__(self, index: str) -> None:
        super().__init__(f"index {index} cannot be made: there are duplicates")
        self.index = index


async def find_absent(database: Database, names: Collection[str] = INDEXES.keys()) -> list[str]:
    """Return the names of indexes that are absent or still being built: until then they guarantee nothing.

    If only the expiry of a TTL index differs, it is changed.

    Raises:
        Misconfigured: an index exists with other options.
    """
    try:
        listed = await database.command("listIndexes", COLLECTION, includeBuildUUIDs=True)
    except OperationFailure as error:
        if error.code == NAMESPACE_NOT_FOUND:
            return list(names)
        raise
    # An index that is being built is listed as {"spec": {...}, "buildUUID": ...}.
    built = [index for index in listed["cursor"]["firstBatch"] if "spec" not in index]
    found = {index["name"]: _options(index) for index in built}
    for name in found.keys() & names:
        # Dicts compare equal in any order of keys, but the order is part of an index.
        wanted = INDEXES[name]
        if "expireAfterSeconds" in wanted and found[name] != wanted:
            found[name] |= await _change_expiry(database, name, found[name].get("expireAfterSeconds"))
        if found[name] != wanted or list(found[name]["key"]) != list(wanted["key"]):
            raise Misconfigured(f"MongoDB index {name} has other options than it must have")
    return [name for name in names if name not in found]


async def _change_expiry(database: Database, name: str, seconds: float | None) -> dict[str, Any]:
    """Set the expiry of a TTL index. A failure is logged, and does not keep a worker from serving."""
    wanted = INDEXES[name]["expireAfterSeconds"]
    if seconds != wanted:
        try:
            index = {"name": name, "expireAfterSeconds": wanted}
            await database.command("collMod", COLLECTION, index=index)
            log.info("index_expiry_changed", index=name, seconds=wanted)
        except OperationFailure as error:
            log.warning("index_expiry_not_changed", index=name, code=error.code)
    return {"expireAfterSeconds": wanted}


async def create(database: Database, name: str) -> None:
    """Create an index of `INDEXES`, and wait until it is built.

    Raises:
        Duplicated: some bookings share a value that the index forbids.
        Misconfigured: another index has its name or keys.
    """
    wanted = INDEXES[name]
    options = {option: value for option, value in wanted.items() if option != "key"}
    index = IndexModel(list(wanted["key"].items()), name=name, **options)
    # By default every member has to vote: one absent member would keep the workers from serving.
    quorum: Document = {} if await is_standalone(database) else {"commitQuorum": "majority"}
    try:
        await database.get_collection(COLLECTION).create_indexes([index], **quorum)
    except DuplicateKeyError:
        raise Duplicated(name) from None
    except OperationFailure as error:
        if error.code in {85, 86}:  # IndexOptionsConflict, IndexKeySpecsConflict
            raise Misconfigured(f"MongoDB has another index with the keys or name of {name}") from None
        raise
    log.info("index_created", index=name)


def _options(index: Document) -> dict[str, Any]:
    options = {option: value for option, value in index.items() if option not in _NOT_OPTIONS}
    return {**options, "key": dict(index["key"])}
