"""`python -m deploy.local` serves, restarts what dies, and stops without leaving a process."""

import asyncio
import contextlib
import os
import signal
from functools import partial
from pathlib import Path

import httpx
import nats
import psutil

from tests.integration.local_stack.stack import ADDRESSES, STOP_SECONDS, LocalStack
from tests.slots import fresh
from tests.stack import wait_until

BOOK = "/api/book-appointment"


def test_a_stopped_stack_keeps_its_bookings_and_leaves_no_process(data: Path) -> None:
    """After Ctrl-C or SIGTERM no process is left, and the next start has all bookings."""
    stack, body = LocalStack(data, BOOKING_WORKERS="2").ready(), fresh()
    answer = httpx.post(f"{stack.url}/api/book-appointment", json=body)
    assert answer.status_code == 201
    assert len(stack.processes()) == 1 + 3 + 6
    assert stack.stop(signal.SIGINT) < STOP_SECONDS
    assert stack.processes() == []
    again = LocalStack(data).ready()
    assert httpx.post(f"{again.url}/api/book-appointment", json=body).json() == {
        "error": "Slot already booked"
    }
    assert again.stop(signal.SIGTERM) < STOP_SECONDS
    assert again.processes() == []
    assert [file for file in (data, *data.rglob("*")) if file.stat().st_mode & 0o077] == []  # it has names


async def test_requests_in_flight_are_answered_when_the_stack_stops(data: Path) -> None:
    """A booking that waits for a hanging MongoDB gets its 503 or 504 before the stack stops."""
    stack = await asyncio.to_thread(LocalStack(data).ready)
    addresses = stack.addresses()
    witness = await nats.connect(addresses["NATS_URL"])
    commands = await witness.subscribe("booking.v1.*")
    os.kill(int(addresses["MONGOD_PID"]), signal.SIGSTOP)
    async with httpx.AsyncClient(timeout=60) as client:
        booking = asyncio.create_task(client.post(f"{stack.url}/api/book-appointment", json=fresh()))
        while "book" not in (await commands.next_msg(60)).subject.rpartition(".")[2]:
            pass
        await witness.close()
        stopping = asyncio.create_task(asyncio.to_thread(stack.stop))
        assert (await booking).status_code in {503, 504}
    await stopping
    assert stack.processes() == []


def test_killed_processes_are_restarted(data: Path) -> None:
    """The stack restarts a worker, gateway or server that is killed, and prints that."""
    stack = LocalStack(data).ready()
    before = stack.addresses()
    killed = [int(before[name]) for name in ("BOOKING_WORKER_PIDS", "GATEWAY_PIDS", "MONGOD_PID")]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    for pid in killed:
        wait_until(
            partial(stack.said, f"(pid {pid}) died with SIGKILL; restarted"), "the process is restarted"
        )
    wait_until(lambda: httpx.get(f"{stack.url}/readyz").status_code == 200, "the stack is ready again")
    wait_until(
        lambda: httpx.post(f"{stack.url}/api/book-appointment", json=fresh()).status_code == 201,
        "bookings work again",
    )
    after = stack.addresses()
    assert not set(killed) & {int(pid) for name, pid in after.items() if "PID" in name for pid in pid.split()}
    assert {name: after[name] for name in ADDRESSES} == {name: before[name] for name in ADDRESSES}
    stack.stop()
    assert stack.processes() == []


async def test_several_gateways_share_the_port(data: Path) -> None:
    """With `GATEWAYS=2` both gateways serve the port; a killed one delays no request and is restarted."""
    stack = await asyncio.to_thread(LocalStack(data, GATEWAYS="2").ready)
    killed, other = (psutil.Process(pid) for pid in gateways_of(stack))
    await serve_callers_with(stack, {killed, other})
    async with httpx.AsyncClient(base_url=stack.url, timeout=30) as client:
        killed.kill()
        while not stack.said(f"gateway-1 (pid {killed.pid}) died with SIGKILL; restarted"):
            # A request is cut off or answered in time; a hanging one would raise ReadTimeout.
            with contextlib.suppress(httpx.NetworkError, httpx.RemoteProtocolError):
                assert (await client.post(BOOK, json=fresh())).status_code == 201
    (again,) = set(gateways_of(stack)) - {other.pid}
    await serve_callers_with(stack, {other, psutil.Process(again)})
    ports = stack.addresses()["HEALTH_PORTS"].split()
    assert len(set(ports)) == 2
    for port in ports:
        assert httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    await asyncio.to_thread(stack.stop)
    assert stack.processes() == []


def gateways_of(stack: LocalStack) -> list[int]:
    """Return the process ids of the running gateways."""
    return [int(pid) for pid in stack.addresses()["GATEWAY_PIDS"].split()]


async def serve_callers_with(stack: LocalStack, gateways: set[psutil.Process]) -> None:
    """Book over new connections until every gateway has served some; assert that all succeed."""
    unserved = set(gateways)
    async with asyncio.timeout(60):
        while unserved:
            async with httpx.AsyncClient(base_url=stack.url, timeout=30) as client:
                answers = await asyncio.gather(*(client.post(BOOK, json=fresh()) for _ in range(16)))
                assert {answer.status_code for answer in answers} == {201}
                unserved -= {gateway for gateway in gateways if serves(gateway, stack.port)}


def serves(process: psutil.Process, port: int) -> bool:
    """Return whether a process has connections of callers on a port."""
    connections = process.net_connections("tcp")
    return any(one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED for one in connections)


def test_the_next_start_stops_the_processes_of_a_killed_supervisor(data: Path) -> None:
    """The next start on the same port and data stops the processes that a killed supervisor left."""
    stack = LocalStack(data).ready()
    stack.process.kill()
    stack.process.wait()
    orphans = stack.processes()
    assert len(orphans) == 3 + 5
    again = LocalStack(data, PORT=str(stack.port)).ready()
    assert not set(orphans) & set(again.processes())
    again.stop()
    assert again.processes() == []


def test_a_paused_stack_stops_in_time(data: Path) -> None:
    """Processes that hang do not delay the stop of the stack beyond the time that requests may take."""
    stack = LocalStack(data).ready()
    addresses = stack.addresses()
    for name in ("MONGOD_PID", "NATS_PID", "BOOKING_WORKER_PIDS"):
        os.kill(int(addresses[name]), signal.SIGSTOP)
    assert stack.stop() < STOP_SECONDS
    assert stack.processes() == []
