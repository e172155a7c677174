"""The cost of a connection to the gateway, and what ends it."""

import contextlib
import json
import resource
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import nats
import psutil
import pytest
from nats.aio.msg import Msg

from gateway.http.server import HEAD_SECONDS
from shared.contract.operations import BOOK
from shared.process.listening import STALLED_SECONDS
from shared.process.nats_wire import round_trip
from tests.integration.breakable import until
from tests.integration.lone_gateway import Gateway, read_to_end, running_gateway
from tests.integration.stand_in import BOOKED, answer_all, items_of
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Service, Stack, wait_until

MANY_CONNECTIONS = 1300
POST = b"POST /api/book-appointment HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def lasting(servers: Servers) -> Iterator[tuple[Stack, Service]]:
    with running_gateway(servers) as running:
        yield running


@pytest.fixture
def gateway(lasting: tuple[Stack, Service]) -> Iterator[Gateway]:
    """The gateway shared by the tests that leave it unchanged."""
    with contextlib.ExitStack() as closing:
        yield Gateway(*lasting, closing)


@pytest.fixture
def own(servers: Servers) -> Iterator[Gateway]:
    """A gateway for one test, which measures it."""
    with running_gateway(servers) as running, contextlib.ExitStack() as closing:
        yield Gateway(*running, closing)


def test_endless_head_is_cut_off(gateway: Gateway) -> None:
    """A head over 64 KB gets 431, and costs no more memory than that."""
    process = psutil.Process(gateway.service.process.pid)
    before, line = process.memory_info().rss, b"A" * 60 + b": b\r\n"
    connection = gateway.connect()
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: gateway\r\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(50_000_000 // len(line)):
            connection.sendall(line)
    assert read_to_end(connection).startswith(b"HTTP/1.1 431 ")
    assert process.memory_info().rss < before + 20_000_000


def test_connection_without_a_whole_head_is_closed(gateway: Gateway) -> None:
    """A connection that sends no whole head in time is closed."""
    silent, half = gateway.connect(), gateway.connect()
    half.sendall(b"GET /livez HTTP/1.1\r\nHost:")
    started = time.monotonic()
    assert read_to_end(silent) == read_to_end(half) == b""
    assert time.monotonic() - started > HEAD_SECONDS / 2


def test_idle_connections_do_not_block_health_checks(gateway: Gateway) -> None:
    """With more connections than the default descriptor limit, `/readyz` still answers."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for _ in range(MANY_CONNECTIONS):
        gateway.connect()
    answer = httpx.get(f"{gateway.stack.url}/readyz", timeout=HEAD_SECONDS / 2)
    assert answer.json()["checks"]["nats"] == "ok"


def test_connection_is_closed_after_a_413(gateway: Gateway) -> None:
    """After a 413 the gateway closes the connection: the rest of the body is never taken for a request."""
    connection = gateway.connect()
    connection.sendall(POST + b"Content-Length: 20000\r\n\r\n{}")
    answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_caller_that_disconnects_within_its_body_books_nothing(gateway: Gateway, reset: bool) -> None:
    """A chunked body that ends early after complete JSON is not a request."""
    commands = list[dict[str, Any]]()

    def answered() -> int:
        return gateway.service.log.count('"answered"')

    async def book(message: Msg) -> None:
        commands.extend(item["command"] for item in items_of(message))
        await answer_all(message, BOOKED)

    async with await nats.connect(gateway.stack.env["NATS_URL"]) as connection:
        await connection.subscribe(BOOK.many_subject, cb=book)
        await round_trip(connection)
        body, caller, before = json.dumps(fresh("Ada")).encode(), gateway.connect(), answered()
        caller.sendall(CHUNKED + b"%x\r\n%b\r\n" % (len(body), body))
        if reset:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        caller.close()
        await until(lambda: answered() > before, "the gateway has answered")
        async with httpx.AsyncClient(base_url=gateway.stack.url) as client:
            whole = await client.post("/api/book-appointment", json=fresh("Grace"))
    assert whole.status_code == 201
    assert [command["patientName"] for command in commands] == ["Grace"]


def test_paused_gateway_answers_after_it_resumes(gateway: Gateway) -> None:
    """SIGSTOP pauses the gateway; a request sent meanwhile is answered after SIGCONT."""
    gateway.service.send(signal.SIGSTOP)
    connection = gateway.connect()
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
    connection.settimeout(0.5)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    gateway.service.send(signal.SIGCONT)
    connection.settimeout(20)
    assert read_to_end(connection).startswith(b"HTTP/1.1 200 ")


def test_taken_port_is_one_line(gateway: Gateway) -> None:
    """A second gateway on the same port ends with one line that names the variable."""
    second = gateway.stack.start("gateway", PORT=str(gateway.address[1]))
    assert second.wait() == 1
    assert second.log.startswith("PORT: ")
    assert second.log.count("\n") == 1


ASSET = b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: gateway\r\n\r\n"
SLOW_READERS = 60


def test_stalled_reader_is_cut_off_and_slow_reader_is_not(own: Gateway) -> None:
    """A connection that reads nothing of its answer is closed, and costs little memory until then.

    A connection that reads a little now and then gets the whole answer, however long it takes.
    """
    process = psutil.Process(own.service.process.pid)
    with ThreadPoolExecutor(1) as reader:
        slow = reader.submit(read_slowly, own.connect(), STALLED_SECONDS * 1.2)
        descriptors, memory = process.num_fds(), process.memory_info().rss
        for _ in range(SLOW_READERS):
            connection = own.closing.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(own.address)
            connection.sendall(ASSET * 10)  # more than the socket buffers hold
        held = descriptors + SLOW_READERS - 5  # connections that waited for readiness may be closed
        wait_until(lambda: process.num_fds() >= held, "all stalled readers are connected")
        time.sleep(HEAD_SECONDS)  # after which an idle connection is closed
        assert process.num_fds() >= held
        assert process.memory_info().rss < memory + SLOW_READERS * 1_000_000
        wait_until(
            lambda: process.num_fds() <= descriptors + 2,
            "the stalled readers are cut off",
            2 * STALLED_SECONDS,
        )
        head, _, body = slow.result().partition(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    assert len(body) == int(length.split(b":")[1])


def read_slowly(connection: socket.socket, seconds: float) -> bytes:
    """Return the whole answer: read a part every second for `seconds`, then the rest."""
    connection.sendall(ASSET.replace(b"Host:", b"Connection: close\r\nHost:"))
    answer, started = b"", time.monotonic()
    while time.monotonic() < started + seconds:
        answer += connection.recv(65536)
        time.sleep(1)
    return answer + read_to_end(connection)
