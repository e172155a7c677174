"""Faults of Redis. They may lose holds or hide them from workers; they may never cause a double booking."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from tests.proof.faults.cluster import Cluster
from tests.proof.faults.server_faults import FaultNotPossible

SPARE_BYTES = (-1_000_000_000, 0, 20_000)
"""From no free memory, which evicts every key and refuses every hold, to some."""
JUMP_SECONDS = (-3600, 3600)


@asynccontextmanager
async def pause_redis(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    cluster.redis.pause()
    try:
        yield "redis"
    finally:
        cluster.redis.resume()


@asynccontextmanager
async def flush_redis(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    await asyncio.to_thread(cluster.redis.forget)
    yield "redis"


@asynccontextmanager
async def starve_redis(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    """Limit the memory, so that holds are evicted or refused."""
    spare = random.choice(SPARE_BYTES)
    await asyncio.to_thread(cluster.redis.limit_memory, spare)
    try:
        yield f"redis with {max(0, spare)} bytes to spare"
    finally:
        await asyncio.to_thread(cluster.redis.restore_memory)


@asynccontextmanager
async def move_redis_clock(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    """Set the clock an hour ahead or back: holds expire at once, or long after their time."""
    ahead = random.choice(JUMP_SECONDS)
    try:
        if not await asyncio.to_thread(cluster.redis.set_clock, ahead):
            raise FaultNotPossible
        yield f"redis {ahead:+} s"
    finally:
        await asyncio.to_thread(cluster.redis.set_clock, 0)
