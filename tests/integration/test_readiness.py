"""The gateway is ready if one worker of each kind can serve."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from deploy.local.nats import Nats
from shared.client.command_client import CommandClient
from shared.contract.operations import BOOKING_READY, HOLD_READY
from shared.contract.replies import Readiness
from shared.process.nats_wire import round_trip
from tests.integration.breakable import until
from tests.servers import Servers
from tests.stack import Stack

READY = {"mongodb": "ok", "redis": "ok"}
UNREADY = {"mongodb": "index one_booking_per_claim is missing", "redis": "ok"}


async def answer_ready(connection: Client, subject: str, *workers: dict[str, str]) -> None:
    """Answer readiness requests in the place of workers with these checks, in this order."""

    async def answer(message: Msg) -> None:
        for checks in workers:
            ready = set(checks.values()) == {"ok"}
            body = {"status": 200 if ready else 503, "body": {"ready": ready, "checks": checks}}
            await message.respond(json.dumps(body).encode())

    await connection.subscribe(subject, cb=answer)
    await round_trip(connection)


def reaches_nats(url: str) -> bool:
    """Return whether a gateway serves and is connected to NATS."""
    checks: dict[str, str] = httpx.get(f"{url}/readyz", timeout=20).json()["checks"]
    return checks["nats"] == "ok"


@asynccontextmanager
async def gateway_among(servers: Servers, *workers: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """Start a gateway among booking workers with these checks and one ready hold worker."""
    with servers.new_stack() as stack:
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            await answer_ready(connection, BOOKING_READY.subject, *workers)
            await answer_ready(connection, HOLD_READY.subject, READY)
            gateway = stack.start_gateway()
            async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
                await until(lambda: reaches_nats(stack.url), "the gateway serves")
                assert gateway.process.poll() is None
                yield client


@pytest.mark.parametrize(
    ("workers", "status", "check"),
    [
        ([UNREADY, READY], 200, f"1 of 2 ready; mongodb: {UNREADY['mongodb']}"),
        ([READY, UNREADY], 200, f"1 of 2 ready; mongodb: {UNREADY['mongodb']}"),
        ([READY], 200, "ok, 1 of 1 ready"),
        ([READY, READY], 200, "ok, 2 of 2 ready"),
        ([UNREADY, UNREADY], 503, f"0 of 2 ready; mongodb: {UNREADY['mongodb']}"),
        ([], 503, "no worker answers"),
    ],
)
async def test_one_worker_of_each_kind_is_enough(
    servers: Servers, workers: list[dict[str, str]], status: int, check: str
) -> None:
    """`/readyz` is 200 if one worker of each kind is ready, and counts the ready and the answering ones."""
    async with gateway_among(servers, *workers) as client:
        for _ in range(3):
            answer = await client.get("/readyz")
            checks = answer.json()["checks"]
            assert (answer.status_code, checks["booking_worker"], checks["hold_worker"]) == (
                status,
                check,
                "ok, 1 of 1 ready",
            )


async def test_every_worker_answers_a_readiness_request(stack: Stack) -> None:
    """A readiness request reaches every worker, not one of the queue group."""
    answered = list[Readiness]()

    def enough(readiness: Readiness) -> bool:
        answered.append(readiness)
        return len(answered) == len(stack.workers("booking_worker"))

    async with CommandClient(stack.env["NATS_URL"]) as client:
        answers = await client.readiness.ask_workers(BOOKING_READY.subject, seconds=20, enough=enough)
    assert answers == answered
    assert [answer.ready for answer in answers] == [True] * len(stack.workers("booking_worker"))


async def test_readiness_names_nats_if_it_hangs(servers: Servers, tmp_path: Path) -> None:
    """While NATS hangs, `/readyz` reports that NATS does not answer, not that workers do not."""
    with Nats(tmp_path) as nats_server, servers.new_stack(NATS_URL=nats_server.url) as hanging:
        await asyncio.to_thread(hanging.up, booking_workers=1)
        nats_server.pause()
        try:
            answer = await asyncio.to_thread(httpx.get, f"{hanging.url}/readyz")
        finally:
            nats_server.resume()
        assert (answer.status_code, answer.json()["checks"]) == (
            503,
            {
                "nats": "does not answer",
                "booking_worker": "cannot be asked",
                "hold_worker": "cannot be asked",
            },
        )
        await until(
            lambda: httpx.get(f"{hanging.url}/readyz").status_code == 200, "the gateway is ready again"
        )
