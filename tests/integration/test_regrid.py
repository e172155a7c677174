"""The command that changes the grid of a database: rewritten rows, conflicts, refusals and settings."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.contract.instants import unix_milliseconds
from tests.integration.regridding import Old, data_of, run
from tests.servers import Servers

DAY = "2031-05-04"
MINUTE_MS = 60_000


@pytest.fixture
async def old(servers: Servers) -> AsyncIterator[Old]:
    """Data on a grid of five minutes."""
    async with data_of(servers, 5) as old:
        yield old


def at(time: str, minutes: int | None = None, **more: Any) -> dict[str, Any]:
    lasting = {} if minutes is None else {"durationMinutes": minutes}
    return {"slot": f"{DAY}T{time}:00Z", "site": "s1", **lasting, **more}


def ms(row: dict[str, Any]) -> int:
    return unix_milliseconds(row["slot"])


def claims_of(row: dict[str, Any], minutes: int) -> set[str]:
    """Return a row's claims on a grid, computed independently of the service."""
    if minutes == 0:
        return {f"{name}/{ms(row)}" for name in row["resources"]}
    width, lasts = minutes * MINUTE_MS, row["durationMinutes"] + row.get("bufferAfter", 0)
    begin, end = ms(row) - row.get("bufferBefore", 0) * MINUTE_MS, ms(row) + lasts * MINUTE_MS
    first = begin - begin % width
    return {f"{name}/{cell}" for name in row["resources"] for cell in range(first, end, width)}


async def booked(old: Old) -> list[dict[str, Any]]:
    return await old.rows.find({"status": "booked"}).to_list(None)


async def assert_grid(old: Old, minutes: int) -> None:
    """Assert that all bookings and the settings are on a grid."""
    for row in await booked(old):
        assert row["slotMinutes"] == minutes
        assert set(row["claims"]) == claims_of(row, minutes)
    (meta,) = await old.database["meta"].find({}, {"slotMinutes": 1, "regridding": 1, "_id": 0}).to_list(None)
    assert meta == {"slotMinutes": minutes}


async def test_bookings_get_the_claims_of_the_new_grid(old: Old) -> None:
    """A change of the grid rewrites only the claims and grid of a booking, to the cells that it touches."""
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


async def test_only_workers_of_the_new_grid_start_after_a_change(old: Old) -> None:
    """After a change a worker of the old grid refuses to start, and one of the new grid serves."""
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
    """If bookings would share a cell, the command names ids, resource and cell, and changes nothing."""
    one = await old.book(at("09:05", 5, resources=["doctor", "room"]))
    two = await old.book(at("09:10", 5, resources=["doctor"]))
    await old.book(at("09:15", 5, resources=["doctor"]))
    await old.book(at("09:10", 5, resources=["doctor"], site="s2"))
    assert one
    assert two
    before = await old.everything()
    for option in ([], ["--dry-run"]):
        ended = await old.regrid("--minutes", "15", *option)
        assert ended.code == 1
        assert "1 conflicts" in ended.output
        assert f"{one.id} and {two.id} share the cell {DAY}T09:00:00.000Z of doctor" in ended.output
    assert await old.everything() == before
    await old.cancel(two.id)
    assert (await old.regrid("--minutes", "15")).code == 0
    await assert_grid(old, 15)


async def test_a_long_list_of_conflicts_is_cut_with_its_length(old: Old) -> None:
    """The command names 20 conflicts, and prints how many there are."""
    for minute in range(0, 60, 5):
        await old.book(at(f"09:{minute:02}", 5))
    ended = await old.regrid("--minutes", "60")
    assert ended.code == 1
    assert "66 conflicts" in ended.output
    assert "and 46 more" in ended.output


async def test_a_dry_run_changes_nothing(old: Old) -> None:
    """A dry run reports that the grid can be changed, and changes nothing."""
    await old.book(at("09:05", 5))
    before = await old.everything()
    ended = await old.regrid("--minutes", "15", "--dry-run")
    assert (ended.code, "can be changed" in ended.output) == (0, True)
    assert await old.everything() == before


async def test_a_booking_with_too_many_claims_on_the_new_grid_is_named(old: Old) -> None:
    """If a booking would exceed the limit of claims on a finer grid, the command names it and stops."""
    long = await old.book(at("09:00", 1440, resources=["a", "b"]))
    assert long
    before = await old.everything()
    ended = await old.regrid("--minutes", "1")
    assert ended.code == 1
    assert long.id in ended.output
    assert await old.everything() == before


async def test_a_cancelled_booking_keeps_its_row(old: Old) -> None:
    """A cancelled booking has no conflicts, and its row is not rewritten."""
    gone = await old.book(at("09:05", 5))
    assert gone
    await old.cancel(gone.id)
    row = await old.rows.find_one({"_id": gone.id})
    await old.book(at("09:10", 5))
    assert (await old.regrid("--minutes", "15")).code == 0
    assert await old.rows.find_one({"_id": gone.id}) == row


async def test_from_a_grid_of_0_bookings_get_the_duration_option(servers: Servers) -> None:
    """From a grid of 0, bookings get the duration of `--duration`; without that option nothing changes."""
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


async def test_a_grid_of_0_needs_bookings_without_durations(old: Old) -> None:
    """A change to a grid of 0 is refused while an active booking has a duration."""
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
def test_invalid_arguments_exit_with_2(servers: Servers, arguments: list[str]) -> None:
    """With invalid arguments the command exits with 2 before it connects to any server."""
    with servers.new_stack(MONGO_URI="mongodb://127.0.0.1:1/booking") as stack:
        assert run(stack, *arguments).code == 2


def test_a_database_without_a_grid_is_refused(servers: Servers) -> None:
    """The command refuses a database that no worker has served, for it is probably the wrong one."""
    with servers.new_stack() as stack:
        ended = run(stack, "--minutes", "15")
        assert (ended.code, "MONGO_URI" in ended.output) == (1, True)
