"""What a connection to the gateway may cost, and what becomes of it when the gateway ends."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import nats
import psutil
import pytest
from nats.aio.msg import Msg

from deploy.local.ports import free_port
from gateway.http.server import HEAD_SECONDS
from shared.contract.operations import BOOK
from shared.process.listening import STALLED_SECONDS
from shared.process.nats_wire import round_trip
from tests.integration.breakable import until
from tests.integration.stand_in import BOOKED, answer_all, items_of
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Service, Stack, wait_until

FEW_DESCRIPTORS = 256
MANY_CONNECTIONS = 1300
POST = b"POST /api/book-appointment HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass
class Gateway:
    """A gateway without workers, and the connections that a test makes to it."""

    stack: Stack
    service: Service
    closing: contextlib.ExitStack

    @property
    def address(self) -> tuple[str, int]:
        url = httpx.URL(self.stack.url)
        return url.host, url.port or 0

    def connect(self) -> socket.socket:
        connection = self.closing.enter_context(socket.create_connection(self.address))
        connection.settimeout(20)
        return connection


@contextlib.contextmanager
def running_gateway(servers: Servers) -> Iterator[tuple[Stack, Service]]:
    with servers.new_stack() as stack:
        with few_descriptors():
            service = stack.start_gateway()
        wait_until(lambda: httpx.get(f"{stack.url}/livez").status_code == 200, "it serves")
        yield stack, service


@pytest.fixture(scope="module")
def lasting(servers: Servers) -> Iterator[tuple[Stack, Service]]:
    with running_gateway(servers) as running:
        yield running


@pytest.fixture
def gateway(lasting: tuple[Stack, Service]) -> Iterator[Gateway]:
    """The gateway that tests share which leave it as it is."""
    with contextlib.ExitStack() as closing:
        yield Gateway(*lasting, closing)


@pytest.fixture
def own(servers: Servers) -> Iterator[Gateway]:
    """A gateway of one test alone, which ends it or measures it."""
    with running_gateway(servers) as running, contextlib.ExitStack() as closing:
        yield Gateway(*running, closing)


@contextlib.contextmanager
def few_descriptors() -> Iterator[None]:
    """A low limit for this process, and those that it starts."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW_DESCRIPTORS, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def read_to_end(connection: socket.socket) -> bytes:
    """All that still comes, until the gateway closes the connection."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        while more := connection.recv(65536):
            answer += more
    return answer


def test_a_head_without_end_is_cut_off(gateway: Gateway) -> None:
    """Header lines without end are answered 431 after 64 KB, and cost no more memory than that."""
    process = psutil.Process(gateway.service.process.pid)
    before, line = process.memory_info().rss, b"A" * 60 + b": b\r\n"
    connection = gateway.connect()
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: gateway\r\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(50_000_000 // len(line)):
            connection.sendall(line)
    assert read_to_end(connection).startswith(b"HTTP/1.1 431 ")
    assert process.memory_info().rss < before + 20_000_000


def test_half_a_head_is_not_waited_for(gateway: Gateway) -> None:
    """A connection on which no whole head comes is closed."""
    silent, half = gateway.connect(), gateway.connect()
    half.sendall(b"GET /livez HTTP/1.1\r\nHost:")
    started = time.monotonic()
    assert read_to_end(silent) == read_to_end(half) == b""
    assert time.monotonic() - started > HEAD_SECONDS / 2


def test_silent_connections_keep_nobody_away(gateway: Gateway) -> None:
    """With more connections than a process may have by default, questions about health are answered."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for _ in range(MANY_CONNECTIONS):
        gateway.connect()
    answer = httpx.get(f"{gateway.stack.url}/readyz", timeout=HEAD_SECONDS / 2)
    assert answer.json()["checks"]["nats"] == "ok"


def test_after_a_body_that_is_too_large_the_connection_is_closed(gateway: Gateway) -> None:
    """What follows a body that was refused with 413 is not taken for a request, and not swallowed."""
    connection = gateway.connect()
    connection.sendall(POST + b"Content-Length: 20000\r\n\r\n{}")
    answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_a_caller_who_goes_in_the_middle_of_a_body_books_nothing(gateway: Gateway, reset: bool) -> None:
    """A body in chunks that is broken off after complete JSON is no request."""
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
        await until(lambda: answered() > before, "the gateway has done with it")
        async with httpx.AsyncClient(base_url=gateway.stack.url) as client:
            whole = await client.post("/api/book-appointment", json=fresh("Grace"))
    assert whole.status_code == 201
    assert [command["patientName"] for command in commands] == ["Grace"]


@asynccontextmanager
async def in_flight(gateway: Gateway) -> AsyncIterator[tuple[asyncio.Task[httpx.Response], asyncio.Event]]:
    """A booking whose answer comes once the event is set."""
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
async def test_a_gateway_that_stops_answers_what_is_in_flight(own: Gateway, number: signal.Signals) -> None:
    """A signal to end: no more connections, the answers that are due, and 0."""
    async with in_flight(own) as (booking, answer):
        own.service.send(number)
        await until(lambda: refuses(own), "it takes no more connections")
        answer.set()
        assert (await booking).status_code == 201
    assert await asyncio.to_thread(own.service.wait) == 0


