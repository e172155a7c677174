"""Faults of the services' processes. Each breaks one, yields its name, and heals it at the end."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from tests.faults.cluster import Cluster

WORKERS = ("booking_worker", "hold_worker")


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
