"""Changes of the grid on random bookings, compared with a model of their claims."""

from itertools import combinations
from random import Random
from typing import Any, cast

import pytest

from booking_worker.regrid.conflicts import MOST_NAMED
from booking_worker.regrid.steps import Refusal, Regridding
from shared.domain.booked_service import BookedService
from shared.stores.mongo.regridding import RegridStore, TargetGrid
from shared.stores.redis.scripts import Scripts
from tests.integration.places import GRIDS, RESOURCES, Place, width_ms
from tests.integration.regridding import CANARY, Old, data_of
from tests.integration.test_regrid import assert_grid, booked, claims_of
from tests.servers import Servers

EXAMPLES = 6


def collisions(rows: list[dict[str, Any]], target: TargetGrid) -> set[frozenset[str]]:
    """Return the pairs of bookings that share a cell of a grid."""
    claims = {}
    for row in rows:
        lasting = row["durationMinutes"] or target.duration
        claims[row["_id"]] = claims_of({**row, "durationMinutes": lasting}, target.minutes)
    return {frozenset(pair) for pair in combinations(claims, 2) if claims[pair[0]] & claims[pair[1]]}


CHANGES = [(old, new) for old in GRIDS for new in GRIDS if new not in (0, old)]


@pytest.mark.parametrize(("before", "after"), CHANGES, ids=str)
async def test_random_bookings_are_rewritten_or_refused_as_a_model_predicts(
    servers: Servers, before: int, after: int
) -> None:
    """A change is refused if and only if some bookings share a cell of the new grid by the model."""
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
                buffers = [random.choice([0, 0, 7, 60, 140]) for _ in range(2)]
                service = BookedService("visit", *buffers) if before and random.random() < 0.4 else None
                await old.book(place.body("s1", CANARY), service)
            await assert_changed_as_the_model_predicts(old, TargetGrid(after, random.randint(1, 2 * after)))


class NoHolds:
    """An empty Redis."""

    async def delete_all(self, _kinds: object) -> int:
        return 0


async def change(old: Old, target: TargetGrid) -> str:
    """Change the grid in this process; return the refusal, or an empty string."""
    try:
        await Regridding(
            RegridStore(old.database), cast(Scripts, NoHolds()), target, lambda _line: None
        ).run()
    except Refusal as refusal:
        return str(refusal)
    return ""


async def assert_changed_as_the_model_predicts(old: Old, target: TargetGrid) -> None:
    """Assert that the change is refused while the model finds conflicts; cancel one booking each time."""
    rows = await booked(old)
    while pairs := collisions(rows, target):
        refusal = await change(old, target)
        if len(pairs) < MOST_NAMED // 2:  # a pair is named once for every shared resource
            assert all(any(pair <= set(line.split()) for line in refusal.splitlines()) for pair in pairs)
        assert refusal
        assert await booked(old) == rows
        await old.cancel(sorted(min(pairs, key=sorted))[0])
        rows = await booked(old)
    assert await change(old, target) == ""
    await assert_grid(old, target.minutes)
    assert {row["_id"] for row in await booked(old)} == {row["_id"] for row in rows}
