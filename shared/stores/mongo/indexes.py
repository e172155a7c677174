"""The indexes of `appointments`. The two that are unique decide who gets a slot."""

from collections.abc import Collection
from typing import Any

import structlog
from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError, OperationFailure

from shared.process.settings import Misconfigured
from shared.stores.mongo.bookings import COLLECTION, STATUS_BOOKED, STATUS_REFUSED
from shared.stores.mongo.connection import Database, Document, is_standalone

NAMESPACE_NOT_FOUND = 26
REFUSED_SECONDS = 86_400
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
    "refused_rows_expire": {
        "key": {"refusedAt": 1},
        "partialFilterExpression": {"status": STATUS_REFUSED},
        "expireAfterSeconds": REFUSED_SECONDS,
    },
}
DECIDING = [name for name, index in INDEXES.items() if "unique" in index]
"""Where one of these is gone, a worker serves no more; another waits for a next start."""
_NOT_OPTIONS = {"v", "name", "ns", "background"}

log = structlog.get_logger()


class Duplicated(Exception):
    """Several bookings share what the unique index `index` forbids, so that it cannot be made."""

    def __init__(self, index: str) -> None:
        super().__init__(f"index {index} cannot be made: there are duplicates")
        self.index = index


async def find_absent(database: Database, names: Collection[str] = INDEXES.keys()) -> list[str]:
    """Those of the indexes that are not there, or still being built: until then they guarantee nothing.

    Raises:
        Misconfigured: one is there with other options.
    """
    try:
        listed = await database.command("listIndexes", COLLECTION, includeBuildUUIDs=True)
    except OperationFailure as error:
        if error.code == NAMESPACE_NOT_FOUND:
            return list(names)
        raise
    # One that is being built is listed as {"spec": {...}, "buildUUID": ...}.
    built = [index for index in listed["cursor"]["firstBatch"] if "spec" not in index]
    found = {index["name"]: _options(index) for index in built}
    for name in found.keys() & names:
        # A dict says nothing of the order of the keys, which is half of what an index is.
        if found[name] != INDEXES[name] or list(found[name]["key"]) != list(INDEXES[name]["key"]):
            raise Misconfigured(f"MongoDB index {name} has other options than it must have")
    return [name for name in names if name not in found]


async def create(database: Database, name: str) -> None:
    """Create an index of `INDEXES`, and wait until it is built.

    Raises:
        Duplicated: some bookings share what it forbids.
        Misconfigured: another index is in its way.
    """
    wanted = INDEXES[name]
    options = {option: value for option, value in wanted.items() if option != "key"}
    index = IndexModel(list(wanted["key"].items()), name=name, **options)
    # By default every member has to be there; one that is away would keep the others from serving.
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
