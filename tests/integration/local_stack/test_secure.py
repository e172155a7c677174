"""`make up SECURE=1`: a local stack whose NATS has accounts."""

import asyncio
import subprocess
import sys
from pathlib import Path

import nats
import pytest
from nats.errors import Error as NatsError

from shared import BookingClient
from tests.integration.local_stack.stack import LocalStack, shown
from tests.slots import fresh

ROOT = Path(__file__).parents[3]


async def booked_name(url: str, access: str) -> str | None:
    body = fresh("Ada")
    async with BookingClient(url, access=access) as client:
        booked = await client.book(body["slot"], body["patientName"], site=body["site"])
        return (await client.appointment(booked.id)).patientName


async def connect_without_a_key(url: str) -> None:
    await nats.connect(url, allow_reconnect=False)


def test_secure_stack_serves_its_client_and_nobody_else(data: Path) -> None:
    """The client of `make env` books, and races are proved over HTTP and NATS; NATS refuses the keyless."""
    stack = LocalStack(data, SECURE="1").ready()
    addresses = stack.addresses()
    url, access = addresses["NATS_URL"], Path(addresses["NATS_ACCESS_FILE"])
    assert asyncio.run(booked_name(url, str(access))) == "Ada"
    with pytest.raises(NatsError):
        asyncio.run(connect_without_a_key(url))
    assert shown(stack.output, "Access files of NATS") == str(data / "access")
    assert (access.stat().st_mode & 0o777, access.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    proof = subprocess.run(
        [sys.executable, "-m", "tests.proof.race", "--url", stack.url, "--nats", url, "--via", "both"],
        cwd=ROOT,
        env={**stack.env, "NATS_ACCESS_FILE": str(access)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert proof.returncode == 0, proof.stdout + proof.stderr
    stack.stop()
    seed = access.read_text()
    again = LocalStack(data, SECURE="1").ready()
    assert Path(again.addresses()["NATS_ACCESS_FILE"]).read_text() == seed
    again.stop()


def test_secure_stack_refuses_a_nats_that_is_not_its_own(data: Path) -> None:
    """With NATS_URL set, one line says why the stack does not start."""
    stack = LocalStack(data, SECURE="1", NATS_URL="nats://127.0.0.1:1")
    assert stack.refused() == "SECURE needs the NATS of this stack: unset NATS_URL"
