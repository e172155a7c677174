"""Random bookings, moves and cancels of overlapping claims: racing, in batches, and against a model."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any, Literal

import nats
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient

from tests.callers import Answer
from tests.integration.life import BOOKED, Life
from tests.integration.many import alone, ask_many
from tests.integration.places import (
    GRIDS,
    NINE,
    Place,
    cell,
    cells,
    place_of,
    places,
    width_ms,
    with_real_servers,
)
from tests.servers import Servers
from tests.slots import fresh_site
from tests.stack import Stack


@dataclass(frozen=True)
class Step:
    """One command: a booking, or a move or cancel of booking number `which`."""

    kind: Literal["book", "move", "cancel"]
    which: int
    place: Place


def steps(grid: int) -> st.SearchStrategy[Step]:
    kinds = st.sampled_from(["book", "move", "move", "cancel"])
    return st.builds(Step, kinds, st.integers(0, 4), places(grid, 2))


@pytest.fixture(scope="module", params=GRIDS)
def grid(request: pytest.FixtureRequest) -> int:
    minutes: int = request.param
    return minutes


@pytest.fixture(scope="module")
def grid_stack(servers: Servers, grid: int) -> Iterator[Stack]:
    """Two booking workers."""
    with servers.new_stack(SLOT_MINUTES=str(grid)) as stack:
        stack.start("booking_worker")
        stack.start("booking_worker")
        stack.wait_serving()
        yield stack


@pytest.fixture
async def life(grid_stack: Stack) -> AsyncIterator[Life]:
    connection = await nats.connect(grid_stack.env["NATS_URL"])
    yield Life(connection)
    await connection.close()


async def begin(life: Life, site: str, wanted: Sequence[Place]) -> list[tuple[str, Place]]:
    """Book the places one after the other, if they are free; return the bookings that succeed."""
    bookings: list[tuple[str, Place]] = []
    for place in wanted:
        answer = await life.book({"site": site, "patientName": "Ada", **place.fields})
        free = all(not place.claims & other.claims for _, other in bookings)
        assert answer.status == (201 if free else 409)
        if free:
            bookings.append((answer.body["appointment"]["id"], place))
    return bookings


async def race(
    life: Life, site: str, bookings: list[tuple[str, Place]], crowd: Sequence[Step], *, many: bool
) -> list[Answer]:
    """Send all steps at once, singly or as one batch for each kind; return the answers in their order."""
    asked: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for number, step in enumerate(crowd):
        id, _ = bookings[step.which % len(bookings)]
        command = {
            "book": {"site": site, "patientName": f"Patient {number}", **step.place.fields},
            "move": {"id": id, **step.place.fields},
            "cancel": {"id": id},
        }[step.kind]
        asked.setdefault(step.kind, []).append((number, command))

    async def send(kind: str) -> list[tuple[int, Answer]]:
        numbers, commands = zip(*asked[kind], strict=True)
        if many:
            replies = await ask_many(life.connection, f"booking.v1.{kind}_many", alone(*commands))
            answers = [Answer(reply["status"], reply["body"]) for reply in replies]
        else:
            sent = (life.request(f"booking.v1.{kind}", command) for command in commands)
            answers = await asyncio.gather(*sent)
        return list(zip(numbers, answers, strict=True))

    answered = [pair for part in await asyncio.gather(*map(send, asked)) for pair in part]
    return [answer for _, answer in sorted(answered, key=lambda pair: pair[0])]


def stored(stack: Stack, site: str) -> list[dict[str, Any]]:
    with MongoClient[dict[str, Any]](stack.env["MONGO_URI"], tz_aware=True) as client:
        return list(client.get_default_database()["appointments"].find({"site": site}))


def written(place: Place) -> list[str]:
    """Return the claims of a place as rows store them."""
    nine, width = int(NINE.timestamp()) * 1000, width_ms(place.grid)
    return sorted(f"{resource}/{nine + number * width}" for resource, number in place.claims)


def judge_row(row: dict[str, Any], grid: int) -> None:
    """Assert that claims fit the slot, and that the history has one entry a version and ends at the row."""
    assert row["slotMinutes"] == grid
    assert sorted(row["claims"]) == written(place_of(row, grid))
    history = row["history"]
    assert [entry["version"] for entry in history] == list(range(1, row["version"] + 1))
    assert history[0]["type"] == "booked"
    assert [entry["type"] for entry in history].count("cancelled") == (row["status"] == "cancelled")
    assert all(entry["type"] == "moved" for entry in history[1:-1])
    for field in ("slot", "durationMinutes", "resources"):
        assert history[-1][field] == row[field]
    ids = [entry["moveId"] for entry in history if entry["type"] == "moved"]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("many", [False, True], ids=["single", "many"])
@with_real_servers
@given(data=st.data())
async def test_racing_bookings_moves_and_cancels_never_share_a_claim(
    life: Life, grid_stack: Stack, grid: int, many: bool, data: st.DataObject
) -> None:
    """If bookings, moves and cancels race, no claim has two owners, rows are whole, and answers are true."""
    site, wanted = fresh_site(), data.draw(st.lists(places(grid, 2), min_size=2, max_size=5))
    crowd = data.draw(st.lists(steps(grid), min_size=2, max_size=20))
    bookings = await begin(life, site, wanted)
    answers = await race(life, site, bookings, crowd, many=many)
    rows = {row["_id"]: row for row in stored(grid_stack, site) if row["status"] != "refused"}
    active = [row for row in rows.values() if row["status"] == "booked"]
    assert not any(
        place_of(one, grid).claims & place_of(other, grid).claims for one, other in combinations(active, 2)
    )
    ever: set[tuple[str, int]] = set()
    for row in rows.values():
        judge_row(row, grid)
        for entry in row["history"]:
            ever |= place_of(entry, grid).claims
    moves: dict[str, int] = {}
    for step, answer in zip(crowd, answers, strict=True):
        id, _ = bookings[step.which % len(bookings)]
        if answer.status == 503:  # another step with the same or a later `askedAt` was first
            assert step.kind != "book"
        elif answer.status == 409:
            if answer.body == BOOKED:
                assert step.place.claims & ever
            else:
                assert answer.body["appointment"]["status"] == rows[id]["status"] == "cancelled"
                # The move may have been carried out before another step cancelled the booking.
                moves[id] = moves.get(id, 0) + (step.kind == "move")
        elif step.kind == "book":
            assert answer.status == 201
            assert place_of(rows[answer.body["appointment"]["id"]], grid).claims == step.place.claims
        else:
            assert answer.status == 200
            assert answer.body["appointment"]["id"] == id
            moves[id] = moves.get(id, 0) + (step.kind == "move")
    for id, _ in bookings:
        entries = [entry["type"] for entry in rows[id]["history"]]
        was_cancelled = any(
            step.kind == "cancel" and answer.status == 200 and answer.body["appointment"]["id"] == id
            for step, answer in zip(crowd, answers, strict=True)
        )
        assert (rows[id]["status"] == "cancelled") == was_cancelled
        assert entries.count("moved") <= moves.get(id, 0)
    await all_that_is_free_can_be_booked(life, site, grid, active)


async def all_that_is_free_can_be_booked(
    life: Life, site: str, grid: int, active: Sequence[dict[str, Any]]
) -> None:
    """Assert that every cell without an active booking can be booked."""
    taken = set[tuple[str, int]]().union(*(place_of(row, grid).claims for row in active))
    answers = await asyncio.gather(*(life.book(place.body(site, "Last")) for place in cells(grid)))
    for place, answer in zip(cells(grid), answers, strict=True):
        assert answer.status == (409 if place.claims & taken else 201)


@with_real_servers
@given(data=st.data())
async def test_sequential_changes_are_answered_as_a_model_predicts(
    life: Life, grid: int, data: st.DataObject
) -> None:
    """A sequence of bookings, moves and cancels is answered as a model of claims predicts, step by step.

    A move changes the booking if slot, duration or resources differ, even within the same cells.
    """
    site, wanted = fresh_site(), data.draw(st.lists(places(grid, 2), min_size=1, max_size=4))
    walk = data.draw(st.lists(steps(grid), max_size=25))
    bookings = await begin(life, site, wanted)
    where: dict[str, Place | None] = dict(bookings)
    ids = [id for id, _ in bookings]
    versions = dict.fromkeys(ids, 1)
    for step in walk:
        id = ids[step.which % len(ids)]
        others = [place.claims for other, place in where.items() if place and other != id]
        anybody = [place.claims for place in where.values() if place]
        if step.kind == "book":
            answer = await life.book({"site": site, "patientName": "Grace", **step.place.fields})
            free = not any(step.place.claims & claims for claims in anybody)
            assert answer.status == (201 if free else 409)
            if free:
                ids.append(answer.body["appointment"]["id"])
                where[ids[-1]], versions[ids[-1]] = step.place, 1
        elif step.kind == "cancel":
            assert (await life.cancel(id)).status == 200
            versions[id] += where[id] is not None
            where[id] = None
        else:
            answer = await life.move(id, **step.place.fields)
            if where[id] is None:
                assert answer.body["appointment"]["status"] == "cancelled"
            elif any(step.place.claims & claims for claims in others):
                assert answer.body == BOOKED
            else:
                assert answer.status == 200
                versions[id] += not is_at(where[id], step.place)
                where[id] = step.place
    for id, place in where.items():
        found = await life.found(id)
        assert found["status"] == ("booked" if place else "cancelled")
        if place:
            assert is_at(place, Place(grid, tuple(found["resources"]), *offset_and_minutes(found)))
        assert [version for version, _, _ in await life.changes(id)] == [*range(1, versions[id] + 1)]


def is_at(place: Place | None, other: Place) -> bool:
    """Return whether both are the same place."""
    return place is not None and replace(place, resources=tuple(sorted(place.resources))) == replace(
        other, resources=tuple(sorted(other.resources))
    )


def offset_and_minutes(appointment: dict[str, Any]) -> tuple[int, int | None]:
    """Return the ms from nine o'clock to an appointment's slot, and its minutes."""
    after = datetime.fromisoformat(appointment["slot"]) - NINE
    return after // timedelta(milliseconds=1), appointment.get("durationMinutes")


async def test_bookings_that_swap_slots_under_load_stay_whole(
    life: Life, grid_stack: Stack, grid: int
) -> None:
    """Bookings that keep moving to each other's slots never share one, and their rows stay whole."""
    site = fresh_site()
    wanted = [cell(grid, "doctor", number) for number in range(4)]
    bookings = await begin(life, site, wanted)
    free = cell(grid, "doctor", 4)

    async def wander(number: int, id: str) -> int:
        moved = 0
        for turn in range(20):
            place = [*wanted, free][(number + turn) % 5]
            answer = await life.move(id, **place.fields)
            assert answer.status == 200 or answer.body == BOOKED
            moved += answer.status == 200
        return moved

    moved = await asyncio.gather(*(wander(number, id) for number, (id, _) in enumerate(bookings)))
    assert sum(moved)
    rows = stored(grid_stack, site)
    for row in rows:
        judge_row(row, grid)
    assert len({row["slot"] for row in rows}) == 4
