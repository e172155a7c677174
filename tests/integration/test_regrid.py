"""The command that changes the grid of a database: what it does to rows, holds and settings."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from redis import Redis

from booking_worker.regrid.conflicts import MOST_NAMED
from booking_worker.regrid.steps import Refusal, Regridding
from shared.contract.instants import unix_milliseconds
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.changes import CompareAndSet
from shared.stores.mongo.regridding import RegridStore, TargetGrid
from shared.stores.mongo.writes import WriteResult
from shared.stores.redis.keys import OF_CLAIMS
from shared.stores.redis.scripts import Scripts
from tests.integration.dying_regrid import DIED, IMPATIENT, STEPS
from tests.integration.places import GRIDS, RESOURCES, Place, width_ms
from tests.integration.regridding import CANARY, Old, data_of, run
from tests.redis_cluster import redis_cluster
from tests.servers import Servers

DAY = "2031-05-04"
MINUTE_MS = 60_000
EXAMPLES = 6


@pytest.fixture
async def old(servers: Servers) -> AsyncIterator[Old]:
    """Data of a grid of five minutes."""
    async with data_of(servers, 5) as old:
        yield old


def at(time: str, minutes: int | None = None, **more: Any) -> dict[str, Any]:
    lasting = {} if minutes is None else {"durationMinutes": minutes}
    return {"slot": f"{DAY}T{time}:00Z", "site": "s1", **lasting, **more}


def ms(row: dict[str, Any]) -> int:
    return unix_milliseconds(row["slot"])


def claims_of(row: dict[str, Any], minutes: int) -> set[str]:
    """What the row claims on a grid, apart from the service's own rule."""
    if minutes == 0:
        return {f"{name}/{ms(row)}" for name in row["resources"]}
    width, begin, lasts = minutes * MINUTE_MS, ms(row), row["durationMinutes"]
    first, end = begin - begin % width, begin + lasts * MINUTE_MS
    return {f"{name}/{cell}" for name in row["resources"] for cell in range(first, end, width)}


async def booked(old: Old) -> list[dict[str, Any]]:
    return await old.rows.find({"status": "booked"}).to_list(None)


async def assert_grid(old: Old, minutes: int) -> None:
    """All bookings are of a grid, and so is the database."""
    for row in await booked(old):
        assert row["slotMinutes"] == minutes
        assert set(row["claims"]) == claims_of(row, minutes)
    (meta,) = await old.database["meta"].find({}, {"slotMinutes": 1, "regridding": 1, "_id": 0}).to_list(None)
    assert meta == {"slotMinutes": minutes}


async def test_bookings_get_the_claims_of_the_new_grid(old: Old) -> None:
    """Every booking keeps its id, time and version, and claims the cells of the new grid that it touches."""
    await old.book(at("09:05", 10))
    await old.book(at("09:20", 5, resources=["doctor", "room"]))
    before = {row["_id"]: row for row in await booked(old)}
    ended = await old.regrid("--minutes", "15")
    assert (ended.code, "2 bookings rewritten" in ended.output) == (0, True)
    assert "SLOT_MINUTES=15" in ended.output
    await assert_grid(old, 15)
    for row in await booked(old):
        changed = {name for name, value in row.items() if value != before[row["_id"]][name]}
        assert changed == {"claims", "slotMinutes"}
    again = await old.regrid("--minutes", "15")
    assert (again.code, "already" in again.output) == (0, True)


async def test_workers_serve_the_new_grid_alone(old: Old) -> None:
    """After the change a worker of the old grid refuses to start, and one of the new grid serves."""
    await old.book(at("09:05", 5))
    assert (await old.regrid("--minutes", "15")).code == 0
    late = old.stack.start("booking_worker")
    assert await asyncio.to_thread(late.wait) == 1
    assert "set SLOT_MINUTES=15" in late.log.splitlines()[-1]
    assert "python -m booking_worker.regrid --minutes 5" in late.log.splitlines()[-1]
    old.stack.services.clear()
    old.stack.start("booking_worker", SLOT_MINUTES="15")
    await asyncio.to_thread(old.stack.wait_serving)


async def test_conflicts_are_named_and_nothing_is_changed(old: Old) -> None:
    """Two bookings that would share a cell are named by their ids, the resource and the cell."""
    one = await old.book(at("09:05", 5, resources=["doctor", "room"]))
    two = await old.book(at("09:10", 5, resources=["doctor"]))
    await old.book(at("09:15", 5, resources=["doctor"]))
    await old.book(at("09:10", 5, resources=["doctor"], site="s2"))
    assert one
    assert two
    before = await old.everything()
    for dry in ([], ["--dry-run"]):
        ended = await old.regrid("--minutes", "15", *dry)
        assert ended.code == 1
        assert "1 conflicts" in ended.output
        assert f"{one.id} and {two.id} share the cell {DAY}T09:00:00.000Z of doctor" in ended.output
    assert await old.everything() == before
    await old.cancel(two.id)
    assert (await old.regrid("--minutes", "15")).code == 0
    await assert_grid(old, 15)


