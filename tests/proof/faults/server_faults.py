"""Faults of the servers. Each breaks one server or more, yields their names, and heals them at the end."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from nats.errors import Error as NatsError

from tests.proof.faults.cluster import COUNTS, Cluster
from tests.proof.faults.event_stream import delete_events, leader_of_stream
from tests.proof.faults.link_faults import HANGS_OR_CUT, under
from tests.proof.faults.proxy import LinkRule

STEP_DOWN_SECONDS = 5


class FaultNotPossible(Exception):
    """The fault cannot be injected now: no primary exists, or the clock cannot be set."""


@asynccontextmanager
async def kill_nats_node(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    async with _killed(cluster, [random.choice(sorted(cluster.nats))]) as names:
        yield names


@asynccontextmanager
async def kill_all_nats(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    async with _killed(cluster, cluster.nats) as names:
        yield names


@asynccontextmanager
async def kill_stream_leader(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    """Kill the node that leads the stream of events."""
    leader = await leader_of_stream(cluster.nats_urls, cluster.operator)
    if not leader:
        raise FaultNotPossible
    async with _killed(cluster, [leader]) as names:
        yield names


@asynccontextmanager
async def delete_stream(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    """Delete the stream of events, as an operator may by mistake."""
    try:
        await delete_events(cluster.nats_urls, cluster.operator)
    except (NatsError, TimeoutError):
        raise FaultNotPossible from None
    yield "EVENTS"


@asynccontextmanager
async def kill_primary(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    async with _killed(cluster, [await _primary(cluster)]) as names:
        yield names


@asynccontextmanager
async def kill_redis(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    """Kill Redis; holds survive in its file, except those of the last moment."""
    async with _killed(cluster, ["redis"]) as names:
        yield names


@asynccontextmanager
async def step_down(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    name = await _primary(cluster)
    await asyncio.to_thread(cluster.mongods[name].step_down, STEP_DOWN_SECONDS)
    yield name


@asynccontextmanager
async def isolate_primary(cluster: Cluster, random: Random, *, company: int = 1) -> AsyncIterator[str]:
    """Isolate the primary from the other members and from all workers but `company` booking workers.

    These workers reach no other member, so they use a primary that has not yet stepped down. The broken
    connections either hang, and deliver their bytes after the healing, or are cut.
    """
    name = await _primary(cluster)
    members = frozenset(cluster.mongods) - {name}
    workers = frozenset(cluster.services.names("booking_worker") + cluster.services.names("hold_worker"))
    inside = frozenset(random.sample(cluster.services.names("booking_worker"), company))
    how = random.choice(HANGS_OR_CUT)
    inward = LinkRule(frozenset({name}), members | workers - inside, **how)
    outward = LinkRule(members, inside | {name}, **how)
    async with under(cluster, inward, outward):
        yield f"{name} with {' '.join(sorted(inside))}"


@asynccontextmanager
async def depose_primary(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    """Isolate the primary with all booking workers until the other members elect a primary."""
    async with isolate_primary(cluster, random, company=COUNTS["booking_worker"]) as target:
        yield target
        isolated, successor = target.split()[0], ""
        while successor in ("", isolated):
            await asyncio.sleep(0.1)
            successor = await cluster.primary()


FAILURES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("closes the connection", {"closeConnection": True}),
    ("has stepped down", {"errorCode": 10107, "errorLabels": ["RetryableWriteError"]}),
    ("shuts down", {"errorCode": 91, "errorLabels": ["RetryableWriteError"]}),
    ("was interrupted", {"errorCode": 11602}),
    ("cannot replicate", {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}}),
    (
        "shuts down in a write",
        {"writeConcernError": {"code": 91, "errmsg": "Replication is being shut down"}},
    ),
    ("answers late", {"blockConnection": True, "blockTimeMS": 400}),
)
FAILING = ("insert", "update", "find", "findAndModify")


@asynccontextmanager
async def fail_commands(cluster: Cluster, random: Random) -> AsyncIterator[str]:
    """Make some commands of the primary fail in one way, by mongod's failpoint `failCommand`."""
    name, (how, data) = await _primary(cluster), random.choice(FAILURES)
    commands = [each for each in FAILING if "writeConcernError" not in data or each != "find"]
    probability = random.uniform(0.1, 0.6)
    node = cluster.mongods[name]
    await asyncio.to_thread(node.fail_commands, {"failCommands": commands, **data}, probability)
    try:
        yield f"{name} {how} ({probability:.2f})"
    finally:
        if node.running:
            await asyncio.to_thread(node.fail_commands, {"failCommands": []}, 0)


async def _primary(cluster: Cluster) -> str:
    if name := await cluster.primary():
        return name
    raise FaultNotPossible


@asynccontextmanager
async def _killed(cluster: Cluster, names: Collection[str]) -> AsyncIterator[str]:
    """Kill with SIGKILL, and start again on the same port and data."""
    servers = [cluster.servers[name] for name in names]
    for server in servers:
        await asyncio.to_thread(server.kill)
    try:
        yield " ".join(names)
    finally:
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in servers))
