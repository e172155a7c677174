"""Faults of connections, made by the proxy. Each breaks the links of some workers, and heals them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import TypedDict

from tests.faults.cluster import Cluster
from tests.faults.proxy import Rule, Way


class Breakage(TypedDict, total=False):
    """What a rule does to the bytes."""

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
ANY = (CUT, DELAYED, HANGING, REPLIES_LOST, REQUESTS_LOST)


@asynccontextmanager
async def under(cluster: Cluster, *rules: Rule) -> AsyncIterator[None]:
    """With rules in force."""
    cluster.proxy.impose(*rules)
    try:
        yield
    finally:
        cluster.proxy.lift(*rules)


@asynccontextmanager
async def break_links(
    cluster: Cluster, random: Random, *, server: str, how: tuple[Breakage, ...]
) -> AsyncIterator[str]:
    """Break the links between one worker, or all of them, and all members of a server."""
    gates = frozenset(name for name in cluster.servers if name.startswith(server))
    workers = cluster.services.names("booking_worker") + cluster.services.names("hold_worker")
    chosen = frozenset(workers if random.random() < 0.3 else [random.choice(workers)])
    what = random.choice(how)
    async with under(cluster, Rule(gates, chosen, **what)):
        who = "all workers" if len(chosen) > 1 else next(iter(chosen))
        yield f"{who} {_describe(what)}"


def _describe(what: Breakage) -> str:
    return " ".join(f"{name}={getattr(value, 'name', value)}" for name, value in what.items()).lower()
