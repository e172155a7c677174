"""A Redis that answers with errors: full, read-only, or allowed to evict. Holds are still honoured."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import nats
import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError

from deploy.local.redis import Redis as EmbeddedRedis
from shared.stores.redis.connection import connect_redis
from shared.stores.redis.intents import HoldState
from tests.callers import NatsCaller
from tests.integration.breakable import until
from tests.integration.hold_stores import Stores, grant, rival_of, wanted
from tests.servers import Servers
from tests.slots import fresh


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis that a test may fill."""
    with EmbeddedRedis(tmp_path) as server:
        yield server


def fill(url: str) -> None:
    """Write until Redis refuses, by far more than its connection buffers may vary."""
    with Redis.from_url(url) as redis:
        redis.config_set("maxmemory", "16mb")
        with pytest.raises(OutOfMemoryError):  # noqa: PT012
            while True:
                redis.set(f"filling:{uuid4()}", "x" * 100_000)
        redis.config_set("maxmemory", "12mb")


async def test_full_redis_grants_no_hold_and_keeps_existing_ones(
    servers: Servers, embedded: EmbeddedRedis
) -> None:
    """In a full Redis a new hold is 503; existing holds stand, and bookings and releases succeed."""
    with servers.new_stack(REDIS_URL=embedded.url) as stack:
        stack.start("booking_worker")
        stack.start("hold_worker")
        stack.wait_serving()
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            caller = NatsCaller(connection)
            used, released, kept = (fresh("Ada", holdToken=str(uuid4())) for _ in range(3))
            for body in (used, released, kept):
                assert (await caller.hold(body)).status == 200
            fill(embedded.url)
            for body in (fresh("Eve"), kept):  # a new hold, and an extension
                refused = await caller.hold(body)
                assert (refused.status, refused.headers["error-type"]) == (503, "HoldsUnreachable")
                assert refused.body["outcome"] == "not_executed"
            for body in (used, released, kept):
                rival = await caller.book({**body, "patientName": "Eve", "holdToken": None})
                assert rival.error == "Slot is currently held by another user"
            assert (await caller.book(used)).status == 201
            assert (await caller.book(fresh("Eve"))).status == 201
            release = {"site": released["site"], "holdToken": released["holdToken"]}
            assert (await caller.request("hold.v1.release", release)).status == 200
            rival = await caller.book({**released, "patientName": "Eve", "holdToken": None})
            assert rival.status == 201
            assert (await caller.request("hold.v1.ready", {})).status == 200


async def test_booking_in_a_full_redis_has_an_intent(embedded: EmbeddedRedis) -> None:
    """In a full Redis a booking in progress still registers an intent, and clears it."""
    redis = connect_redis(embedded.url)
    stores, hold = Stores.on(redis), wanted()
    fill(embedded.url)
    rival = rival_of(hold)
    assert await stores.found_by(rival) is HoldState.FREE
    assert await stores.under_way(hold.claims.site) == list(hold.claims.keys)
    await stores.intents.clear_intents([rival])
    assert await stores.under_way(hold.claims.site) == []
    await redis.aclose()


async def test_read_only_redis_still_shows_holds(embedded: EmbeddedRedis) -> None:
    """If Redis refuses writes, a held slot is still refused and a free one is booked."""
    redis = connect_redis(embedded.url)
    stores, hold = Stores.on(redis), wanted()
    await grant(stores, hold)
    await redis.config_set("min-replicas-to-write", 1)
    assert await stores.found_by(rival_of(hold)) is HoldState.OTHERS
    assert await stores.found_by(rival_of(wanted())) is HoldState.FREE
    await redis.config_set("min-replicas-to-write", 0)
    await redis.replicaof("127.0.0.1", 1)
    assert await stores.found_by(rival_of(wanted())) is HoldState.FREE
    await redis.aclose()


async def test_redis_that_refuses_scripts_stops_bookings(embedded: EmbeddedRedis) -> None:
    """If Redis answers every script with an error, nothing is booked: the holds are unknown."""
    redis = connect_redis(embedded.url)
    await redis.acl_setuser("default", commands=["-evalsha", "-eval"])
    assert await Stores.on(redis).found_by(rival_of(wanted())) is HoldState.NOT_ASKED
    await redis.aclose()


async def test_evicting_redis_is_not_ready(servers: Servers, embedded: EmbeddedRedis) -> None:
    """A worker whose Redis may evict keys logs that at its start, and is not ready until it is corrected."""
    with Redis.from_url(embedded.url) as redis, servers.new_stack(REDIS_URL=embedded.url) as stack:
        redis.config_set("maxmemory-policy", "volatile-lru")
        worker = stack.start("hold_worker")
        stack.wait_serving()
        assert '"redis_not_safe"' in worker.log
        assert "REDIS_URL" in worker.log
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            caller = NatsCaller(connection)
            ready = await caller.request("hold.v1.ready", {})
            assert ready.status == 503
            assert "maxmemory-policy must be noeviction, not volatile-lru" in ready.body["checks"]["redis"]
            redis.config_set("maxmemory-policy", "noeviction")
            await until(lambda: '"redis_is_ready"' in worker.log, "the worker has checked again")
            assert (await caller.request("hold.v1.ready", {})).status == 200
            redis.acl_setuser("default", commands=["-info", "-config"])
            await until(lambda: bool(redis.acl_log()), "the worker's check was refused")
            assert (await caller.request("hold.v1.ready", {})).status == 200
