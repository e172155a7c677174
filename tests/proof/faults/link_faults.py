"""Faults of connections, made by the proxy. They break links of workers, and heal them at the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import TypedDict

from tests.proof.faults.cluster import Cluster
from tests.proof.faults.proxy import LinkRule, Way


class Breakage(TypedDict, total=False):
    """How a rule breaks a link."""

    up: Way
    down: Way
    delay: float
    cut: bool


CUT: Breakage = {"cut": True}
DELAYED: Breakage = {"delay": 0.3}
HANGING: Breakage = {"up": Way.STALL, "down": Way.STALL}
REPLIES_LOST: Breakage = {"down": Way.DROP}
REQUESTS_LOST: Breakage = {"up": Way.DROP}
HANGS_OR_CUT = (HANGING, CUT)
CUT_OFF = (HANGING, CUT, REPLIES_LOST)
SLOW_SECONDS = 0.05, 0.3
ANY = (CUT, DELAYED, HANGING, REPLIES_LOST, REQUESTS_LOST)


@asynccontextmanager
async def under(cluster: Cluster, *rules: LinkRule) -> AsyncIterator[None]:
    """Enforce the rules while the context lasts."""
    cluster.proxy.impose(*rules)
    try:
        yield
    finally:
        cluster.proxy.lift(*rules)


@asynccontextmanager
async def break_links(
    cluster: Cluster,
    random: Random,
    *,
    server: str,
    how: tuple[Breakage, ...],
    modules: tuple[str, ...] = ("booking_worker", "hold_worker"),
) -> AsyncIterator[str]:
    """Break the links between one worker, or all of them, and all members of a server."""
    gates = frozenset(name for name in cluster.servers if name.startswith(server))
    workers = [name for module in modules for name in cluster.services.names(module)]
    chosen = frozenset(workers if random.random() < 0.3 else [random.choice(workers)])
    what = random.choice(how)
    async with under(cluster, LinkRule(gates, chosen, **what)):
        who = f"all of {' '.join(modules)}" if len(chosen) > 1 else next(iter(chosen))
        yield f"{who} {_describe(what)}"


@asynccontextmanager
async def cut_off_worker(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    """Cut one booking worker off from all members of MongoDB; it still has NATS and Redis."""
    worker, how = random.choice(cluster.services.names("booking_worker")), random.choice(CUT_OFF)
    async with under(cluster, LinkRule(frozenset(cluster.mongods), frozenset({worker}), **how)):
        yield f"{worker} {_describe(how)}"


@asynccontextmanager
async def slow_redis(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    """Delay each answer of Redis by 50 to 300 ms, for all clients; no answer is lost."""
    delay = round(random.uniform(*SLOW_SECONDS) / 2, 3)
    async with under(cluster, LinkRule(frozenset({"redis"}), delay=delay)):
        yield f"redis {2 * delay:.3f} s"


def _describe(what: Breakage) -> str:
    return " ".join(f"{name}={getattr(value, 'name', value)}" for name, value in what.items()).lower()
