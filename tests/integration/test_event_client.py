"""Consumers of events: the typed client, the examples, FastStream."""

import asyncio
from contextlib import aclosing

import pytest

from shared import BookingClient, BookingEvent, InvalidRequest
from shared.client import events as events_of_client
from tests.integration.event_log import EventLog, event_log
from tests.servers import Servers
from tests.slots import fresh

SINCE = "2026-01-01T00:00Z"


async def read(log: EventLog, count: int, **wanted: str | None) -> list[BookingEvent]:
    """Read some events as a program does, and stop in the middle of the stream."""
    found: list[BookingEvent] = []
    async with (
        BookingClient(log.stack.env["NATS_URL"]) as client,
        asyncio.timeout(20),
        aclosing(client.events(**wanted)) as events,
    ):
        while len(found) < count:
            found.append(await anext(events))
    return found


async def test_client_reads_typed_events_of_one_site(servers: Servers) -> None:
    """`client.events` yields what the change of a booking was, of the wanted site alone."""
    async with event_log(servers) as log:
        log.start_relay()
        await log.life.booked(fresh())
        booked = await log.life.booked(fresh())
        await log.life.cancel(booked["id"])
        first, second = await read(log, 2, site=booked["site"], since=SINCE)

    assert (first.type, first.id, first.version, first.site) == ("booked", booked["id"], 1, booked["site"])
    assert first.place.slot.isoformat() == booked["slot"].replace(".000Z", "+00:00")
    assert (second.type, second.version) == ("cancelled", 2)


async def test_durable_consumer_goes_on_after_the_last_acknowledged_event(servers: Servers) -> None:
    """A program that stops in the body of its loop gets that event again, and no earlier one."""
    async with event_log(servers) as log:
        log.start_relay()
        ids = [(await log.life.booked(fresh()))["id"] for _ in range(3)]
        before = await read(log, 2, durable="billing", since=SINCE)
        after = await read(log, 2, durable="billing")

    assert [event.id for event in before] == ids[:2]
    assert [event.id for event in after] == ids[1:]


async def test_lone_event_arrives_at_once(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A single event does not wait until a request for several events ends."""
    monkeypatch.setattr(events_of_client, "FETCH_SECONDS", 60)
    async with event_log(servers) as log:
        log.start_relay()
        await log.until([f"{(await log.life.booked(fresh()))['id']}:1"])
        async with BookingClient(log.stack.env["NATS_URL"]) as client, asyncio.timeout(30):
            events = client.events(site="lone")
            waiting = asyncio.create_task(anext(events))
            await until_consumers(log, 1)
            booked = await log.life.booked(fresh(site="lone"))
            assert (await waiting).id == booked["id"]


async def until_consumers(log: EventLog, count: int) -> None:
    """Wait until the stream has a number of consumers."""
    jetstream = log.connection.jetstream()
    while (await jetstream.stream_info("EVENTS")).state.consumer_count < count:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def test_client_goes_on_after_the_stream_was_deleted(servers: Servers) -> None:
    """A reader waits for a stream that is gone, and reads on once the relay has created it again."""
    async with event_log(servers) as log:
        log.start_relay()
        first = await log.life.booked(fresh())
        async with BookingClient(log.stack.env["NATS_URL"]) as client, asyncio.timeout(40):
            events = client.events(since=SINCE)
            assert (await anext(events)).id == first["id"]
            await log.connection.jetstream().delete_stream("EVENTS")
            second = await log.life.booked(fresh())
            assert (await anext(events)).id == second["id"]


@pytest.mark.parametrize("wanted", [{"site": "a b"}, {"since": "today"}, {"durable": "a.b"}])
async def test_wrong_argument_names_its_field(wanted: dict[str, str]) -> None:
    """An argument of `events` that cannot be used is refused at once, by its name."""
    (name,) = wanted
    client = BookingClient("nats://localhost:4222")
    with pytest.raises(InvalidRequest, match=f"^{name} must be"):
        client.events(**wanted)
