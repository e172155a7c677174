"""Send batches of writes: one round trip, and one outcome per write."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum, auto
from typing import Any

import pymongo
from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError, ServerSelectionTimeoutError

from shared.stores.metrics import MONGODB_SECONDS, timed
from shared.stores.mongo.connection import Collection, Document

DUPLICATE_KEY = 11000
REFUSED_BY_VALIDATOR = 121
"""The code of a write with claims of another grid. It has no effect.

Its worker slept while the grid was changed.
"""
SHORTEST_SECONDS = 0.001


class WriteResult(Enum):
    """The outcome of one write of a batch."""

    DONE = auto()
    DUPLICATE = auto()
    UNSURE = auto()
    """Some write of this batch did not match, and MongoDB does not return which; the rows have to be read."""
    NOT_EXECUTED = auto()
    NO_PRIMARY = auto()
    UNKNOWN = auto()


_OF_ERRORS = {DUPLICATE_KEY: WriteResult.DUPLICATE, REFUSED_BY_VALIDATOR: WriteResult.NOT_EXECUTED}


async def bulk_write(
    collection: Collection,
    name: str,
    writes: Sequence[InsertOne[Document] | UpdateOne],
    *,
    timeout: float,
) -> list[WriteResult]:
    """Send a batch of writes within `timeout` seconds. Never raises for MongoDB.

    `name` labels the metric.

    Returns:
        One outcome per write, in the same order.
    """
    if not writes:
        return []
    try:
        with within(timeout), timed(MONGODB_SECONDS.labels(name)):
            result = await collection.bulk_write(list(writes), ordered=False)
    except BulkWriteError as error:
        return read_errors(error.details, len(writes))
    except ServerSelectionTimeoutError:  # of a first attempt; a retry raises the earlier error
        return [WriteResult.NO_PRIMARY] * len(writes)
    except PyMongoError:
        return [WriteResult.UNKNOWN] * len(writes)
    done = result.inserted_count + result.matched_count + result.upserted_count
    return [WriteResult.DONE if done == len(writes) else WriteResult.UNSURE] * len(writes)


def read_errors(details: Mapping[str, Any], count: int) -> list[WriteResult]:
    """Derive the outcomes of `count` writes from pymongo's details of a batch that failed in part.

    A failed write concern makes all of them unknown, duplicates too: the booking that won may be rolled back.
    """
    if details["writeConcernErrors"]:
        return [WriteResult.UNKNOWN] * count
    done = details["nInserted"] + details["nMatched"] + details["nUpserted"]
    adds_up = done + len(details["writeErrors"]) == count
    outcomes = [WriteResult.DONE if adds_up else WriteResult.UNSURE] * count
    for error in details["writeErrors"]:
        outcomes[error["index"]] = _OF_ERRORS.get(error["code"], WriteResult.UNKNOWN)
    return outcomes


def within(seconds: float) -> AbstractContextManager[None]:
    """Bound the block by `seconds`; if none are left, by the shortest timeout, so that calls fail at once."""
    return pymongo.timeout(max(seconds, SHORTEST_SECONDS))
