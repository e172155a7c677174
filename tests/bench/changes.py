"""Cancels and moves of bookings that are inserted straight into MongoDB beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from pymongo import MongoClient

from shared.contract import operations
from shared.stores.mongo.bookings import COLLECTION
from tests.bench import nats_load
from tests.bench.flood import Make
from tests.bench.load_result import LoadResult
from tests.bench.slots import CELL, first_slot
from tests.bench.stored import insert, rows
from tests.bench.wrk import APPOINTMENTS, http_load

# Bookings per second of load, more than are changed. After the last one a change gets 404, which is wrong.
OVER_HTTP, OVER_NATS = 5_000, 10_000
_NONE_LEFT = "none-left"


@dataclass(frozen=True)
class Change:
    """One kind of change, over both transports."""

    name: str
    method: str
    subject: str


CANCEL = Change("cancel", "DELETE", operations.CANCEL.many_subject)
MOVE = Change("move", "PATCH", operations.MOVE.many_subject)


def insert_bookings(mongo_uri: str, bookings: int) -> list[str]:
    """Insert this many bookings, and return their ids."""
    documents = list(islice(rows(first_slot(), CELL), bookings))
    with MongoClient[dict[str, object]](mongo_uri) as client:
        insert(client.get_default_database()[COLLECTION], documents)
    return [document["_id"] for document in documents]


def over_http(change: Change, url: str, connections: int, seconds: int, ids: Sequence[str]) -> LoadResult:
    """Change one booking per request over HTTP, in the order of `ids`."""
    lines = [f"/{id}" for id in ids]
    return http_load(url, APPOINTMENTS, connections, seconds, method=change.method, lines=lines)


def over_nats(change: Change, nats_url: str, seconds: int, ids: Sequence[str]) -> LoadResult:
    """Change bookings in batches over NATS, in the order of `ids`."""
    return nats_load.batches(nats_url, seconds, change.subject, commands(change, ids))


def commands(change: Change, ids: Sequence[str]) -> Make:
    """Return a function that makes the NATS command of a number; every move is to a slot of its own."""
    first = first_slot()

    def make(number: int) -> bytes:
        id = (ids[number] if number < len(ids) else _NONE_LEFT).encode()
        if change is CANCEL:
            return b'{"id":"%b"}' % id
        return b'{"id":"%b","slot":"%b"}' % (id, nats_load.slot_text(first, number))

    return make
