"""A replica set with one member down still has a majority, and the service works with it."""

import asyncio

import nats

from shared.stores.mongo import connection as mongodb
from shared.stores.mongo import indexes
from shared.stores.mongo.bookings import COLLECTION
from tests.callers import NatsCaller
from tests.proof.faults.cluster import Cluster
from tests.slots import fresh

CLAIM_INDEX = "one_booking_per_claim"


async def test_index_dropped_while_a_member_is_down_is_recreated(cluster: Cluster) -> None:
    """A unique index that is dropped while a member is down is recreated by the other members."""
    await cluster.start_over()
    primary = await cluster.primary()
    secondary = cluster.mongods[next(name for name in cluster.mongods if name != primary)]
    database = mongodb.connect(cluster.mongo_uri)
    async with await nats.connect(cluster.nats_urls[0]) as connection:
        caller = NatsCaller(connection)
        assert (
            await caller.book(fresh())
        ).status == 201  # an index build on an empty collection needs no votes of members
        await asyncio.to_thread(secondary.kill)
        try:
            await database[COLLECTION].drop_index(CLAIM_INDEX)
            async with asyncio.timeout(30):
                await _until_built(database)
            await cluster.wait_ready()
            assert (await caller.book(fresh())).status == 201
        finally:
            await asyncio.to_thread(secondary.start)
            database.client.close()


async def _until_built(database: mongodb.Database) -> None:
    while await indexes.find_absent(database):
        pass