async def test_of_many_conflicts_some_are_named(old: Old) -> None:
    """A long list is cut, and its length is told."""
    for minute in range(0, 60, 5):
        await old.book(at(f"09:{minute:02}", 5))
    ended = await old.regrid("--minutes", "60")
    assert ended.code == 1
    assert "66 conflicts" in ended.output
    assert "and 46 more" in ended.output


async def test_a_dry_run_changes_nothing(old: Old) -> None:
    """A dry run says that the grid can be changed, also while workers serve, and changes nothing."""
    await old.book(at("09:05", 5))
    before = await old.everything()
    ended = await old.regrid("--minutes", "15", "--dry-run")
    assert (ended.code, "can be changed" in ended.output) == (0, True)
    assert await old.everything() == before


async def test_a_booking_that_would_claim_too_much_is_named(old: Old) -> None:
    """On a finer grid a long booking of many resources may have more claims than a row can have."""
    long = await old.book(at("09:00", 1440, resources=["a", "b"]))
    assert long
    before = await old.everything()
    ended = await old.regrid("--minutes", "1")
    assert ended.code == 1
    assert long.id in ended.output
    assert await old.everything() == before


async def test_a_cancelled_booking_keeps_its_row(old: Old) -> None:
    """A booking that is cancelled conflicts with nothing, and its row is left as it is."""
    gone = await old.book(at("09:05", 5))
    assert gone
    await old.cancel(gone.id)
    row = await old.rows.find_one({"_id": gone.id})
    await old.book(at("09:10", 5))
    assert (await old.regrid("--minutes", "15")).code == 0
    assert await old.rows.find_one({"_id": gone.id}) == row


async def test_instants_get_the_duration_that_is_named(servers: Servers) -> None:
    """From a grid of 0, each booking without a duration gets one; without one that is named, none does."""
    async with data_of(servers, 0) as old:
        first = await old.book(at("09:05"))
        await old.book(at("09:45", resources=["room"]))
        assert first
        before = await old.everything()
        refused = await old.regrid("--minutes", "15")
        assert (refused.code, first.id in refused.output, "--duration" in refused.output) == (1, True, True)
        assert await old.everything() == before
        assert (await old.regrid("--minutes", "15", "--duration", "30")).code == 0
        assert {row["durationMinutes"] for row in await booked(old)} == {30}
        await assert_grid(old, 15)


async def test_no_booking_becomes_an_instant(old: Old) -> None:
    """To a grid of 0 only a database goes in which no booking has a duration."""
    lasting = await old.book(at("09:05", 5))
    assert lasting
    refused = await old.regrid("--minutes", "0")
    assert (refused.code, lasting.id in refused.output) == (1, True)
    await old.cancel(lasting.id)
    assert (await old.regrid("--minutes", "0")).code == 0
    await assert_grid(old, 0)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--minutes", "7"],
        ["--minutes", "-5"],
        ["--minutes", "2880"],
        ["--minutes", "x"],
        ["--minutes", "15", "--duration", "0"],
        ["--minutes", "15", "--duration", "1441"],
        ["--minutes", "0", "--duration", "30"],
        ["--minutes", "15", "--force"],
    ],
)
def test_wrong_arguments_are_told_apart(servers: Servers, arguments: list[str]) -> None:
    """Wrong arguments end the command with 2 before it connects to anything."""
    with servers.new_stack(MONGO_URI="mongodb://127.0.0.1:1/booking") as stack:
        assert run(stack, *arguments).code == 2


async def test_servers_that_are_away_are_told(old: Old) -> None:
    """Without MongoDB, or without Redis, the command says which one does not answer, and to repeat it."""
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


def test_a_database_without_a_grid_is_refused(servers: Servers) -> None:
    """A database that no worker has served is more likely the wrong one: it is not changed."""
    with servers.new_stack() as stack:
        ended = run(stack, "--minutes", "15")
        assert (ended.code, "MONGO_URI" in ended.output) == (1, True)


@pytest.mark.parametrize("step", STEPS)
async def test_a_change_that_died_is_repeated(old: Old, step: str) -> None:
    """Wherever the command dies, no worker starts on what it left, and the same command completes it."""
    for minute in range(0, 60, 15):
        await old.book(at(f"09:{minute + 5:02}", 5))
    with Redis.from_url(old.stack.env["REDIS_URL"]) as redis:
        redis.set("hold:{s1}:default/1", "held")
        died = await old.regrid("--minutes", "15", module=("tests.integration.dying_regrid", step))
        assert died.code == DIED
        if step != "finish":
            for worker in [old.stack.start("booking_worker", SLOT_MINUTES=each) for each in ("5", "15")]:
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


async def test_a_conflict_that_came_at_the_last_moment_ends_the_change(old: Old) -> None:
    """If a late write brings a conflict after the mark, the old grid stands again, and workers start."""
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
    """All keys that name cells are deleted, in every site; keys that are not ours stay."""
    with Redis.from_url(old.stack.env["REDIS_URL"], decode_responses=True) as redis:
        ours = [f"{kind}:{{{site}}}:default/1" for kind in OF_CLAIMS for site in ("s1", "s2")]
        foreign = ["holders", "hold:s1", "other:{s1}:hold"]
        redis.mset(dict.fromkeys([*ours, *foreign, *(f"hold:{{s3}}:{n}" for n in range(3000))], "x"))
        ended = await old.regrid("--minutes", "15")
        assert (ended.code, f"{3000 + len(ours)} keys" in ended.output) == (0, True)
        assert sorted(redis.keys()) == sorted(foreign)


