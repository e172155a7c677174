"""Databases that have many appointments already, put straight into MongoDB as this release writes them."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import uuid4

from pymongo import IndexModel, MongoClient

from shared.contract.commands import BookAppointment
from shared.contract.instants import unix_milliseconds
from shared.domain.booking import Booking
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.stores.mongo.bookings import COLLECTION
from shared.stores.mongo.indexes import INDEXES
from tests.bench.servers import Servers

BATCH = 2_000
_FIRST = datetime(2001, 1, 1, tzinfo=UTC)
_STEP = timedelta(minutes=1)


@contextmanager
def stored(servers: Servers, appointments: int) -> Iterator[str]:
    """The name of a database with so many, all booked and their indexes built; it is dropped afterwards."""
    name = f"bench_stored_{appointments}"
    with MongoClient[dict[str, Any]](servers.mongod.url) as client:
        try:
            collection = client[name][COLLECTION]
            documents = rows()
            for done in range(0, appointments, BATCH):
                batch = list(islice(documents, min(BATCH, appointments - done)))
                collection.insert_many(batch, ordered=False)
            collection.create_indexes(
                [
                    IndexModel(list(options["key"].items()), name=index, **_without_key(options))
                    for index, options in INDEXES.items()
                ]
            )
            yield name
        finally:
            client.drop_database(name)


def rows() -> Iterator[dict[str, Any]]:
    """Documents without end, one a minute, none of a slot that the load asks for in its lifetime."""
    command = BookAppointment.model_validate({"slot": _FIRST, "patientName": "Ada Lovelace"})
    pattern = Booking.new(command, Grid(0).span_of(command), Digests(secrets.token_bytes(32))).to_document()
    slot = _FIRST
    while True:
        moment = unix_milliseconds(slot)
        claims = [f"{resource}/{moment}" for resource in pattern["resources"]]
        own = {"_id": str(uuid4()), "idempotencyKey": str(uuid4()), "slot": slot, "claims": claims}
        yield {**pattern, **own}
        slot += _STEP


def _without_key(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "key"}
