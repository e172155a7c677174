"""Every change becomes an event, however the relay learns of the change."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.mongod import Mongod
from tests.integration.breakable import until
from tests.integration.event_log import EventLog, event_log, ids_of
from tests.integration.relay_state import Document, database_of, start_following, versions_of
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack

FILLER, FILLERS = "x" * 100_000, 40
MOVES = 105


class ForgetfulMongod(Mongod):
    """A mongod with an oplog of about one megabyte."""

    def options(self, port: int) -> list[str]:
        options = super().options(port)
        options[options.index("--oplogSize") + 1] = "1"
        return [*options, "--syncdelay", "1"]


@pytest.fixture
def mongod(tmp_path: Path) -> Iterator[Mongod]:
    with ForgetfulMongod(tmp_path) as mongod:
        yield mongod


async def a_life(log: EventLog, moves: int = 1) -> str:
    """Book an appointment, move it some times, and return its id."""
    id: str = (await log.life.booked(fresh()))["id"]
    for number in range(1, moves + 1):
        slot = f"2031-06-{1 + number // 24:02}T{number % 24:02}:00:00Z"
        assert (await log.life.move(id, slot=slot)).status == 200
    return id


def roll_oplog(stack: Stack) -> None:
    """Write until the oplog no longer has what was written before."""
    with database_of(stack) as database:
        oplog = database.client["local"]["oplog.rs"]
        now = database.client.admin.command("hello")["operationTime"]
        ends = time.monotonic() + 60
        while oplog.find().sort("$natural", 1).limit(1)[0]["ts"] <= now:
            assert time.monotonic() < ends, "the oplog keeps everything"
            database["filler"].insert_many([{"filler": FILLER} for _ in range(FILLERS)])
            database["filler"].drop()


@pytest.mark.parametrize("paused", [False, True], ids=["killed", "paused"])
async def test_changes_that_left_the_oplog_become_events(
    servers: Servers, mongod: Mongod, paused: bool
) -> None:
    """A relay whose resume token is older than the oplog finds the changes since then in the rows."""
    async with event_log(servers, MONGO_URI=mongod.url) as log:
        relay, before = await start_following(log)
        if paused:
            relay.send(signal.SIGSTOP)
        else:
            relay.kill()
        missed = await a_life(log)
        await asyncio.to_thread(roll_oplog, log.stack)
        if paused:
            relay.send(signal.SIGCONT)
        else:
            relay = log.start_relay()
        await log.until([f"{missed}:2"])
        after = await a_life(log)
        events = await log.until([f"{after}:2"])
        assert "change_stream_lost" in relay.log

    assert ids_of(events) == [
        f"{before}:1",
        *(f"{id}:{version}" for id in (missed, after) for version in (1, 2)),
    ]


@pytest.mark.parametrize("renamed", [False, True], ids=["dropped", "renamed"])
async def test_relay_follows_a_collection_that_comes_back(servers: Servers, renamed: bool) -> None:
    """The relay outlives a drop or rename of `appointments`, and publishes the changes around it."""
    async with event_log(servers) as log:
        relay, before = await start_following(log)
        relay.send(signal.SIGSTOP)  # the last changes and the drop arrive in one batch
        last = await a_life(log)
        with database_of(log.stack) as database:
            if renamed:
                database["appointments"].rename("elsewhere")
            else:
                database["appointments"].drop()
        relay.send(signal.SIGCONT)
        await until(lambda: "change_stream_lost" in relay.log, "the relay has noticed")
        while (answer := await log.life.book(fresh())).status == 503:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        after = answer.body["appointment"]["id"]
        events = await log.until([f"{after}:1"])
        assert relay.running

    assert ids_of(events) == [f"{before}:1", f"{last}:1", f"{last}:2", f"{after}:1"]


async def test_booking_with_more_changes_than_its_history_keeps(servers: Servers) -> None:
    """A move that shortens the history, and so writes all of it, is one event like every other move."""
    async with event_log(servers) as log:
        _, before = await start_following(log)
        id = await a_life(log, moves=MOVES)
        events = await log.until([f"{id}:{MOVES + 1}"])

    assert versions_of(events) == {before: [1], id: [*range(1, MOVES + 2)]}


async def test_row_of_another_program_stops_no_event(servers: Servers) -> None:
    """The relay skips a document that slotkeeper did not write, and publishes the next change."""
    async with event_log(servers) as log:
        relay, before = await start_following(log)
        foreign: list[Document] = [{"history": history} for history in ([{"version": 1}], "text", 7)]
        with database_of(log.stack) as database:
            database["appointments"].insert_many(
                [{**row, "site": "foreign", "idempotencyKey": str(n)} for n, row in enumerate(foreign)]
            )
        id = await a_life(log)
        events = await log.until([f"{id}:2"])
        assert relay.running
        assert "foreign_row" in relay.log

    assert ids_of(events) == [f"{before}:1", f"{id}:1", f"{id}:2"]