async def test_holds_are_deleted_on_all_masters_of_a_cluster(servers: Servers, tmp_path: Path) -> None:
    """On a Redis Cluster each master's keys are deleted."""
    with redis_cluster(tmp_path) as cluster:
        async with data_of(servers, 5, REDIS_URL=cluster.url) as old:
            for master in cluster.masters:
                with master.client() as client:
                    for _ in range(3):
                        client.set(f"hold:{{{cluster.site_on(master)}}}:default/1", "held")
            # Of the stack alone: `everything` reads a single Redis.
            assert (await old.regrid("--minutes", "15")).code == 0
            assert [master.keys() for master in cluster.masters] == [0, 0, 0]
            await assert_grid(old, 15)


async def test_late_writes_of_the_old_grid_are_not_executed(old: Old) -> None:
    """After the change MongoDB itself refuses what a worker of the old grid still had in hand."""
    stands, moving = await old.book(at("09:05", 5)), await old.book(at("10:05", 5))
    assert stands
    assert moving
    inserted, store = old.new(at("11:00", 5)), BookingStore(old.database)
    elsewhere = old.new(at("12:00", 5))
    moved = replace(moving, slot=elsewhere.slot, claims=elsewhere.claims, version=2)
    assert (await old.regrid("--minutes", "15")).code == 0
    assert await store.insert_many([inserted], timeout=10) == [WriteResult.NOT_EXECUTED]
    assert await old.changes.change_many([CompareAndSet(moving, moved)], timeout=10) == [
        WriteResult.NOT_EXECUTED
    ]
    assert await old.changes.change_many([CompareAndSet(stands, stands.cancelled())], timeout=10) == [
        WriteResult.DONE
    ], "a late cancel frees the claims, of whatever grid they are"
    (row,) = await booked(old)
    assert row["_id"] == moving.id
    await assert_grid(old, 15)


def collisions(rows: list[dict[str, Any]], target: TargetGrid) -> set[frozenset[str]]:
    """The pairs of bookings that share a cell of a grid."""
    claims = {}
    for row in rows:
        lasting = row["durationMinutes"] or target.duration
        claims[row["_id"]] = claims_of({**row, "durationMinutes": lasting}, target.minutes)
    return {frozenset(pair) for pair in combinations(claims, 2) if claims[pair[0]] & claims[pair[1]]}


CHANGES = [(old, new) for old in GRIDS for new in GRIDS if new not in (0, old)]


@pytest.mark.parametrize(("before", "after"), CHANGES, ids=str)
async def test_random_bookings_are_as_a_model_says(servers: Servers, before: int, after: int) -> None:
    """Any bookings of a grid are refused exactly if some share a cell of the other, and rewritten else."""
    random = Random(before * 100 + after)
    async with data_of(servers, before, REDIS_URL="redis://127.0.0.1:1") as old:
        for _ in range(EXAMPLES):
            await old.start_over()
            width = width_ms(before)
            for _ in range(12):
                resources = tuple(random.sample(RESOURCES, random.randint(1, 2)))
                begin = (
                    random.randrange(0, 3_600_000) // random.choice([1, width]) * random.choice([1, width])
                )
                lasts = random.randint(1, 3 * before) if before else None
                place = Place(before, resources, begin % (12 * 3_600_000), lasts)
                await old.book(place.body("s1", CANARY))
            await assert_changed_as_a_model_says(old, TargetGrid(after, random.randint(1, 2 * after)))


class NoHolds:
    """A Redis that is empty."""

    async def delete_all(self, _kinds: object) -> int:
        return 0


async def change(old: Old, target: TargetGrid) -> str:
    """Change the grid in this process; why that is refused, if it is."""
    try:
        await Regridding(
            RegridStore(old.database), cast(Scripts, NoHolds()), target, lambda _line: None
        ).run()
    except Refusal as refusal:
        return str(refusal)
    return ""


async def assert_changed_as_a_model_says(old: Old, target: TargetGrid) -> None:
    """The change is refused while the model finds pairs, of which one is cancelled each time."""
    rows = await booked(old)
    while pairs := collisions(rows, target):
        refusal = await change(old, target)
        if len(pairs) < MOST_NAMED // 2:  # a pair is named once for each of its resources
            assert all(any(pair <= set(line.split()) for line in refusal.splitlines()) for pair in pairs)
        assert refusal
        assert await booked(old) == rows
        await old.cancel(sorted(min(pairs, key=sorted))[0])
        rows = await booked(old)
    assert await change(old, target) == ""
    await assert_grid(old, target.minutes)
    assert {row["_id"] for row in await booked(old)} == {row["_id"] for row in rows}
