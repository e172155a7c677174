"""Bookings, moves and cancels of overlapping claims at once, singly and in messages of many, and a model."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any, Literal

import nats
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient

from tests.callers import Answer
from tests.integration.life import BOOKED, Life
from tests.integration.many import alone, ask_many
from tests.servers import Servers
from tests.slots import fresh_site
from tests.stack import Stack

NINE = datetime(2031, 5, 4, 9, tzinfo=UTC)
RESOURCES = ("doctor", "nurse", "room.1", "room.2")
Claims = frozenset[tuple[str, int]]


@dataclass(frozen=True)
class Place:
    """Some resources for some quarters of an hour from nine o'clock on."""

    resources: tuple[str, ...]
    first: int
    quarters: int

    @property
    def claims(self) -> Claims:
        span = range(self.first, self.first + self.quarters)
        return frozenset((resource, quarter) for resource in self.resources for quarter in span)

    @property
    def fields(self) -> dict[str, Any]:
        slot = (NINE + timedelta(minutes=15 * self.first)).isoformat()
        return {"resources": list(self.resources), "slot": slot, "durationMinutes": 15 * self.quarters}


@dataclass(frozen=True)
class Step:
    """What one caller asks for: a booking, or a move or cancel of the `which`th that is there."""

    kind: Literal["book", "move", "cancel"]
    which: int
    place: Place


places = st.builds(
    Place,
    st.lists(st.sampled_from(RESOURCES), min_size=1, max_size=2, unique=True).map(tuple),
    st.integers(0, 5),
    st.integers(1, 3),
)
steps = st.builds(Step, st.sampled_from(["book", "move", "move", "cancel"]), st.integers(0, 4), places)
with_real_servers = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def grid_stack(servers: Servers) -> Iterator[Stack]:
    """Two booking workers on a grid of 15 minutes."""
    with servers.new_stack(SLOT_MINUTES="15") as stack:
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
    """Book, one after the other, what is free of some places."""
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
    """All at once, singly or in a message of many for each kind."""
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


def claims_of(row: dict[str, Any]) -> Claims:
    """What a row claims, by its slot, duration and resources."""
    first = int((row["slot"] - NINE) / timedelta(minutes=15))
    return Place(tuple(row["resources"]), first, row["durationMinutes"] // 15).claims


def written(claims: Claims) -> list[str]:
    at = {quarter: int((NINE + timedelta(minutes=15 * quarter)).timestamp()) for _, quarter in claims}
    return sorted(f"{resource}/{at[quarter] * 1000}" for resource, quarter in claims)


def judge_row(row: dict[str, Any]) -> None:
    """Its claims are those of its slot, and its history leads to it, an entry for each version."""
    assert sorted(row["claims"]) == written(claims_of(row))
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
@given(wanted=st.lists(places, min_size=2, max_size=5), crowd=st.lists(steps, min_size=2, max_size=20))
async def test_whatever_races_no_claim_is_booked_twice(
    life: Life, grid_stack: Stack, many: bool, wanted: list[Place], crowd: list[Step]
) -> None:
    """Bookings, moves and cancels at once: no claim has two owners, rows are whole, and answers are true."""
    site = fresh_site()
    bookings = await begin(life, site, wanted)
    answers = await race(life, site, bookings, crowd, many=many)
    rows = {row["_id"]: row for row in stored(grid_stack, site) if row["status"] != "refused"}
    active = [row for row in rows.values() if row["status"] == "booked"]
    assert not any(claims_of(one) & claims_of(other) for one, other in combinations(active, 2))
    ever: set[tuple[str, int]] = set()
    for row in rows.values():
        judge_row(row)
        for entry in row["history"]:
            ever |= claims_of(entry)
    moves: dict[str, int] = {}
    for step, answer in zip(crowd, answers, strict=True):
        id, _ = bookings[step.which % len(bookings)]
        if answer.status == 503:  # another step came first, and was asked for later or at that moment
            assert step.kind != "book"
        elif answer.status == 409:
            if answer.body == BOOKED:
                assert step.place.claims & ever
            else:
                assert answer.body["appointment"]["status"] == rows[id]["status"] == "cancelled"
        elif step.kind == "book":
            assert answer.status == 201
            assert claims_of(rows[answer.body["appointment"]["id"]]) == step.place.claims
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
    await all_that_is_free_can_be_booked(life, site, active)


async def all_that_is_free_can_be_booked(life: Life, site: str, active: Sequence[dict[str, Any]]) -> None:
    """What was left, cancelled or refused has left nothing behind."""
    taken = set[tuple[str, int]]().union(*map(claims_of, active))
    cells = [Place((name,), quarter, 1) for name in RESOURCES for quarter in range(9)]
    answers = await asyncio.gather(
        *(life.book({"site": site, "patientName": "Last", **cell.fields}) for cell in cells)
    )
    for cell, answer in zip(cells, answers, strict=True):
        assert answer.status == (409 if cell.claims & taken else 201)


@with_real_servers
@given(wanted=st.lists(places, min_size=1, max_size=4), walk=st.lists(steps, max_size=25))
async def test_one_after_the_other_is_what_a_model_says(
    life: Life, wanted: list[Place], walk: list[Step]
) -> None:
    """A sequence of bookings, moves and cancels is answered as a model of claims says, step by step."""
    site = fresh_site()
    bookings = await begin(life, site, wanted)
    where: dict[str, Place | None] = dict(bookings)
    ids = [id for id, _ in bookings]
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
                where[ids[-1]] = step.place
        elif step.kind == "cancel":
            assert (await life.cancel(id)).status == 200
            where[id] = None
        else:
            answer = await life.move(id, **step.place.fields)
            if where[id] is None:
                assert answer.body["appointment"]["status"] == "cancelled"
            elif any(step.place.claims & claims for claims in others):
                assert answer.body == BOOKED
            else:
                assert answer.status == 200
                where[id] = step.place
    for id, place in where.items():
        found = await life.found(id)
        assert found["status"] == ("booked" if place else "cancelled")
        if place:
            assert found["resources"] == sorted(place.resources)
            assert found["durationMinutes"] == 15 * place.quarters


async def test_bookings_that_change_places_under_load(life: Life, grid_stack: Stack) -> None:
    """Bookings that keep moving to each other's places and back never share one, and each stays whole."""
    site = fresh_site()
    wanted = [Place(("doctor",), quarter, 1) for quarter in range(4)]
    bookings = await begin(life, site, wanted)
    free = Place(("doctor",), 4, 1)

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
        judge_row(row)
    assert len({row["slot"] for row in rows}) == 4
