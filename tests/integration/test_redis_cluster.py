"""Holds on a Redis Cluster: each site has its keys on one master, and is concerned by that one alone."""

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
    """Three masters, which a test may break."""
    with redis_cluster(tmp_path) as cluster:
        yield cluster


@asynccontextmanager
async def workers_on(servers: Servers, redis_url: str) -> AsyncIterator[Client]:
    """A booking worker and a hold worker; a connection to their NATS."""
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
    """Slots of some sites of each master, those of one never beside each other."""
    return [fresh("Ada", site=cluster.site_on(master)) for _ in range(SITES_EACH) for master in masters]


async def hold(connection: Client, bodies: list[Body], patient: str = "Ada") -> list[dict[str, Any]]:
    """Hold slots for a patient, all in one message."""
    return await ask_many(connection, "hold.v1.place_many", alone(*for_patient(bodies, patient)))


async def book(connection: Client, bodies: list[Body], patient: str = "Ada") -> list[dict[str, Any]]:
    """Book slots for a patient, all in one message."""
    return await ask_many(connection, "booking.v1.book_many", alone(*for_patient(bodies, patient)))


def for_patient(bodies: list[Body], patient: str) -> list[Body]:
    return [{**body, "patientName": patient} for body in bodies]


def errors(replies: list[dict[str, Any]]) -> set[str]:
    return {reply["body"]["error"] for reply in replies}


async def test_holds_of_many_sites_are_honoured_on_all_masters(
    servers: Servers, cluster: RedisCluster
) -> None:
    """Holds and bookings of sites that lie apart may travel together; each patient takes what he holds."""
    bodies = bodies_on(cluster, *cluster.masters)
    async with workers_on(servers, cluster.url) as connection:
        assert set(statuses(await hold(connection, bodies))) == {200}
        assert all(master.keys() >= SITES_EACH for master in cluster.masters)
        assert errors(await book(connection, bodies, "Grace")) == {HELD}
        assert errors(await hold(connection, bodies, "Grace")) == {HELD}
        assert set(statuses(await book(connection, bodies))) == {201}
        assert errors(await hold(connection, bodies, "Grace")) == {"Slot already booked"}
        await until(lambda: not any(master.keys() for master in cluster.masters), "what is used up is gone")


async def test_a_lost_master_concerns_the_holds_of_its_sites_alone(
    servers: Servers, cluster: RedisCluster
) -> None:
    """Its sites are booked without holds until it is back; those of the others keep theirs meanwhile."""
    lost, *others = cluster.masters
    concerned, spared = bodies_on(cluster, lost), bodies_on(cluster, *others)
    async with workers_on(servers, cluster.url) as connection:
        assert set(statuses(await hold(connection, [*concerned, *spared]))) == {200}
        lost.kill()
        for is_known in (False, True):  # to the other masters
            if is_known:
                await until(lambda: all(other.misses(lost) for other in others), "the others miss it")
            fresh_ones = [*bodies_on(cluster, lost), *bodies_on(cluster, *others)]
            placed = statuses(await hold(connection, fresh_ones))
            assert placed == [503] * SITES_EACH + [200] * SITES_EACH * len(others)
            booked = await book(connection, [*fresh_ones, *spared], "Grace")
            assert statuses(booked[:SITES_EACH]) == [201] * SITES_EACH
            assert errors(booked[SITES_EACH:]) == {HELD}
        lost.start()
        await until(lost.knows_all, "it is back")
        assert set(statuses(await hold(connection, bodies_on(cluster, lost)))) == {200}
        assert errors(await book(connection, concerned, "Grace")) == {HELD}


async def test_a_hold_outlasts_the_move_of_its_site(servers: Servers, cluster: RedisCluster) -> None:
    """A master that has taken over some slots is found by those who ask the former one."""
    old, new, _ = cluster.masters
    bodies = bodies_on(cluster, old)
    async with workers_on(servers, cluster.url) as connection:
        assert set(statuses(await hold(connection, bodies))) == {200}
        assert set(statuses(await book(connection, bodies_on(cluster, old)))) == {201}  # both have asked it
        for body in bodies[1:]:
            cluster.move(body["site"], old, new)
        assert errors(await book(connection, bodies, "Grace")) == {HELD}
        assert set(statuses(await book(connection, bodies))) == {201}


async def test_a_site_whose_keys_are_on_their_way_is_refused(servers: Servers, cluster: RedisCluster) -> None:
    """While a slot is moved, its sites get 503 for holds and bookings; none is booked past a hold."""
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
            assert [(each["status"], each["body"]["outcome"]) for each in replies] == [(503, "not_executed")]
        assert statuses(await book(connection, [held], "Grace"))[0] in (409, 503)
        for body in (held, free):
            cluster.move(body["site"], old, new)
        assert errors(await book(connection, [held], "Grace")) == {HELD}
        assert statuses(await hold(connection, [free], "Grace")) == [200]


async def test_after_a_failover_holds_are_placed_again(
    servers: Servers, cluster: RedisCluster, tmp_path: Path
) -> None:
    """Once a replica has the place of its killed master, sites of it are held as before.

    A hold of before is still there, or lost: each slot is booked once.
    """
    lost = cluster.masters[0]
    bodies = bodies_on(cluster, lost)
    with cluster.replica_of(lost, tmp_path / "replica") as replica:
        async with workers_on(servers, cluster.url) as connection:
            assert set(statuses(await hold(connection, bodies))) == {200}
            lost.kill()
            await until(replica.has_slots, "the replica has the place of its master")
            async with asyncio.timeout(10):
                while set(statuses(await hold(connection, bodies_on(cluster, lost)))) != {200}:
                    pass  # each round waits for Redis
            grace, ada = await book(connection, bodies, "Grace"), await book(connection, bodies)
            for each in zip(statuses(grace), statuses(ada), strict=True):
                assert sorted(each) == [201, 409]
            assert errors([reply for reply in grace if reply["status"] == 409]) <= {HELD}


async def test_one_server_that_answers_is_enough_to_find_the_cluster(
    servers: Servers, cluster: RedisCluster
) -> None:
    """`REDIS_URL` may name servers that are gone: the others tell of all masters."""
    url = f"redis+cluster://{LOOPBACK}:{free_port()},{LOOPBACK}:{cluster.masters[0].port}"
    bodies = bodies_on(cluster, *cluster.masters)
    async with workers_on(servers, url) as connection:
        assert set(statuses(await hold(connection, bodies))) == {200}
        assert set(statuses(await book(connection, bodies))) == {201}
