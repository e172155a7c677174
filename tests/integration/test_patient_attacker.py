"""A patient attacker takes what its address's caps allow, and other patients keep the rest: real workers."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import nats
import pytest
from nats.aio.client import Client

from deploy.local.redis import Redis as EmbeddedRedis
from tests.callers import Answer, NatsCaller
from tests.integration.many import ask_many
from tests.servers import Servers
from tests.slots import fresh_site

HOLDS, BOOKINGS = 12, 10
DAYS, SLOTS_A_DAY = 31, 16
AT_ONCE = 124


def client_at(address: str, **caps: int | None) -> dict[str, Any]:
    """Return a caller with a publishable key, which has no caps, at an address, which has."""
    return {"id": "page", "shares": [{"id": "pk:page"}, {"id": f"a:{address}", **caps}]}


ATTACKER = client_at("2001-db8-bad", holds=HOLDS, bookings=BOOKINGS)
PATIENT = client_at("2001-db8-600d", holds=HOLDS, bookings=BOOKINGS)


def month(site: str, patient: str, **more: Any) -> list[dict[str, Any]]:
    """Return commands for all half-hours of a month, each with a token or a key of its own."""
    begin = datetime(2031, 5, 1, 9, tzinfo=UTC)
    slots = (begin + timedelta(days=day, minutes=30 * n) for day in range(DAYS) for n in range(SLOTS_A_DAY))
    return [
        {"site": site, "slot": slot.isoformat(), "patientName": patient}
        | {name: value() for name, value in more.items()}
        for slot in slots
    ]


async def send_all(
    connection: Client, subject: str, commands: list[dict[str, Any]], caller: dict[str, Any]
) -> list[dict[str, Any]]:
    """Send commands in several batches at once."""
    items = [{"command": command, "caller": caller} for command in commands]
    parts = [items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE)]
    answers = await asyncio.gather(*(ask_many(connection, subject, part) for part in parts))
    return [answer for part in answers for answer in part]


def outcomes(answers: list[dict[str, Any]]) -> Counter[str]:
    """Count the answers by the name of their refusal, or by their status."""
    return Counter(answer["headers"].get("Error-Type", str(answer["status"])) for answer in answers)


@asynccontextmanager
async def workers(servers: Servers, without: str = "", **env: str) -> AsyncIterator[Client]:
    """Start two workers of each kind on a grid of half-hours; yield a connection to their NATS."""
    with servers.new_stack(SLOT_MINUTES="30", **env) as stack:
        for _ in range(2):
            stack.start("booking_worker", without=without)
            stack.start("hold_worker", without=without)
        await asyncio.to_thread(stack.wait_serving)
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            yield connection


async def test_attacker_holds_his_cap_and_not_the_month(servers: Servers) -> None:
    """With a token for each slot of a month, an address holds its cap; another one holds and books."""
    async with workers(servers) as connection:
        site = fresh_site()
        wanted = month(site, "Eve", holdToken=lambda: str(uuid4()))
        first = await send_all(connection, "hold.v1.place_many", wanted, ATTACKER)
        assert outcomes(first) == {"200": HOLDS, "TooManyHolds": len(wanted) - HOLDS}
        assert {a["headers"].get("Retry-After") for a in first if a["status"] == 429} == {"60"}
        again = await send_all(connection, "hold.v1.place_many", wanted, ATTACKER)  # own holds are extended
        assert outcomes(again) == outcomes(first)

        rest = [c for c, answer in zip(wanted, first, strict=True) if answer["status"] == 429]
        mine = {**rest[0], "patientName": "Ada", "holdToken": str(uuid4())}
        assert outcomes(await send_all(connection, "hold.v1.place_many", [mine], PATIENT)) == {"200": 1}
        assert outcomes(await send_all(connection, "booking.v1.book_many", [mine], PATIENT)) == {"201": 1}

        held = next(c for c, answer in zip(wanted, first, strict=True) if answer["status"] == 200)
        release = {"site": site, "holdToken": held["holdToken"]}
        assert (await NatsCaller(connection).request("hold.v1.release", release)).status == 200
        third = await send_all(connection, "hold.v1.place_many", rest[1:], ATTACKER)
        assert outcomes(third) == {"200": 1, "TooManyHolds": len(rest) - 2}


async def test_attacker_books_his_cap_and_not_the_month(servers: Servers) -> None:
    """An address books its cap in a day, and repeats of these are 201; another address books."""
    async with workers(servers) as connection:
        site = fresh_site()
        wanted = month(site, "Eve", idempotencyKey=lambda: str(uuid4()))
        first = await send_all(connection, "booking.v1.book_many", wanted, ATTACKER)
        assert outcomes(first) == {"201": BOOKINGS, "TooManyBookings": len(wanted) - BOOKINGS}
        again = await send_all(connection, "booking.v1.book_many", wanted, ATTACKER)
        assert outcomes(again) == outcomes(first)
        ids = [
            {a["body"]["appointment"]["id"] for a in some if a["status"] == 201} for some in (first, again)
        ]
        assert ids[0] == ids[1]
        refused = next(c for c, answer in zip(wanted, first, strict=True) if answer["status"] == 429)
        assert outcomes(await send_all(connection, "booking.v1.book_many", [refused], PATIENT)) == {"201": 1}


@pytest.mark.parametrize(
    ("without", "subject", "status"),
    [("no_cap_of_holds", "hold.v1.place_many", "200"), ("no_cap_of_bookings", "booking.v1.book_many", "201")],
)
async def test_without_a_cap_the_attacker_takes_the_month(
    servers: Servers, without: str, subject: str, status: str
) -> None:
    """Control: without its cap, an address takes every slot of the month."""
    async with workers(servers, without) as connection:
        wanted = month(fresh_site(), "Eve")
        assert outcomes(await send_all(connection, subject, wanted, ATTACKER)) == {status: len(wanted)}


async def test_without_redis_caps_refuse_no_booking(servers: Servers, tmp_path: Path) -> None:
    """While Redis is away, a share at its cap books; afterwards the cap holds again."""
    with EmbeddedRedis(tmp_path) as redis:
        async with workers(servers, REDIS_URL=redis.url) as connection:
            caller = {"Caller": json.dumps(client_at("x", holds=0, bookings=0))}

            async def book() -> Answer:
                (body, *_) = month(fresh_site(), "Ada")
                return await NatsCaller(connection).request("booking.v1.book", body, caller)

            assert (await book()).headers["error-type"] == "TooManyBookings"
            redis.kill()
            assert (await book()).status == 201
            await asyncio.to_thread(redis.start)
            async with asyncio.timeout(30):
                while (await book()).status == 201:
                    pass
