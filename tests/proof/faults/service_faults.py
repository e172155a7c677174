"""Faults of the services' processes. Each breaks one process, yields its name, and heals it at the end."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from tests.proof.faults.clock import Clock
from tests.proof.faults.cluster import Cluster
from tests.proof.faults.piped_service import PipedService
from tests.proof.faults.server_faults import FaultNotPossible
from tests.stack import wait_until

WORKERS = ("booking_worker", "hold_worker")
STUTTERS = 3, 4
FROZEN_SECONDS = 0.5, 0.7
"""Longer than a worker's timeout for Redis."""
THAWED_SECONDS = 0.001, 0.005

SKEW_SECONDS = (-2, 2)


def _choose(cluster: Cluster, random: Random, module: str) -> str:
    modules = (module,) if module else WORKERS
    return random.choice([name for each in modules for name in cluster.services.names(each)])


@asynccontextmanager
async def kill_service(cluster: Cluster, random: Random, *, module: str = "") -> AsyncIterator[str]:
    """Kill a process with SIGKILL and start it again later; a worker, unless a module is given."""
    name = _choose(cluster, random, module)
    await asyncio.to_thread(cluster.services.kill, name)
    try:
        yield name
    finally:
        cluster.services.start(name)


@asynccontextmanager
async def terminate_service(cluster: Cluster, random: Random, *, module: str = "") -> AsyncIterator[str]:
    """Send SIGTERM, and start the process again once it has ended."""
    name = _choose(cluster, random, module)
    stopping = asyncio.create_task(asyncio.to_thread(cluster.services.stop, name))
    try:
        yield name
    finally:
        await stopping
        cluster.services.start(name)


@asynccontextmanager
async def pause_service(cluster: Cluster, random: Random, *, module: str = "") -> AsyncIterator[str]:
    """Send SIGSTOP: the process keeps its connections, and resumes later."""
    name = _choose(cluster, random, module)
    service = cluster.services.pause(name)
    try:
        yield name
    finally:
        service.send(signal.SIGCONT)


@asynccontextmanager
async def stutter_service(cluster: Cluster, random: Random, *, module: str) -> AsyncIterator[str]:
    """Send SIGSTOP several times in a row, with little time to run in between, as on a busy host."""
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


@asynccontextmanager
async def skew_clock(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    """Set a booking worker's clock two seconds back or ahead, from its start or while it serves."""
    name, ahead = _choose(cluster, random, "booking_worker"), random.choice(SKEW_SECONDS)
    clock = Clock(cluster.folder / f"{name}.clock")
    if not clock.available:
        raise FaultNotPossible
    at_once = random.random() < 0.5
    clock.set(ahead if at_once else 0)
    await asyncio.to_thread(cluster.services.kill, name)
    try:
        service = cluster.services.start(name, **clock.environment())
        if not at_once:
            await asyncio.to_thread(wait_until, lambda: service.problem() is None, f"{name} serves")
            clock.set(ahead)
        yield f"{name} {ahead:+} s{' from its start' if at_once else ''}"
    finally:
        cluster.services.complain_if_ended(name)
        await asyncio.to_thread(cluster.services.kill, name)
        cluster.services.start(name)


@asynccontextmanager
async def lose_log_reader(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    """Close the pipe that a worker logs into, or leave it full for a while."""
    name, is_closed = _choose(cluster, random, ""), random.random() < 0.5
    await asyncio.to_thread(cluster.services.kill, name)
    service = cluster.services.start(name, PipedService)
    assert isinstance(service, PipedService)
    try:
        await asyncio.to_thread(wait_until, lambda: service.problem() is None, f"{name} serves")
        if is_closed:
            service.close_pipe()
        else:
            service.stop_reading()
        yield f"{name} with a {'closed' if is_closed else 'full'} pipe"
    finally:
        cluster.services.complain_if_ended(name)
        await asyncio.to_thread(cluster.services.kill, name)
        service.close_pipe()
        cluster.services.start(name)
