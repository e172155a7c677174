"""Indexes serve all reads of appointments, as MongoDB's plans show."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS

from shared.contract.instants import unix_milliseconds
from shared.domain.time_range import TimeRange
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.windows import query as query_of
from tests.integration.test_window_pages import many_rows
from tests.integration.test_windows import DAY
from tests.integration.use_cases import UseCases
from tests.slots import fresh_site


async def explained(
    use_cases: UseCases,
    resources: tuple[str, ...] | None,
    slots: tuple[int, int],
    limit: int,
    site: str,
    *,
    field: str = "slot",
) -> dict[str, Any]:
    """Return MongoDB's plan for reading rows between two minutes of the day in order of a field."""
    first, end = (unix_milliseconds(DAY) + minutes * 60_000 for minutes in slots)
    between = {"$gte": DatetimeMS(first), "$lt": DatetimeMS(end)}
    [stage], index = query_of(TimeRange(site, resources, first, end), between, field)
    found = use_cases.database.get_collection("appointments").find(stage["$match"])
    plan: dict[str, Any] = await found.sort(field, 1).limit(limit).hint(index).explain()
    return plan


def stages(plan: dict[str, Any]) -> list[str]:
    """Return the stages of a plan from the outermost to the innermost."""
    inner = plan.get("inputStages") or ([plan["inputStage"]] if "inputStage" in plan else [])
    return [plan["stage"], *(stage for part in inner for stage in stages(part))]


@pytest.mark.parametrize("resources", [None, ("default",), ("default", "room")], ids=str)
async def test_an_index_serves_a_window(use_cases: UseCases, resources: tuple[str, ...] | None) -> None:
    """A page examines about as many index keys as it has rows, among 12,000 bookings."""
    site = fresh_site()
    for filled in (site, fresh_site()):
        await many_rows(use_cases.database, filled, 6000)
    appointments = use_cases.database.get_collection("appointments")
    cancelled = {"site": site, "slot": {"$gte": DAY + timedelta(minutes=5000)}}
    await appointments.update_many(cancelled, {"$set": {"status": "cancelled"}})
    for end, limit, found in ((4000, 101, 101), (3050, 101, 50), (13_000, 5000, 2000)):
        plan = await explained(use_cases, resources, (3000, end), limit, site)
        winning, stats = plan["queryPlanner"]["winningPlan"], plan["executionStats"]
        assert "SORT" not in stages(winning)
        assert stats["nReturned"] == found
        assert stats["totalKeysExamined"] <= found + 2


async def test_an_index_serves_ids_keys_and_claims(use_cases: UseCases) -> None:
    """A read by id, key and claims examines at most six index keys among 5,000 bookings."""
    await many_rows(use_cases.database, fresh_site(), 5000)
    appointments = use_cases.database.get_collection("appointments")
    row = await appointments.find_one({})
    assert row is not None
    store, asked = BookingStore(use_cases.database), list[dict[str, Any]]()
    find = store._find_behind_barrier

    async def note(any_of: Sequence[dict[str, Any]], timeout: float) -> list[dict[str, Any]]:
        asked.append({"$or": any_of})
        return await find(any_of, timeout)

    store._find_behind_barrier = note  # type: ignore[method-assign]
    claims = {(row["site"], claim) for claim in row["claims"]}
    await store.find(ids={row["_id"]}, keys={(row["site"], row["idempotencyKey"])}, claims=claims, timeout=5)
    for query in (*asked, {"_id": {"$in": [row["_id"]]}}):
        stats = (await appointments.find(query).explain())["executionStats"]
        assert stats["nReturned"] == 1
        assert stats["totalKeysExamined"] <= 6
