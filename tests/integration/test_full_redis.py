"""A Redis that is there and refuses: full, read-only, or one that may evict. Nobody's hold is passed over."""

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
    """Write until Redis takes no more, and so much that buffers of connections make no difference."""
    with Redis.from_url(url) as redis:
        redis.config_set("maxmemory", "16mb")
        with pytest.raises(OutOfMemoryError):  # noqa: PT012
            while True:
                redis.set(f"filling:{uuid4()}", "x" * 100_000)
        redis.config_set("maxmemory", "12mb")


async def test_a_full_redis_grants_no_new_hold_and_keeps_every_promise(
    servers: Servers, embedded: EmbeddedRedis
) -> None:
    """In a full Redis new holds are 503; held slots stay held, and bookings and releases go on."""
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


async def test_a_booking_in_a_full_redis_keeps_holds_away(embedded: EmbeddedRedis) -> None:
    """Where Redis is full, a booking that is under way still has an intent, which is cleared."""
    redis = connect_redis(embedded.url)
    stores, hold = Stores.on(redis), wanted()
    fill(embedded.url)
    rival = rival_of(hold)
    assert await stores.found_by(rival) is HoldState.FREE
    assert await stores.under_way(hold.claims.site) == list(hold.claims.keys)
    await stores.intents.clear_intents([rival])
    assert await stores.under_way(hold.claims.site) == []
    await redis.aclose()


async def test_a_redis_that_takes_no_writes_is_read(embedded: EmbeddedRedis) -> None:
    """Where Redis refuses to write, what another holds is not booked, and what is free is."""
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


async def test_a_redis_that_will_not_say_what_is_held_is_not_passed_over(embedded: EmbeddedRedis) -> None:
    """Where Redis answers every script with an error, nothing is booked: what is held is not known."""
    redis = connect_redis(embedded.url)
    await redis.acl_setuser("default", commands=["-evalsha", "-eval"])
    assert await Stores.on(redis).found_by(rival_of(wanted())) is HoldState.NOT_ASKED
    await redis.aclose()


async def test_a_redis_that_may_evict_holds_is_not_ready(servers: Servers, embedded: EmbeddedRedis) -> None:
    """A worker whose Redis evicts says so at its start, and is not ready until that is mended."""
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
            await until(lambda: '"redis_is_ready"' in worker.log, "it has looked again")
            assert (await caller.request("hold.v1.ready", {})).status == 200
            redis.acl_setuser("default", commands=["-info", "-config"])
            await until(lambda: bool(redis.acl_log()), "it has asked in vain")
            assert (await caller.request("hold.v1.ready", {})).status == 200
