"""Batches of writes: one round trip, and one outcome for each of them."""

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
"""A write of claims of another grid, from a worker that slept while the grid was changed: it is not done."""
SHORTEST_SECONDS = 0.001


class WriteResult(Enum):
    """What became of one write of a batch."""

    DONE = auto()
    DUPLICATE = auto()
    UNSURE = auto()
    """Of this batch something did not match, and MongoDB does not say what: the rows tell."""
    NOT_EXECUTED = auto()
    NO_PRIMARY = auto()
    UNKNOWN = auto()


_OF_ERRORS = {DUPLICATE_KEY: WriteResult.DUPLICATE, REFUSED_BY_VALIDATOR: WriteResult.NOT_EXECUTED}


async def write(
    collection: Collection,
    name: str,
    writes: Sequence[InsertOne[Document] | UpdateOne],
    *,
    timeout: float,
) -> list[WriteResult]:
    """One outcome for each write of a batch, in their order, within `timeout` seconds. Metrics say `name`.

    Never raises for MongoDB.
    """
    if not writes:
        return []
    try:
        with within(timeout), timed(MONGODB_SECONDS.labels(name)):
            result = await collection.bulk_write(list(writes), ordered=False)
    except BulkWriteError as error:
        return read_errors(error.details, len(writes))
    except ServerSelectionTimeoutError:  # of a first attempt: a retry raises what the attempt before met
        return [WriteResult.NO_PRIMARY] * len(writes)
    except PyMongoError:
        return [WriteResult.UNKNOWN] * len(writes)
    done = result.inserted_count + result.matched_count + result.upserted_count
    return [WriteResult.DONE if done == len(writes) else WriteResult.UNSURE] * len(writes)


def read_errors(details: Mapping[str, Any], count: int) -> list[WriteResult]:
    """The outcomes of `count` writes, of what pymongo tells of a batch that failed in part.

    A failed write concern makes each of them unknown, the duplicates too: their winner may roll back.
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
    """Bound what is inside; nothing is left to a caller whose deadline has just passed."""
    return pymongo.timeout(max(seconds, SHORTEST_SECONDS))
