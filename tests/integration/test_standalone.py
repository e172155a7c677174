"""A MongoDB that is not a replica set is accepted, with a warning."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from booking_worker.privacy.erasure import erase
from deploy.local.mongod import DATABASE, Mongod
from deploy.local.ports import LOOPBACK
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.personal_data import PersonalData, with_ids
from tests.integration.breakable import http_caller
from tests.servers import Servers
from tests.slots import fresh


class StandaloneMongod(Mongod):
    """A mongod without a replica set."""

    @property
    def url(self) -> str:
        return f"mongodb://{LOOPBACK}:{self.port}/{DATABASE}"

    def options(self, port: int) -> list[str]:
        options = super().options(port)
        at = options.index("--replSet")
        return [*options[:at], *options[at + 2 :]]


@pytest.fixture
def mongod(tmp_path: Path) -> Iterator[StandaloneMongod]:
    with StandaloneMongod(tmp_path) as mongod:
        yield mongod


async def test_a_standalone_is_served_with_a_warning(servers: Servers, mongod: StandaloneMongod) -> None:
    """On a standalone mongod slots are booked, held, refused, replayed and erased as on a replica set."""
    key = {"Idempotency-Key": "order 4711"}
    with servers.new_stack(MONGO_URI=mongod.url) as stack:
        stack.up(booking_workers=1)
        async with http_caller(stack) as caller:
            body, held = fresh(), fresh()
            booked = await caller.book(body, **key)
            assert booked.status == 201
            assert (await caller.book(body, **key)).body == booked.body
            rivals = [{**slot, "patientName": "Grace"} for slot in (body, held)]
            assert (await caller.hold(rivals[0])).error == "Slot already booked"
            assert (await caller.hold(held)).status == 200
            assert (await caller.book(rivals[0])).error == "Slot already booked"
            assert (await caller.book(rivals[1])).error == "Slot is currently held by another user"
            id = booked.body["appointment"]["id"]
            assert (await caller.get(id)).status == 200
            database = mongodb.connect(mongod.url)
            assert (await erase(PersonalData(database), with_ids([id]))).total == 1
            mongodb.close(database)
            assert "patientName" not in (await caller.get(id)).body["appointment"]
        assert "mongodb_is_standalone" in stack.workers("booking_worker")[0].log
