"""Cancels and moves, each of another booking; the bookings are put straight into MongoDB beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from pymongo import MongoClient

from shared.contract import operations
from shared.stores.mongo.bookings import COLLECTION
from tests.bench import nats_load as straight
from tests.bench.flood import Make
from tests.bench.load_result import Heard
from tests.bench.slots import CELL, first_slot
from tests.bench.stored import insert, rows
from tests.bench.wrk import APPOINTMENTS, http_load

# More bookings than are changed a second. Who runs out of them is answered 404, which is wrong.
OVER_HTTP, OVER_NATS = 5_000, 10_000
_NONE_LEFT = "none-left"


@dataclass(frozen=True)
class Change:
    """What can be done to a booking, by both ways in."""

    name: str
    method: str
    subject: str


CANCEL = Change("cancel", "DELETE", operations.CANCEL.many_subject)
MOVE = Change("move", "PATCH", operations.MOVE.many_subject)


def put(mongo_uri: str, bookings: int) -> list[str]:
    """Store so many bookings; their ids."""
    documents = list(islice(rows(first_slot(), CELL), bookings))
    with MongoClient[dict[str, object]](mongo_uri) as client:
        insert(client.get_default_database()[COLLECTION], documents)
    return [document["_id"] for document in documents]


def over_http(change: Change, url: str, connections: int, seconds: int, ids: Sequence[str]) -> Heard:
    """A change a request, of one booking after the other."""
    lines = [f"/{id}" for id in ids]
    return http_load(url, APPOINTMENTS, connections, seconds, method=change.method, lines=lines)


def over_nats(change: Change, nats_url: str, seconds: int, ids: Sequence[str]) -> Heard:
    """Many changes a message, of one booking after the other."""
    return straight.many(nats_url, seconds, change.subject, commands(change, ids))


def commands(change: Change, ids: Sequence[str]) -> Make:
    """Makes commands as they go over NATS; moves are to slots that nobody else asks for."""
    first = first_slot()

    def make(number: int) -> bytes:
        id = (ids[number] if number < len(ids) else _NONE_LEFT).encode()
        if change is CANCEL:
            return b'{"id":"%b"}' % id
        return b'{"id":"%b","slot":"%b"}' % (id, straight.slot_text(first, number))

    return make
