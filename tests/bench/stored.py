"""Appointments that are inserted straight into MongoDB, as this release writes them."""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from typing import Any
from uuid import uuid4

from pymongo import IndexModel, MongoClient
from pymongo.collection import Collection

from shared.contract.commands import DEFAULT_RESOURCE, BookAppointment
from shared.contract.instants import unix_milliseconds
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.stores.mongo.bookings import COLLECTION
from shared.stores.mongo.indexes import INDEXES
from tests.bench.servers import Servers
from tests.bench.slots import GRID_MINUTES

BATCH = 2_000
FIRST = datetime(2001, 1, 1, tzinfo=UTC)
STEP = timedelta(minutes=15)
GRID = Grid(GRID_MINUTES)
DOCTORS = tuple(f"doctor-{number}" for number in range(20))


@contextmanager
def stored(servers: Servers, appointments: int) -> Iterator[str]:
    """Yield the name of a database with all indexes and this many appointments of twenty doctors."""
    name = f"bench_stored_{appointments}"
    with MongoClient[dict[str, Any]](servers.mongod.url) as client:
        try:
            collection = client[name][COLLECTION]
            insert(collection, islice(rows(FIRST, STEP, DOCTORS), appointments))
            collection.create_indexes(
                [
                    IndexModel(list(options["key"].items()), name=index, **_without_key(options))
                    for index, options in INDEXES.items()
                ]
            )
            yield name
        finally:
            client.drop_database(name)


def insert(collection: Collection[dict[str, Any]], documents: Iterable[dict[str, Any]]) -> None:
    """Insert documents into MongoDB unchanged."""
    left = iter(documents)
    while batch := list(islice(left, BATCH)):
        collection.insert_many(batch, ordered=False)


def rows(
    first: datetime, step: timedelta, resources: Sequence[str] = (DEFAULT_RESOURCE,)
) -> Iterator[dict[str, Any]]:
    """Yield bookings of one cell without end: one for each resource, then the same a step later."""
    command = BookAppointment.model_validate({"slot": first, "patientName": "Ada Lovelace"})
    pattern = Booking.new(
        command, span := GRID.slot_range(command), Claims.of(command, span), Digests(secrets.token_bytes(32))
    ).to_document()
    (booked,) = pattern["history"]
    for number in count():
        slot, resource = first + number // len(resources) * step, resources[number % len(resources)]
        place = {"slot": slot, "resources": [resource]}
        yield {
            **pattern,
            **place,
            "_id": str(uuid4()),
            "idempotencyKey": str(uuid4()),
            "claims": [f"{resource}/{unix_milliseconds(slot)}"],
            "history": [{**booked, **place}],
        }


def _without_key(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "key"}
