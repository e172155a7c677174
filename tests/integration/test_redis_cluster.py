"""Holds on a Redis Cluster: a site has all its keys on one master, and depends on that master alone."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from deploy.local.ports import LOOPBACK, free_port
from tests.integration.breakable import until
from tests.integration.many import alone, ask_many, statuses
from tests.redis_cluster import Master, RedisCluster, redis_cluster
from tests.servers import Servers
from tests.slots import fresh

Body = dict[str, Any]
SITES_EACH = 8
HELD = "Slot is currently held by another user"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """Start three masters, which a test may break."""
    with redis_cluster(tmp_path) as cluster:
        yield cluster


@asynccontextmanager
async def workers_on(servers: Servers, redis_url: str) -> AsyncIterator[Client]:
    """Start a booking worker and a hold worker; yield a connection to their NATS."""
    with servers.new_stack(REDIS_URL=redis_url) as stack:
        stack.start("booking_worker")
        stack.start("hold_worker")
        await asyncio.to_thread(stack.wait_serving)
        connection = await nats.connect(stack.env["NATS_URL"])
        try:
            yield connection
        finally:
            await connection.close()


def bodies_on(cluster: RedisCluster, *masters: Master) -> list[Body]:
    """Return slots of `SITES_EACH` sites of every master, interleaved by master."""
    return [fresh("Ada", site=cluster.site_on(master)) for _ in range(SITES_EACH) for master in masters]


async def hold(connection: Client, bodies: list[Body], patient: str = "Ada") -> list[dict[str, Any]]:
    """Hold slots for a patient in one batch."""
    return await ask_many(connection, "hold.v1.place_many", alone(*for_patient(bodies, patient)))


async def book(connection: Client, bodies: list[Body], patient: str = "Ada") -> list[dict[str, Any]]:
    """Book slots for a patient in one batch."""
    return await ask_many(connection, "booking.v1.book_many", alone(*for_patient(bodies, patient)))


def for_patient(bodies: list[Body], patient: str) -> list[Body]:
    return [{**body, "patientName": patient} for body in bodies]


def errors(replies: list[dict[str, Any]]) -> set[str]:
    return {reply["body"]["error"] for reply in replies}


async def test_holds_of_many_sites_are_honoured_on_all_masters(
    servers: Servers, cluster: RedisCluster
) -> None:
    """A batch may have holds and bookings of sites on different masters; every hold is honoured."""
    bodies = bodies_on(cluster, *cluster.masters)
    async with workers_on(servers, cluster.url) as connection:
        assert set(statuses(await hold(connection, bodies))) == {200}
        assert all(master.keys() >= SITES_EACH for master in cluster.masters)
        assert errors(await book(connection, bodies, "Grace")) == {HELD}
        assert errors(await hold(connection, bodies, "Grace")) == {HELD}
        assert set(statuses(await book(connection, bodies))) == {201}
        assert errors(await hold(connection, bodies, "Grace")) == {"Slot already booked"}
        await until(lambda: not any(master.keys() for master in cluster.masters), "used-up holds are removed")


async def test_caps_are_counted_on_the_master_of_each_site(servers: Servers, cluster: RedisCluster) -> None:
    """In one batch, a share with the cap 1 holds and books one of two slots in each site of every master."""
    bodies = bodies_on(cluster, *cluster.masters)
    bodies += [{**body, "slot": "2031-05-05T09:00:00Z"} for body in bodies]
    caller = {"id": "web", "shares": [{"id": "a:1", "holds": 1, "bookings": 1}]}
    commands = [{"command": body, "caller": caller} for body in bodies]
    half = len(bodies) // 2
    async with workers_on(servers, cluster.url) as connection:
        for subject, done in (("hold.v1.place_many", 200), ("booking.v1.book_many", 201)):
            answers = statuses(await ask_many(connection, subject, commands))
            assert answers == [done] * half + [429] * half


async def test_a_lost_master_affects_the_holds_of_its_own_sites_alone(
    servers: Servers, cluster: RedisCluster
) -> None:
    """Sites of a lost master are booked without holds until it is back; other sites keep their holds."""
    lost, *others = cluster.masters
    concerned, spared = bodies_on(cluster, lost), bodies_on(cluster, *others)
    async with workers_on(servers, cluster.url) as connection:
        assert set(statuses(await hold(connection, [*concerned, *spared]))) == {200}
        lost.kill()
        for is_known in (False, True):  # whether the other masters know of the loss
            if is_known:
                await until(
                    lambda: all(other.misses(lost) for other in others), "the other masters mark it as failed"
                )
            fresh_ones = [*bodies_on(cluster, lost), *bodies_on(cluster, *others)]
            placed = statuses(await hold(connection, fresh_ones))
            assert placed == [503] * SITES_EACH + [200] * SITES_EACH * len(others)
            booked = await book(connection, [*fresh_ones, *spared], "Grace")
            assert statuses(booked[:SITES_EACH]) == [201] * SITES_EACH
            assert errors(booked[SITES_EACH:]) == {HELD}
        lost.start()
        await until(lost.knows_all, "the master is back")
        assert set(statuses(await hold(connection, bodies_on(cluster, lost)))) == {200}
        assert errors(await book(connection, concerned, "Grace")) == {HELD}


async def test_a_hold_outlasts_the_move_of_its_site(servers: Servers, cluster: RedisCluster) -> None:
    """After a site's hash slot moves to another master, workers find its holds there."""
    old, new, _ = cluster.masters
    bodies = bodies_on(cluster, old)
    async with workers_on(servers, cluster.url) as connection:
        assert set(statuses(await hold(connection, bodies))) == {200}
        assert set(statuses(await book(connection, bodies_on(cluster, old)))) == {
            201
        }  # so that both workers know the old master
        for body in bodies[1:]:
            cluster.move(body["site"], old, new)
        assert errors(await book(connection, bodies, "Grace")) == {HELD}
        assert set(statuses(await book(connection, bodies))) == {201}


