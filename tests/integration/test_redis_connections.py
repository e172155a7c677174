"""Connections to Redis that are cut, or fewer than the calls, do not make Redis count as lost."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import uvloop
from redis.asyncio import Connection

from shared.stores.redis import server as server_module
from shared.stores.redis.connection import connect_redis
from shared.stores.redis.intents import HoldState
from tests.integration.hold_stores import Stores, rival_of, wanted
from tests.servers import Servers


async def test_more_calls_than_connections_wait_for_one(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If there are more calls than connections, calls wait for one, and Redis does not count as lost."""
    monkeypatch.setattr(server_module, "MOST_CONNECTIONS", 2)
    with servers.new_stack() as stack:
        redis = connect_redis(stack.env["REDIS_URL"])
        redis.connection_pool.max_connections = 2
        stores = Stores.on(redis)
        await asyncio.gather(*(stores.server.ping() for _ in range(8)))
        await redis.aclose()


async def test_a_cut_connection_is_not_a_lost_redis(servers: Servers) -> None:
    """Connections that are cut while idle fail no call, and Redis does not count as lost."""
    with servers.new_stack() as stack:
        redis, cutter = (connect_redis(stack.env["REDIS_URL"]) for _ in range(2))
        stores = Stores.on(redis)
        for _ in range(10):
            await asyncio.gather(*(stores.server.ping() for _ in range(8)))  # it raises if Redis is lost
            await cutter.client_kill_filter(_type="normal", skipme=True)
        await redis.aclose()
        await cutter.aclose()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_connection_cut_during_a_write_is_not_a_lost_redis(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """If a connection is cut during a write, the call is retried on another, on either event loop."""
    send, cut = Connection.send_packed_command, list[Any]()

    async def cut_and_send(connection: Connection, command: Any, **options: Any) -> None:
        if not cut:
            cut.append(command)
            assert connection._writer
            connection._writer.transport.abort()
            with suppress(OSError):
                await connection._writer.wait_closed()
        await send(connection, command, **options)

    async def ask(url: str) -> None:
        redis = connect_redis(url)
        stores = Stores.on(redis)
        await stores.server.ping()
        monkeypatch.setattr(Connection, "send_packed_command", cut_and_send)
        assert await stores.found_by(rival_of(wanted())) is HoldState.FREE
        await redis.aclose()

    with servers.new_stack() as stack, asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(ask(stack.env["REDIS_URL"]))
    assert len(cut) == 1
