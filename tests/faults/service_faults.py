"""Faults of the services' processes. Each breaks one, yields its name, and heals it at the end."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from tests.faults.cluster import Cluster

WORKERS = ("booking_worker", "hold_worker")
STUTTERS = 3, 4
FROZEN_SECONDS = 0.5, 0.7
"""Longer than a worker's patience with Redis."""
THAWED_SECONDS = 0.001, 0.005


def _choose(cluster: Cluster, random: Random, module: str) -> str:
    modules = (module,) if module else WORKERS
    return random.choice([name for each in modules for name in cluster.services.names(each)])


@asynccontextmanager
async def kill_service(cluster: Cluster, random: Random, *, module: str = "") -> AsyncIterator[str]:
    """SIGKILL, and start it again later; a worker, unless a module is given."""
    name = _choose(cluster, random, module)
    await asyncio.to_thread(cluster.services.kill, name)
    try:
        yield name
    finally:
        cluster.services.start(name)


@asynccontextmanager
async def terminate_service(cluster: Cluster, random: Random, *, module: str = "") -> AsyncIterator[str]:
    """SIGTERM, and start it again once it has ended."""
    name = _choose(cluster, random, module)
    stopping = asyncio.create_task(asyncio.to_thread(cluster.services.stop, name))
    try:
        yield name
    finally:
        await stopping
        cluster.services.start(name)


@asynccontextmanager
async def pause_service(cluster: Cluster, random: Random, *, module: str = "") -> AsyncIterator[str]:
    """SIGSTOP: it keeps its connections, and goes on later as if nothing had been."""
    name = _choose(cluster, random, module)
    service = cluster.services.pause(name)
    try:
        yield name
    finally:
        service.send(signal.SIGCONT)


@asynccontextmanager
async def stutter_service(cluster: Cluster, random: Random, *, module: str) -> AsyncIterator[str]:
    """SIGSTOP a few times in a row, with hardly time to work between: a busy host, a stopped VM."""
    name = _choose(cluster, random, module)
    stuttering = asyncio.create_task(_stutter(cluster, random, name))
    try:
        yield name
    finally:
        await stuttering


async def _stutter(cluster: Cluster, random: Random, name: str) -> None:
    for _ in range(random.randint(*STUTTERS)):
        service = cluster.services.pause(name)
        try:
            await asyncio.sleep(random.uniform(*FROZEN_SECONDS))
        finally:
            service.send(signal.SIGCONT)
        await asyncio.sleep(random.uniform(*THAWED_SECONDS))