async def test_a_site_whose_hash_slot_migrates_is_refused(servers: Servers, cluster: RedisCluster) -> None:
    """While a hash slot migrates, holds and bookings of its sites get 503, and no hold is ignored."""
    old, new, _ = cluster.masters
    held, free = bodies_on(cluster, old)[:2]
    async with workers_on(servers, cluster.url) as connection:
        assert statuses(await hold(connection, [held])) == [200]
        for body in (held, free):
            cluster.begin_move(body["site"], old, new)
        for replies in (
            await hold(connection, [free], "Grace"),
            await book(connection, [free], "Grace"),
        ):
            assert [(reply["status"], reply["body"]["outcome"]) for reply in replies] == [
                (503, "not_executed")
            ]
        assert statuses(await book(connection, [held], "Grace"))[0] in (409, 503)
        for body in (held, free):
            cluster.move(body["site"], old, new)
        assert errors(await book(connection, [held], "Grace")) == {HELD}
        assert statuses(await hold(connection, [free], "Grace")) == [200]


async def test_after_a_failover_holds_are_placed_again(
    servers: Servers, cluster: RedisCluster, tmp_path: Path
) -> None:
    """Once a replica has taken over from its killed master, holds on the master's sites are granted again.

    An earlier hold may be lost or not: every slot is booked once.
    """
    lost = cluster.masters[0]
    bodies = bodies_on(cluster, lost)
    with cluster.replica_of(lost, tmp_path / "replica") as replica:
        async with workers_on(servers, cluster.url) as connection:
            assert set(statuses(await hold(connection, bodies))) == {200}
            lost.kill()
            await until(replica.has_slots, "the replica takes over")
            async with asyncio.timeout(10):
                while set(statuses(await hold(connection, bodies_on(cluster, lost)))) != {200}:
                    pass  # each round waits for Redis
            grace, ada = await book(connection, bodies, "Grace"), await book(connection, bodies)
            for pair in zip(statuses(grace), statuses(ada), strict=True):
                assert sorted(pair) == [201, 409]
            assert errors([reply for reply in grace if reply["status"] == 409]) <= {HELD}


async def test_one_server_that_answers_is_enough_to_find_the_cluster(
    servers: Servers, cluster: RedisCluster
) -> None:
    """`REDIS_URL` may name servers that are down: one that answers is enough to find all masters."""
    url = f"redis+cluster://{LOOPBACK}:{free_port()},{LOOPBACK}:{cluster.masters[0].port}"
    bodies = bodies_on(cluster, *cluster.masters)
    async with workers_on(servers, url) as connection:
        assert set(statuses(await hold(connection, bodies))) == {200}
        assert set(statuses(await book(connection, bodies))) == {201}
