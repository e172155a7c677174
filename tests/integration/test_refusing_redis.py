"""A Redis that answers with errors, as it loads or cannot save its data, does not count as lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from deploy.local.redis import Redis as EmbeddedRedis
from shared.contract.deadline import Deadline
from shared.contract.errors import HoldsUnreachable
from shared.stores.redis.connection import connect_redis
from shared.stores.redis.holds import Release
from shared.stores.redis.intents import HoldState
from tests.integration.hold_stores import Stores, grant, rival_of, wanted

KEYS = 12_000
KEY_SECONDS = 0.005


class SlowlyLoadingRedis(EmbeddedRedis):
    """A Redis that loads its data slowly, and answers LOADING meanwhile."""

    loads_slowly = False

    def options(self, port: int) -> list[str]:
        slowly = [
            *("--appendonly", "no", "--loading-process-events-interval-bytes", "1024"),
            *("--key-load-delay", str(int(KEY_SECONDS * 1_000_000))),
        ]
        return [*super().options(port), *(slowly if self.loads_slowly else [])]

    def look(self, port: int) -> str | None:
        return None if self.loads_slowly else super().look(port)


@asynccontextmanager
async def connected(server: EmbeddedRedis) -> AsyncIterator[Redis]:
    redis = connect_redis(server.url)
    try:
        yield redis
    finally:
        await redis.aclose()


async def assert_refuses_holds(stores: Stores) -> None:
    """Assert that a hold and a release are refused."""
    placed = await stores.holds.place_many([wanted()], Deadline.after(60))
    released = await stores.holds.release_many([Release("site", "token", 1)], Deadline.after(60))
    assert [type(outcome) for outcome in (*placed, *released)] == [HoldsUnreachable] * 2


async def test_while_redis_loads_its_data_nothing_is_booked_or_held(tmp_path: Path) -> None:
    """While Redis loads its data, bookings and holds are refused; then the loaded holds are honoured."""
    with SlowlyLoadingRedis(tmp_path) as server:
        hold = wanted()
        async with connected(server) as redis:
            await grant(Stores.on(redis), hold)
            await redis.mset({f"filling:{number}": "x" * 1024 for number in range(KEYS)})
            await redis.save()
        server.kill()
        server.loads_slowly = True
        server.start()
        async with connected(server) as redis:
            await until_loading(redis)
            stores = Stores.on(redis)
            for booking in (rival_of(hold), rival_of(wanted())):
                assert await stores.found_by(booking) is HoldState.NOT_ASKED
            await assert_refuses_holds(stores)
            with pytest.raises(BusyLoadingError):
                await redis.ping()
            await redis.config_set("key-load-delay", 0)
            await until_loaded(redis)
            assert await stores.found_by(rival_of(hold)) is HoldState.OTHERS
            assert await stores.found_by(rival_of(wanted())) is HoldState.FREE


async def until_loaded(redis: Redis) -> None:
    while (await redis.info("persistence"))["loading"]:  # noqa: ASYNC110  # Redis sends no event
        await asyncio.sleep(0.01)


async def until_loading(redis: Redis) -> None:
    """Wait until the restarted server accepts connections and answers LOADING."""
    while True:
        try:
            await redis.ping()
        except BusyLoadingError:
            return
        except RedisConnectionError:
            await asyncio.sleep(0.01)


async def test_a_redis_that_cannot_save_still_serves_reads(tmp_path: Path) -> None:
    """Under MISCONF, which PING gets too, a free slot is booked and a held slot is refused."""
    with EmbeddedRedis(tmp_path) as server:
        async with connected(server) as redis:
            stores, hold = Stores.on(redis), wanted()
            await grant(stores, hold)
            await fail_to_save(redis, tmp_path)
            with pytest.raises(ResponseError, match="MISCONF"):
                await redis.ping()
            assert await stores.found_by(rival_of(hold)) is HoldState.OTHERS
            assert await stores.found_by(rival_of(wanted())) is HoldState.FREE
            await assert_refuses_holds(stores)
            await redis.config_set("stop-writes-on-bgsave-error", "no")
            assert await stores.release(hold)
            assert await stores.found_by(rival_of(hold)) is HoldState.FREE


async def fail_to_save(redis: Redis, data_dir: Path) -> None:
    """Make Redis refuse writes: it cannot save, because a folder has the name of its dump file."""
    (data_dir / "dump.rdb").mkdir()
    await redis.config_set("save", "3600 1")
    await redis.config_set("stop-writes-on-bgsave-error", "yes")
    await redis.bgsave()
    while (await redis.info("persistence"))["rdb_last_bgsave_status"] == "ok":  # noqa: ASYNC110  # as above
        await asyncio.sleep(0.01)
