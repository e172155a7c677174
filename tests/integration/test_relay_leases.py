"""Of several relays one leads: the lease ends with its relay, and fences off a relay that was paused."""

import asyncio
import signal
from typing import Any

from tests.integration.event_log import EventLog, event_log, ids_of
from tests.integration.relay_state import database_of, lease_of, until_renewed
from tests.servers import Servers
from tests.slots import fresh


async def a_booking(log: EventLog) -> str:
    """Book an appointment, and wait for its event; return the event's id."""
    id = f"{(await log.life.booked(fresh()))['id']}:1"
    await log.until([id])
    return id


async def test_relay_gives_up_its_lease_when_it_is_stopped(servers: Servers) -> None:
    """A relay that receives SIGTERM stores its token and frees the lease before it ends."""
    async with event_log(servers) as log:
        relay = log.start_relay()
        first = await a_booking(log)
        assert "until" in lease_of(log.stack)
        relay.send(signal.SIGTERM)
        assert await asyncio.to_thread(relay.wait) == 0
        left = lease_of(log.stack)
        assert "until" not in left
        assert left["token"]
        log.start_relay()
        second = await a_booking(log)
        events = await log.stored()
        assert lease_of(log.stack)["epoch"] == left["epoch"] + 1

    assert ids_of(events) == [first, second]


async def stored_tokens(servers: Servers, without: str) -> tuple[list[str], list[str], list[str]]:
    """Pause a relay beyond its lease while another one leads, and let it continue after the other has ended.

    Returns:
        The tokens in the order in which they were stored; the ids of the published changes; those of events.
    """
    tokens: list[str] = []
    async with event_log(servers) as log:
        paused = log.start_relay(without=without)
        ids = [await a_booking(log)]
        paused.send(signal.SIGSTOP)
        second = log.start_relay()
        ids += [await a_booking(log), await a_booking(log)]
        second.send(signal.SIGTERM)
        await asyncio.to_thread(second.wait)
        tokens.append(lease_of(log.stack)["token"]["_data"])
        with database_of(log.stack) as database, database["meta"].watch() as stream:
            paused.send(signal.SIGCONT)
            ids.append(await a_booking(log))
            await until_renewed(log.stack)
            while (change := stream.try_next()) is not None:
                fields: dict[str, Any] = change.get("updateDescription", {}).get("updatedFields", {})
                found = fields.get("token._data") or (fields.get("token") or {}).get("_data")
                tokens += [found] if found else []
        return tokens, ids, ids_of(await log.stored())


async def test_relay_that_was_paused_beyond_its_lease_moves_no_token_back(servers: Servers) -> None:
    """A deposed relay stores nothing until it leads again, from the token of its successor."""
    tokens, ids, published = await stored_tokens(servers, "")
    assert len(tokens) > 1
    assert tokens == sorted(tokens)
    assert published == ids


async def test_token_moves_back_without_the_epoch(servers: Servers) -> None:
    """Without the epoch, a relay that was paused stores its old token over its successor's."""
    tokens, _, _ = await stored_tokens(servers, "no_epoch")
    assert tokens != sorted(tokens)
