"""A relay without JetStream or NATS loses no event, and says why it waits."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import nats
import pytest

from booking_worker.events.publisher import MOST_IN_FLIGHT, EventPublisher, Unpublished
from deploy.local.nats import Nats
from deploy.local.ports import LOOPBACK
from shared.contract.audit import AuditedEvent
from shared.contract.events import EventPlace
from shared.process.settings import EventSettings
from tests.integration.breakable import LINK, proxy, until
from tests.integration.event_log import event_log, ids_of
from tests.integration.relay_state import (
    events_check,
    lag_of,
    start_healthy_relay,
    versions_of,
)
from tests.integration.test_standalone import StandaloneMongod
from tests.proof.faults.proxy import LinkRule
from tests.servers import Servers
from tests.slots import fresh

CUT = LinkRule(frozenset({LINK}), cut=True)
NOW = datetime.now(UTC).replace(microsecond=0)
SLOT = "2031-07-01T09:00:00Z"


class NatsAlone(Nats):
    """A nats-server without JetStream, until `jetstream` is set."""

    jetstream = False

    def options(self, port: int) -> list[str]:
        options = super().options(port)
        return options if self.jetstream else options[: options.index("-js")]


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsAlone]:
    with NatsAlone(tmp_path) as server:
        yield server


async def test_relay_waits_for_jetstream(servers: Servers, nats_server: NatsAlone) -> None:
    """Without JetStream a relay waits, and `/readyz` and the lag say so; later it publishes every change."""
    async with event_log(servers, NATS_URL=nats_server.url) as log:
        relay, url = start_healthy_relay(log)
        await until(lambda: "relay_waits" in relay.log, "the relay misses JetStream")
        id = (await log.life.booked(fresh()))["id"]
        await log.life.move(id, slot=SLOT)
        assert events_check(url).startswith("JetStream: ")
        assert lag_of(url) > 0
        nats_server.jetstream = True
        await asyncio.to_thread(nats_server.restart)
        await until(lambda: not log.connection.is_reconnecting, "this test is connected again")
        events = await log.until([f"{id}:2"])
        await until(lambda: events_check(url) == "ok", "the relay is ready")
        assert lag_of(url) == 0

    assert ids_of(events) == [f"{id}:1", f"{id}:2"]


async def test_relay_that_was_cut_off_from_nats_publishes_every_change(servers: Servers) -> None:
    """Changes made while the relay alone is cut off from NATS are published once, when the link is back."""
    async with event_log(servers) as log, proxy() as link:
        port = await link.listen(LINK, urlsplit(log.stack.env["NATS_URL"]).port or 0)
        relay, url = start_healthy_relay(log, NATS_URL=f"nats://{LOOPBACK}:{port}")
        first = (await log.life.booked(fresh()))["id"]
        await log.until([f"{first}:1"])
        link.impose(CUT)
        await log.life.move(first, slot=SLOT)
        others = [(await log.life.booked(fresh()))["id"] for _ in range(20)]
        await until(lambda: "relay_waits" in relay.log, "the relay misses NATS")
        await until(lambda: lag_of(url) > 1, "the lag grows")
        link.lift(CUT)
        events = await log.until([f"{first}:2", *(f"{id}:1" for id in others)])

    assert versions_of(events) == {first: [1, 2]} | {id: [1] for id in others}


async def test_deposed_relay_is_not_behind(servers: Servers) -> None:
    """A relay that was deposed with unpublished events in hand leaves them and the lag to its successor."""
    async with event_log(servers) as log, proxy() as link:
        port = await link.listen(LINK, urlsplit(log.stack.env["NATS_URL"]).port or 0)
        relay, url = start_healthy_relay(log, NATS_URL=f"nats://{LOOPBACK}:{port}")
        first = (await log.life.booked(fresh()))["id"]
        await log.until([f"{first}:1"])
        link.impose(CUT)
        second = (await log.life.booked(fresh()))["id"]
        await until(lambda: "relay_waits" in relay.log, "the relay has an unpublished event")
        relay.send(signal.SIGSTOP)
        log.start_relay()
        events = await log.until([f"{second}:1"])
        relay.send(signal.SIGCONT)
        await until(lambda: "relay_deposed" in relay.log, "the relay knows that it is deposed")
        link.lift(CUT)
        await until(lambda: events_check(url) == "ok", "the relay stands by")
        assert lag_of(url) == 0

    assert ids_of(events) == [f"{first}:1", f"{second}:1"]


async def test_publisher_works_after_any_number_of_failures(nats_server: NatsAlone) -> None:
    """Events that could not be sent take no room from later ones, however many they were."""
    nats_server.jetstream = True
    nats_server.restart()
    place = EventPlace(resources=("default",), slot=NOW)
    events = [
        AuditedEvent(type="booked", at=NOW, id=f"b{n}", version=1, site="clinic", place=place)
        for n in range(1000)
    ]
    # A buffer of 100 KB is full after some 250 events.
    connection = await nats.connect(
        nats_server.url,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.1,
        pending_size=100_000,
        error_cb=_pass,
    )
    publisher = EventPublisher(connection, EventSettings())
    await publisher.create_stream()
    await publisher.publish(events[:1])
    await asyncio.to_thread(nats_server.kill)
    await until(lambda: connection.is_reconnecting, "the client has noticed")
    async with asyncio.timeout(30):
        for _ in range(2 * MOST_IN_FLIGHT):
            with pytest.raises(Unpublished):
                await publisher.publish(events)
    await asyncio.to_thread(nats_server.start)
    await until(lambda: connection.is_connected, "the client is connected again")
    async with asyncio.timeout(20):
        await publisher.publish(events)
    info = await connection.jetstream().stream_info("EVENTS")
    assert info.state.messages == len(events)
    await connection.close()


async def _pass(_error: Exception) -> None:
    """Ignore the lost connection."""


@pytest.fixture
def standalone(tmp_path: Path) -> Iterator[StandaloneMongod]:
    with StandaloneMongod(tmp_path) as mongod:
        yield mongod


async def test_standalone_mongod_has_no_events(servers: Servers, standalone: StandaloneMongod) -> None:
    """On a standalone mongod a relay says once that it publishes nothing, stays, and is ready."""
    async with event_log(servers, MONGO_URI=standalone.url) as log:
        relay, url = start_healthy_relay(log)
        await until(lambda: events_check(url).startswith("ok: no events"), "the relay is ready")
        await log.life.booked(fresh())
        assert "standalone" in events_check(url)
        assert relay.running
        assert Counter(relay.log.split('"'))["no_events"] == 1
        assert await log.stored() == []
        relay.send(signal.SIGTERM)
        assert await asyncio.to_thread(relay.wait) == 0