def refuses(gateway: Gateway) -> bool:
    try:
        socket.create_connection(gateway.address).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it was closing the port at that moment
        return False
    return False


def test_a_killed_gateway_leaves_its_port(own: Gateway) -> None:
    """SIGKILL ends the whole of it: nothing is left that would hold the port."""
    own.service.kill()
    assert refuses(own)


def test_a_paused_gateway_answers_nothing(gateway: Gateway) -> None:
    """SIGSTOP pauses the service itself; what was asked meanwhile is answered once it goes on."""
    gateway.service.send(signal.SIGSTOP)
    connection = gateway.connect()
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
    connection.settimeout(0.5)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    gateway.service.send(signal.SIGCONT)
    connection.settimeout(20)
    assert read_to_end(connection).startswith(b"HTTP/1.1 200 ")


def test_a_port_that_is_taken_is_one_line(gateway: Gateway) -> None:
    """A second gateway on the port of the first ends with one line that names the variable."""
    second = gateway.stack.start("gateway", PORT=str(gateway.address[1]))
    assert second.wait() == 1
    assert second.log.startswith("PORT: ")
    assert second.log.count("\n") == 1


ASSET = b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: gateway\r\n\r\n"
SLOW_READERS = 60


def test_who_takes_nothing_of_its_answer_is_cut_off_and_who_reads_slowly_is_not(own: Gateway) -> None:
    """Connections whose answers nobody reads are ended, and cost little memory until then.

    Whoever takes something of the answer now and then gets all of it, however long it takes.
    """
    process = psutil.Process(own.service.process.pid)
    with ThreadPoolExecutor(1) as reader:
        slow = reader.submit(read_slowly, own.connect(), STALLED_SECONDS * 1.2)
        descriptors, memory = process.num_fds(), process.memory_info().rss
        for _ in range(SLOW_READERS):
            connection = own.closing.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(own.address)
            connection.sendall(ASSET * 10)  # more than the system takes for one who does not read
        held = descriptors + SLOW_READERS - 5  # the connections of those who waited for it may be closed
        wait_until(lambda: process.num_fds() >= held, "all are connected")
        time.sleep(HEAD_SECONDS)  # the time in which a connection without a request is closed
        assert process.num_fds() >= held
        assert process.memory_info().rss < memory + SLOW_READERS * 1_000_000
        wait_until(lambda: process.num_fds() <= descriptors + 2, "they are cut off", 2 * STALLED_SECONDS)
        head, _, body = slow.result().partition(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    assert len(body) == int(length.split(b":")[1])


def read_slowly(connection: socket.socket, seconds: float) -> bytes:
    """The whole answer, of which a little is read each second for so long, and then the rest."""
    connection.sendall(ASSET.replace(b"Host:", b"Connection: close\r\nHost:"))
    answer, started = b"", time.monotonic()
    while time.monotonic() < started + seconds:
        answer += connection.recv(65536)
        time.sleep(1)
    return answer + read_to_end(connection)


# Of which the gateway leaves 64 for other things.
DESCRIPTORS = 192
START = ["sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$0" -m gateway', sys.executable]


@pytest.fixture
def health(servers: Servers) -> Iterator[tuple[Stack, str]]:
    """A gateway that may have few connections, and the URL of its health port."""
    port, health_port = free_port(), free_port()
    with servers.new_stack(PORT=str(port), HEALTH_PORT=str(health_port)) as stack:
        stack.url = f"http://127.0.0.1:{port}"
        env = {**os.environ, **stack.env}
        with subprocess.Popen(START, env=env, stdout=subprocess.DEVNULL) as process:
            try:
                wait_until(lambda: httpx.get(f"{stack.url}/livez").status_code == 200, "it serves")
                yield stack, f"http://127.0.0.1:{health_port}"
            finally:
                process.terminate()


def test_health_is_answered_though_no_connection_can_be_had(health: tuple[Stack, str]) -> None:
    """Connections that fill the port of the API do not hide whether the process lives and is ready."""
    stack, url = health
    api = httpx.URL(stack.url)
    for _ in range(2 * DESCRIPTORS):
        stack.closing.enter_context(socket.create_connection((api.host, api.port or 0)))
    with pytest.raises(httpx.TimeoutException):  # control: the port of the API is full
        httpx.get(f"{stack.url}/livez", timeout=1)
    assert httpx.get(f"{url}/livez", timeout=2).json() == {"alive": True}
    ready = httpx.get(f"{url}/readyz", timeout=4)
    assert (ready.status_code, ready.json()["checks"]["nats"]) == (503, "ok")
    assert "booking_http_requests_total" in httpx.get(f"{url}/metrics", timeout=2).text


def test_a_health_port_that_is_taken_is_one_line(health: tuple[Stack, str]) -> None:
    """A second gateway on the health port of the first ends with one line that names the variable."""
    stack, _ = health
    second = stack.start("gateway", PORT=str(free_port()))
    assert second.wait() == 1
    assert second.log.startswith("HEALTH_PORT: ")
    assert second.log.count("\n") == 1
