"""`nats_wire` works with private parts of nats-py: limits, resubscription and round trips on a real NATS."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionReconnectingError

from deploy.local.nats import Nats
from shared.process import nats_wire
from shared.process.nats_wire import GuardedClient, round_trip
from tests.integration.breakable import until

SUBJECT = "test.v1.wire"


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[Nats]:
    with Nats(tmp_path) as server:
        yield server


@pytest.fixture
async def connection(nats_server: Nats) -> AsyncIterator[GuardedClient]:
    connection = GuardedClient()
    options: dict[str, Any] = {"max_reconnect_attempts": -1, "reconnect_time_wait": 0.05}
    await connection.connect(nats_server.url, **options)
    yield connection
    await connection.close()


@pytest.fixture
def taken() -> list[bytes]:
    """Collect the payloads that the subscription's callback gets."""
    return []


@pytest.fixture
async def subscription(connection: Client, taken: list[bytes]) -> Subscription:
    async def take(message: Msg) -> None:
        taken.append(message.data)

    return await connection.subscribe(SUBJECT, cb=take)


async def publish(connection: Client, *payloads: str) -> None:
    """Publish, and wait until NATS has sent what this connection receives of it: NATS sends in order."""
    for payload in payloads:
        await connection.publish(SUBJECT, payload.encode())
    await nats_wire.round_trip(connection)


async def test_a_limit_is_kept_and_can_be_raised(
    connection: Client, subscription: Subscription, taken: list[bytes]
) -> None:
    """NATS sends no more than the last limit in all, and the task that runs the callback continues."""
    await nats_wire.unsubscribe(subscription, after=2)
    await publish(connection, "a")
    await nats_wire.unsubscribe(subscription, after=3)
    await publish(connection, "b", "c", "d")
    await nats_wire.handed_out(subscription)
    assert taken == [b"a", b"b", b"c"]


async def test_a_resubscription_counts_its_limit_from_zero(
    connection: Client, subscription: Subscription, taken: list[bytes]
) -> None:
    """After a resubscription with the same id NATS sends as many as the new limit, and nothing twice."""
    await nats_wire.unsubscribe(subscription, after=1)
    await publish(connection, "a", "lost")
    await nats_wire.subscribe_again(subscription, limit=2)
    await nats_wire.subscribe_again(subscription, limit=2)
    await publish(connection, "b", "c", "lost")
    await nats_wire.handed_out(subscription)
    assert taken == [b"a", b"b", b"c"]


async def test_a_round_trip_ends_after_all_earlier_writes(
    connection: Client, subscription: Subscription
) -> None:
    """When a round trip ends, NATS has read everything that was written or buffered before it."""
    for _ in range(20):
        await nats_wire.subscribe_again(subscription, limit=10)
        await nats_wire.unsubscribe(subscription)
        await nats_wire.round_trip(connection)
        seen = subscription.delivered
        async with await nats.connect(connection.connected_url.geturl()) as another:  # type: ignore[union-attr]
            await another.publish(SUBJECT)
            await round_trip(another)
        await nats_wire.round_trip(connection)
        assert subscription.delivered == seen


async def test_a_round_trip_fails_if_the_connection_is_lost(nats_server: Nats, connection: Client) -> None:
    """A round trip raises if the connection is lost during it or before it."""
    nats_server.pause()
    waiting = asyncio.create_task(nats_wire.round_trip(connection))
    await asyncio.sleep(0)
    nats_server.kill()
    with pytest.raises(ConnectionReconnectingError):
        await waiting
    with pytest.raises(ConnectionReconnectingError):
        await nats_wire.round_trip(connection)


async def test_a_forgotten_subscription_is_not_renewed_on_the_next_connection(
    nats_server: Nats, connection: Client, subscription: Subscription, taken: list[bytes]
) -> None:
    """A forgotten subscription hands out what has arrived, and receives nothing after a reconnect."""
    await publish(connection, "a")
    nats_wire.forget(subscription)
    await nats_wire.handed_out(subscription)
    nats_server.kill()
    nats_server.start()
    await until(lambda: connection.stats["reconnects"] == 1, "the client reconnects")
    await publish(connection, "lost")
    assert taken == [b"a"]


async def test_a_client_whose_reading_fails_reconnects(
    connection: GuardedClient, subscription: Subscription, taken: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If an unexpected exception ends the reading, the client reconnects and receives messages again."""
    assert connection.is_reading
    with monkeypatch.context() as broken:
        broken.setattr(connection._ps, "parse", None)
        await connection.publish(SUBJECT, b"lost")
        await connection._flush_pending()
        await until(lambda: connection.stats["reconnects"] == 1, "the client reconnects")
    await until(lambda: connection.is_reading, "the client reads")
    await publish(connection, "a")
    assert taken == [b"a"]


async def test_a_header_that_is_sent_twice_shows_both(connection: Client) -> None:
    """A header that is sent twice keeps both values; other headers are read as before."""
    subscription = await connection.subscribe(SUBJECT)
    twice = {"Once": "a: b", "Twice": "one", "Twice ": "two"}  # nats-py does not send the blank
    for headers in (twice, {"Once": "a"}, None):
        await connection.publish(SUBJECT, b"", headers=headers)
    seen = [(await subscription.next_msg(timeout=20)).headers for _ in range(3)]
    assert seen == [{"Once": "a: b", "Twice": "one\ntwo"}, {"Once": "a"}, None]
