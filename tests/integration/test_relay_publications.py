"""What the relay publishes: each change once, in order, again on demand, as valid CloudEvents."""

import asyncio
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from os import environ
from urllib.parse import urlsplit

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary
from cloudevents.core.formats.json import JSONFormat

from deploy.local.ports import LOOPBACK, free_port
from tests.integration.breakable import LINK, proxy, until
from tests.integration.event_log import RELAY, EventLog, data_of, event_log, ids_of
from tests.integration.many import alone, ask_many, statuses
from tests.integration.relay_state import start_following, until_renewed, versions_of
from tests.proof.faults.proxy import LinkRule
from tests.servers import Servers
from tests.slots import fresh

CUT = LinkRule(frozenset({LINK}), cut=True)
MESSAGES, BOOKINGS = 4, 128
SLOT = "2031-07-01T09:00:00Z"


async def test_relay_that_is_killed_in_a_bulk_publishes_each_booking(servers: Servers) -> None:
    """Each of 128 bookings in a message has its event, though the relay is killed meanwhile."""
    async with event_log(servers) as log:
        relay, _ = await start_following(log)
        first_event = asyncio.Event()

        async def note(_message: object) -> None:
            first_event.set()

        await log.connection.subscribe("event.v1.>", cb=note)
        await log.connection.flush()
        asking = [
            asyncio.create_task(
                ask_many(log.connection, "booking.v1.book_many", alone(*(fresh() for _ in range(BOOKINGS))))
            )
            for _ in range(MESSAGES)
        ]
        await first_event.wait()
        relay.kill()
        before = await log.stored()
        replies = [reply for each in await asyncio.gather(*asking) for reply in each]
        assert statuses(replies) == [201] * MESSAGES * BOOKINGS
        assert len(before) < len(replies), "the relay was killed too late"
        log.start_relay()
        ids = [f"{reply['body']['appointment']['id']}:1" for reply in replies]
        events = await log.until(ids)

    counted = Counter(ids_of(events))
    assert set(counted.values()) == {1}
    assert len(counted) == len(ids) + 1


async def in_the_order_of_the_stream(servers: Servers, without: str) -> tuple[str, list[int]]:
    """Change a booking while the relay is cut off from NATS, kill it, and start one with all safeguards.

    Returns:
        The id of the booking, and its versions in the order of their events.
    """
    async with event_log(servers) as log, proxy() as link:
        port = await link.listen(LINK, urlsplit(log.stack.env["NATS_URL"]).port or 0)
        relay = log.start_relay(without, NATS_URL=f"nats://{LOOPBACK}:{port}")
        await log.until([f"{(await log.life.booked(fresh()))['id']}:1"])
        link.impose(CUT)
        id = (await log.life.booked(fresh()))["id"]
        await until(lambda: "relay_waits" in relay.log, "the relay cannot publish")
        await until_renewed(log.stack)
        relay.kill()
        await log.life.move(id, slot=SLOT)
        log.start_relay()
        return id, versions_of(await log.until([f"{id}:1", f"{id}:2"]))[id]


async def test_relay_that_is_killed_before_the_acknowledgement_keeps_the_order(servers: Servers) -> None:
    """The next relay publishes the unacknowledged event first, and the booking's next change after it."""
    _, versions = await in_the_order_of_the_stream(servers, "")
    assert versions == [1, 2]


async def test_order_is_lost_if_the_token_is_stored_before_the_acknowledgement(servers: Servers) -> None:
    """With an early token, only the reconciliation finds the first event, after the second one."""
    _, versions = await in_the_order_of_the_stream(servers, "token_before_ack")
    assert versions == [2, 1]


async def after_an_absence(servers: Servers, without: str) -> list[int]:
    """Return the versions of a booking in the order of their events, when all were made without a relay."""
    async with event_log(servers) as log:
        relay, _ = await start_following(log)
        relay.kill()
        id = (await log.life.booked(fresh()))["id"]
        await log.life.move(id, slot=SLOT)
        await log.life.cancel(id)
        log.start_relay(without)
        return versions_of(await log.until([f"{id}:{version}" for version in (1, 2, 3)]))[id]


async def test_event_is_the_change_and_not_the_booking_as_it_is_later(servers: Servers) -> None:
    """Three changes that a relay reads at once are three events in order."""
    assert await after_an_absence(servers, "") == [1, 2, 3]


