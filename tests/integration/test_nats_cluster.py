"""A NATS cluster of three members routes commands, and loses no answer if one member is killed."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from deploy.local.ports import free_port
from tests.callers import Answer, Caller
from tests.integration.breakable import count_rows, http_caller, start_gateway, until
from tests.proof.faults.nodes import NatsNode
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Service

MEMBERS = 3
CALLERS = 16
ENOUGH = 4 * CALLERS
KEY = "Idempotency-Key"


@pytest.fixture
def members(tmp_path: Path) -> Iterator[list[NatsNode]]:
    """Start three members that are routed to each other."""
    routes = [free_port() for _ in range(MEMBERS)]
    nodes = [NatsNode(tmp_path / f"nats-{number}", routes, number) for number in range(MEMBERS)]
    with ExitStack() as running:
        yield [running.enter_context(node) for node in nodes]


@dataclass(frozen=True)
class Rivals:
    """Two bookings of one slot, with their keys and their answers."""

    bodies: Sequence[dict[str, Any]]
    keys: Sequence[str]
    answers: Sequence[Answer]


async def compete(caller: Caller, rounds: list[Rivals], stop: asyncio.Event) -> None:
    """Let two patients book a fresh slot at once, repeatedly until `stop` is set."""
    while not stop.is_set():
        slot = fresh()
        bodies = [{**slot, "patientName": name} for name in ("Ada", "Grace")]
        keys = [str(uuid4()) for _ in bodies]
        rounds.append(Rivals(bodies, keys, await ask(caller, bodies, keys)))


async def ask(caller: Caller, bodies: Sequence[object], keys: Sequence[str]) -> list[Answer]:
    pairs = zip(bodies, keys, strict=True)
    return await asyncio.gather(*(caller.book(body, **{KEY: key}) for body, key in pairs))


def member_of(service: Service, members: Sequence[NatsNode]) -> NatsNode:
    """Return the member that a service is connected to."""
    connections = psutil.Process(service.pid).net_connections("tcp")
    ports = {connection.raddr.port for connection in connections if connection.raddr}
    (member,) = (member for member in members if member.port in ports)
    return member


async def test_commands_cross_the_cluster(servers: Servers, members: Sequence[NatsNode]) -> None:
    """A gateway and workers that are connected to three different members book and hold together."""
    urls = [member.url for member in members]
    with servers.new_stack() as stack:
        stack.start("booking_worker", NATS_URL=urls[0])
        stack.start("hold_worker", NATS_URL=urls[1])
        start_gateway(stack, NATS_URL=urls[2])
        await asyncio.to_thread(stack.wait_ready)
        async with http_caller(stack) as caller:
            assert (await caller.book(fresh())).status == 201
            assert (await caller.hold(fresh())).status == 200


@pytest.mark.parametrize("victim", ["gateway", "booking_worker"])
async def test_a_member_that_is_killed_costs_no_answer(
    servers: Servers, members: Sequence[NatsNode], victim: str
) -> None:
    """If a member is killed under load, its clients reconnect to another, and no answer is lost or wrong."""
    rounds: list[Rivals] = []
    stop = asyncio.Event()
    with servers.new_stack(NATS_URL=",".join(member.url for member in members)) as stack:
        services = {"booking_worker": stack.start("booking_worker")}
        stack.start("booking_worker")
        stack.start("hold_worker")
        services["gateway"] = start_gateway(stack)
        await asyncio.to_thread(stack.wait_ready)
        async with http_caller(stack) as caller, asyncio.TaskGroup() as load:
            for _ in range(CALLERS):
                load.create_task(compete(caller, rounds, stop))
            await until(lambda: len(rounds) >= ENOUGH, "enough slots are booked")
            member_of(services[victim], members).kill()
            await until(lambda: "nats_reconnected" in services[victim].log, "the service has reconnected")
            before = len(rounds)
            await until(lambda: len(rounds) >= before + ENOUGH, "enough slots are booked again")
            stop.set()
        unjudged = iter(rounds)
        async with http_caller(stack) as caller, asyncio.TaskGroup() as judging:
            for _ in range(CALLERS):
                judging.create_task(judge(unjudged, caller))
        assert count_rows(stack, status="booked") == len(rounds)


async def judge(unjudged: Iterator[Rivals], caller: Caller) -> None:
    """Assert that one rival has the slot, and that a retry of either gets its first 201 or 409 again."""
    for rivals in unjudged:
        assert {answer.status for answer in rivals.answers} <= {201, 409, 503, 504}
        repeated = await ask(caller, rivals.bodies, rivals.keys)
        assert sorted(answer.status for answer in repeated) == [201, 409]
        for first, again in zip(rivals.answers, repeated, strict=True):
            if first.status in {201, 409}:
                assert again.body == first.body
