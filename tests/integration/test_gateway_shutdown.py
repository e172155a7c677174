"""A gateway that stops answers its requests in flight; one that is killed frees its port."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import nats
import pytest
from nats.aio.msg import Msg

from shared.contract.operations import BOOK
from shared.process.nats_wire import round_trip
from tests.integration.breakable import until
from tests.integration.lone_gateway import Gateway, running_gateway
from tests.integration.stand_in import BOOKED, answer_all
from tests.servers import Servers
from tests.slots import fresh


@pytest.fixture
def own(servers: Servers) -> Iterator[Gateway]:
    """A gateway for one test, which ends it."""
    with running_gateway(servers) as running, contextlib.ExitStack() as closing:
        yield Gateway(*running, closing)


@asynccontextmanager
async def in_flight(gateway: Gateway) -> AsyncIterator[tuple[asyncio.Task[httpx.Response], asyncio.Event]]:
    """Yield a booking in flight, and an event that lets its answer be sent."""
    met, answer = asyncio.Event(), asyncio.Event()

    async def book(message: Msg) -> None:
        met.set()
        await answer.wait()
        await answer_all(message, BOOKED)

    async with await nats.connect(gateway.stack.env["NATS_URL"]) as connection:
        await connection.subscribe(BOOK.many_subject, cb=book)
        await round_trip(connection)
        async with httpx.AsyncClient(base_url=gateway.stack.url, timeout=20) as client:
            booking = asyncio.create_task(client.post("/api/book-appointment", json=fresh()))
            await met.wait()
            yield booking, answer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stopping_gateway_answers_requests_in_flight(own: Gateway, number: signal.Signals) -> None:
    """On SIGTERM or SIGINT the gateway refuses connections, answers requests in flight, and exits with 0."""
    async with in_flight(own) as (booking, answer):
        own.service.send(number)
        await until(lambda: refuses(own), "the gateway refuses connections")
        answer.set()
        assert (await booking).status_code == 201
    assert await asyncio.to_thread(own.service.wait) == 0


def refuses(gateway: Gateway) -> bool:
    try:
        socket.create_connection(gateway.address).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # the port was closing at that moment
        return False
    return False


def test_killed_gateway_frees_its_port(own: Gateway) -> None:
    """After SIGKILL no process is left that holds the port."""
    own.service.kill()
    assert refuses(own)