async def test_later_look_up_loses_the_order_of_changes(servers: Servers) -> None:
    """A relay that looks up the booking publishes the last change first."""
    assert (await after_an_absence(servers, "later_lookup"))[0] == 3


def republish(log: EventLog, since: str) -> str:
    """Run `--republish --since`; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", RELAY, "--republish", "--since", since],
        env={**environ, **log.stack.env},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


async def test_republish_repeats_events_under_the_same_ids(servers: Servers) -> None:
    """Into a new stream `--republish --since` publishes the same events again, and none from before."""
    async with event_log(servers) as log:
        relay = log.start_relay()
        old = (await log.life.booked(fresh()))["id"]
        await log.until([f"{old}:1"])
        since = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        id = (await log.life.booked(fresh()))["id"]
        await log.life.move(id, slot=SLOT)
        events = await log.until([f"{id}:2"])
        relay.kill()
        await log.connection.jetstream().delete_stream("EVENTS")
        for _ in range(2):  # the second time, JetStream drops all as duplicates
            assert "Published 2 events again" in await asyncio.to_thread(republish, log, since)
        again = await log.stored()

    assert ids_of(again) == [f"{id}:1", f"{id}:2"]
    assert [(event.subject, data_of(event)) for event in again] == [
        (event.subject, data_of(event)) for event in events[1:]
    ]


@pytest.mark.parametrize(
    ("variable", "address"),
    [("NATS_URL", "nats://127.0.0.1:{}"), ("MONGO_URI", "mongodb://127.0.0.1:{}/booking")],
)
def test_republish_names_the_server_that_does_not_answer(
    servers: Servers, variable: str, address: str
) -> None:
    """The command ends with 1; the last line begins with the variable."""
    with servers.new_stack() as stack:
        done = subprocess.run(
            [sys.executable, "-m", RELAY, "--republish", "--since", "2030-01-01T00:00Z"],
            env={**environ, **stack.env, variable: address.format(free_port())},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"{variable}: "), done.stderr


async def test_order_survives_a_deleted_stream(servers: Servers) -> None:
    """A stream that was deleted while no relay ran gets each booking's events in the order of versions."""
    async with event_log(servers) as log:
        relay = log.start_relay()
        id = (await log.life.booked(fresh()))["id"]
        await log.until([f"{id}:1"])
        relay.kill()
        await log.connection.jetstream().delete_stream("EVENTS")
        await log.life.move(id, slot=SLOT)
        log.start_relay()
        events = await log.until([f"{id}:1", f"{id}:2"])

    assert versions_of(events) == {id: [1, 2]}


async def test_event_does_not_depend_on_the_zone_of_the_host(servers: Servers) -> None:
    """A relay on a host in Berlin publishes the instants of the booking."""
    async with event_log(servers) as log:
        log.start_relay(TZ="Europe/Berlin")
        await log.until([f"{(await log.life.booked(fresh()))['id']}:1"])
        booked = await log.life.booked(fresh())
        *_, event = await log.until([f"{booked['id']}:1"])

    assert data_of(event)["slot"] == booked["slot"]
    at = datetime.fromisoformat((event.headers or {})["ce-time"])
    assert abs((datetime.now(UTC) - at).total_seconds()) < 60


async def test_event_is_a_valid_cloud_event(servers: Servers) -> None:
    """The CloudEvents SDK reads an event in binary mode, with all attributes of the contract."""
    async with event_log(servers) as log:
        log.start_relay()
        booked = await log.life.booked(fresh())
        (event,) = await log.until([f"{booked['id']}:1"])

    attributes = {name: value for name, value in (event.headers or {}).items() if name.startswith("ce-")}
    # In the binding for NATS, unlike the one for HTTP, the content type is an attribute like the others.
    headers = {**attributes, "content-type": attributes.pop("ce-datacontenttype")}
    read = from_binary(HTTPMessage(headers, event.data), JSONFormat())
    assert (
        read.get_id(),
        read.get_type(),
        read.get_source(),
        read.get_subject(),
        read.get_specversion(),
    ) == (
        f"{booked['id']}:1",
        "appointment.booked",
        f"/sites/{booked['site']}",
        booked["id"],
        "1.0",
    )
    at = read.get_time()
    assert at is not None
    assert abs((datetime.now(UTC) - at).total_seconds()) < 60
    assert read.get_datacontenttype() == "application/json"
    assert read.get_data() == data_of(event)
