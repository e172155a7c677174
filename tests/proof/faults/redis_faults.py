"""Faults of Redis. Each may lose holds, or keep workers from them; none may make two bookings of a slot."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from tests.proof.faults.cluster import Cluster
from tests.proof.faults.server_faults import Impossible

SPARE_BYTES = (-1_000_000_000, 0, 20_000)
"""From none at all, so that everything is evicted and every hold refused, to some."""
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
    """Too little memory: holds are evicted, or refused."""
    spare = random.choice(SPARE_BYTES)
    await asyncio.to_thread(cluster.redis.limit_memory, spare)
    try:
        yield f"redis with {max(0, spare)} bytes to spare"
    finally:
        await asyncio.to_thread(cluster.redis.restore_memory)


@asynccontextmanager
async def move_redis_clock(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    """An hour on or back: holds end at once, or long after their time."""
    ahead = random.choice(JUMP_SECONDS)
    try:
        if not await asyncio.to_thread(cluster.redis.set_clock, ahead):
            raise Impossible
        yield f"redis {ahead:+} s"
    finally:
        await asyncio.to_thread(cluster.redis.set_clock, 0)
