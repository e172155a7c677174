"""Changes of the grid that die, meet late writes or unreachable servers, and the holds that they delete."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis

from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import CompareAndSet
from shared.stores.redis.keys import OF_CLAIMS
from tests.integration.dying_regrid import DIED, IMPATIENT, STEPS
from tests.integration.regridding import Old, data_of
from tests.integration.test_regrid import assert_grid, at, booked
from tests.redis_cluster import redis_cluster
from tests.servers import Servers


@pytest.fixture
async def old(servers: Servers) -> AsyncIterator[Old]:
    """Data on a grid of five minutes."""
    async with data_of(servers, 5) as old:
        yield old


async def test_an_unreachable_server_is_named(old: Old) -> None:
    """If MongoDB or Redis does not answer, the command names it, and a second run completes the change."""
    uri, url = old.stack.env["MONGO_URI"], old.stack.env["REDIS_URL"]
    old.stack.env["MONGO_URI"] = "mongodb://127.0.0.1:1/booking"
    ended = await old.regrid("--minutes", "15", module=("tests.integration.dying_regrid", IMPATIENT))
    assert (ended.code, "MongoDB does not answer" in ended.output) == (1, True)
    old.stack.env |= {"MONGO_URI": uri, "REDIS_URL": "redis://127.0.0.1:1"}
    ended = await old.regrid("--minutes", "15")
    assert (ended.code, "Redis does not answer" in ended.output) == (1, True)
    old.stack.env["REDIS_URL"] = url
    assert (await old.regrid("--minutes", "15")).code == 0
    await assert_grid(old, 15)


@pytest.mark.parametrize("step", STEPS)
async def test_a_change_that_dies_is_completed_by_a_second_run(old: Old, step: str) -> None:
    """If the command dies at any step, no worker starts until the same command completes the change."""
    for minute in range(0, 60, 15):
        await old.book(at(f"09:{minute + 5:02}", 5))
    with Redis.from_url(old.stack.env["REDIS_URL"]) as redis:
        redis.set("hold:{s1}:default/1", "held")
        died = await old.regrid("--minutes", "15", module=("tests.integration.dying_regrid", step))
        assert died.code == DIED
        if step != "finish":
            for worker in [old.stack.start("booking_worker", SLOT_MINUTES=grid) for grid in ("5", "15")]:
                assert await asyncio.to_thread(worker.wait) == 1
                line = worker.log.splitlines()[-1]
                assert "python -m booking_worker.regrid --minutes 15," in line
            other = await old.regrid("--minutes", "60")
            assert (other.code, "regrid --minutes 15" in other.output) == (1, True)
        if step == "rewrite":
            assert {row["slotMinutes"] for row in await booked(old)} == {5, 15}
        assert (await old.regrid("--minutes", "15")).code == 0
        assert redis.dbsize() == 0
    await assert_grid(old, 15)
    old.stack.services.clear()
    old.stack.start("booking_worker", SLOT_MINUTES="15")
    await asyncio.to_thread(old.stack.wait_serving)


async def test_a_conflict_after_the_mark_restores_the_old_grid(old: Old) -> None:
    """If a late write causes a conflict after the mark, the next run restores the old grid."""
    await old.book(at("09:05", 5))
    died = await old.regrid("--minutes", "15", module=("tests.integration.dying_regrid", "begin"))
    assert died.code == DIED
    assert await old.book(at("09:10", 5))
    assert (await old.regrid("--minutes", "15")).code == 1
    await assert_grid(old, 5)
    assert await old.book(at("09:15", 5))
    old.stack.start("booking_worker")
    await asyncio.to_thread(old.stack.wait_serving)


async def test_holds_and_intents_are_deleted(old: Old) -> None:
    """A change deletes all Redis keys that name cells, in every site, and keeps foreign keys."""
    with Redis.from_url(old.stack.env["REDIS_URL"], decode_responses=True) as redis:
        ours = [f"{kind}:{{{site}}}:default/1" for kind in OF_CLAIMS for site in ("s1", "s2")]
        foreign = ["holders", "hold:s1", "other:{s1}:hold"]
        redis.mset(dict.fromkeys([*ours, *foreign, *(f"hold:{{s3}}:{n}" for n in range(3000))], "x"))
        ended = await old.regrid("--minutes", "15")
        assert (ended.code, f"{3000 + len(ours)} keys" in ended.output) == (0, True)
        assert sorted(redis.keys()) == sorted(foreign)


async def test_holds_are_deleted_on_all_masters_of_a_cluster(servers: Servers, tmp_path: Path) -> None:
    """On a Redis Cluster a change deletes the keys of every master."""
    with redis_cluster(tmp_path) as cluster:
        async with data_of(servers, 5, REDIS_URL=cluster.url) as old:
            for master in cluster.masters:
                with master.client() as client:
                    for _ in range(3):
                        client.set(f"hold:{{{cluster.site_on(master)}}}:default/1", "held")
            # No comparison of `everything`: it reads a single Redis.
            assert (await old.regrid("--minutes", "15")).code == 0
            assert [master.keys() for master in cluster.masters] == [0, 0, 0]
            await assert_grid(old, 15)


async def test_late_writes_of_the_old_grid_are_not_executed(old: Old) -> None:
    """After a change MongoDB itself refuses inserts and moves that have claims of the old grid."""
    kept, moving = await old.book(at("09:05", 5)), await old.book(at("10:05", 5))
    assert kept
    assert moving
    inserted = old.new(at("11:00", 5))
    elsewhere = old.new(at("12:00", 5))
    moved = replace(moving, slot=elsewhere.slot, claims=elsewhere.claims, version=2)
    assert (await old.regrid("--minutes", "15")).code == 0
    assert await old.writes.insert_many([inserted], timeout=10) == [WriteResult.NOT_EXECUTED]
    assert await old.writes.change_many([CompareAndSet(moving, moved)], timeout=10) == [
        WriteResult.NOT_EXECUTED
    ]
    assert await old.writes.change_many([CompareAndSet(kept, kept.cancelled())], timeout=10) == [
        WriteResult.DONE
    ], "a late cancel frees the claims of either grid"
    (row,) = await booked(old)
    assert row["_id"] == moving.id
    await assert_grid(old, 15)
