"""Events: each change of a booking is published once by id, in the order of the booking's versions."""

import asyncio
import json
from uuid import uuid4

from tests.integration.event_log import EventLog, data_of, event_log, ids_of
from tests.servers import Servers
from tests.slots import fresh

ELEVEN = "2031-05-04T11:00:00.000Z"


async def a_life(log: EventLog) -> tuple[str, dict[str, object]]:
    """A booking that is moved and then cancelled: its id, and what it was booked as."""
    booked = await log.life.booked(fresh("Ada"))
    await log.life.move(booked["id"], slot=ELEVEN)
    await log.life.cancel(booked["id"])
    return booked["id"], booked


async def test_each_change_becomes_one_cloud_event_in_the_order_of_versions(servers: Servers) -> None:
    """A booking, its move and its cancel are three events, with what a consumer needs and without a name."""
    async with event_log(servers) as log:
        log.start_relay()
        id, booked = await a_life(log)
        events = await log.until([f"{id}:{version}" for version in (1, 2, 3)])

    assert ids_of(events) == [f"{id}:1", f"{id}:2", f"{id}:3"]
    site = booked["site"]
    assert [event.subject for event in events] == [
        f"event.v1.{site}.{type}" for type in ("booked", "moved", "cancelled")
    ]
    place = {"resources": booked["resources"], "slot": booked["slot"], "durationMinutes": 5}
    assert [data_of(event) for event in events] == [
        {"id": id, "version": 1, "site": site, **place},
        {"id": id, "version": 2, "site": site, **place, "slot": ELEVEN, "previous": place},
        {"id": id, "version": 3, "site": site, **place, "slot": ELEVEN},
    ]
    assert b"Ada" not in b"".join(event.data + json.dumps(event.headers).encode() for event in events)


async def test_changes_made_before_the_first_relay_started_are_published(servers: Servers) -> None:
    """The first relay of a database finds the changes made before it in the rows."""
    async with event_log(servers) as log:
        id, _ = await a_life(log)
        log.start_relay()
        events = await log.until([f"{id}:3"])

    assert ids_of(events) == [f"{id}:1", f"{id}:2", f"{id}:3"]


async def test_a_relay_that_was_killed_loses_no_event(servers: Servers) -> None:
    """Changes made while no relay runs are published by the next one, and none twice."""
    async with event_log(servers) as log:
        relay = log.start_relay()
        before, _ = await a_life(log)
        await log.until([f"{before}:3"])
        relay.kill()
        missed, _ = await a_life(log)
        log.start_relay()
        events = await log.until([f"{missed}:3"])

    assert ids_of(events) == [f"{id}:{version}" for id in (before, missed) for version in (1, 2, 3)]


async def test_of_two_relays_one_leads_and_the_other_takes_over(servers: Servers) -> None:
    """When the leading relay is killed, another one publishes the next change within the lease's time."""
    async with event_log(servers) as log:
        first = log.start_relay()
        await log.until([f"{(await log.life.booked(fresh()))['id']}:1"])
        log.start_relay()
        first.kill()
        booked = await log.life.booked(fresh())
        events = await log.until([f"{booked['id']}:1"])

    assert len(ids_of(events)) == len(set(ids_of(events))) == 2


async def test_a_deleted_stream_is_created_again_with_the_last_events(servers: Servers) -> None:
    """A stream that was deleted is created again, and has the events of the last hour."""
    async with event_log(servers) as log:
        log.start_relay()
        first = await log.life.booked(fresh())
        await log.until([f"{first['id']}:1"])
        await log.connection.jetstream().delete_stream("EVENTS")
        second = await log.life.booked(fresh())
        events = await log.until([f"{id}:1" for id in (first["id"], second["id"])])

    assert len(ids_of(events)) == 2


async def test_a_tombstone_is_no_event_and_the_booking_that_replaces_it_is(servers: Servers) -> None:
    """A refused key makes no event; the booking that later takes its row makes one."""
    async with event_log(servers) as log:
        log.start_relay()
        body, key = fresh(), str(uuid4())
        rival = await log.life.booked(body)
        assert (await log.life.book(body, **{"Idempotency-Key": key})).status == 409
        await log.life.cancel(rival["id"])
        # A command that is asked within the margin of the refused attempt is AskedEarlier.
        while (answer := await log.life.book(body, **{"Idempotency-Key": key})).status == 503:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        booked = answer.body["appointment"]
        events = await log.until([f"{booked['id']}:1"])

    assert ids_of(events) == [f"{rival['id']}:1", f"{rival['id']}:2", f"{booked['id']}:1"]
