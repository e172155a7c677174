"""Read the state of a relay: its document in MongoDB, its health port, and the order of its events."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import httpx
from nats.aio.msg import Msg
from pymongo import MongoClient
from pymongo.database import Database

from deploy.local.ports import free_port
from tests.integration.breakable import until
from tests.integration.event_log import EventLog, data_of
from tests.slots import fresh
from tests.stack import Service, Stack

Document = dict[str, Any]
NEVER = datetime.min


@contextmanager
def database_of(stack: Stack) -> Iterator[Database[Document]]:
    """Yield the stack's database."""
    with MongoClient[Document](stack.env["MONGO_URI"]) as client:
        yield client.get_default_database()


def lease_of(stack: Stack) -> Document:
    """Return the document with the relays' lease and resume token."""
    with database_of(stack) as database:
        return database["meta"].find_one({"_id": "relay"}) or {}


async def until_renewed(stack: Stack) -> None:
    """Wait until the lease is renewed, and with it the token is stored."""
    ends = lease_of(stack).get("until", NEVER)
    await until(lambda: lease_of(stack).get("until", NEVER) > ends, "the lease is renewed")


async def start_following(log: EventLog) -> tuple[Service, str]:
    """Start a relay, wait until its token is stored, and return it with the id of a published booking."""
    relay = log.start_relay()
    id: str = (await log.life.booked(fresh()))["id"]
    await log.until([f"{id}:1"])
    await until_renewed(log.stack)
    return relay, id


def start_healthy_relay(log: EventLog, **env: str) -> tuple[Service, str]:
    """Start a relay with a health port; return the process and the port's address."""
    port = free_port()
    return log.start_relay(WORKER_HTTP_PORT=str(port), **env), f"http://127.0.0.1:{port}"


def events_check(url: str) -> str:
    """Return the check `events` of a relay's `/readyz`; empty while the port is closed."""
    try:
        checks: dict[str, str] = httpx.get(f"{url}/readyz", timeout=5).json()["checks"]
    except httpx.TransportError:
        return ""
    return checks["events"]


def lag_of(url: str) -> float:
    """Return the metric `booking_events_lag_seconds`."""
    lines = httpx.get(f"{url}/metrics", timeout=5).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("booking_events_lag_seconds "))


def versions_of(events: Sequence[Msg]) -> dict[str, list[int]]:
    """Return the versions of each booking in the order of the stream."""
    versions: dict[str, list[int]] = defaultdict(list)
    for event in events:
        data = data_of(event)
        versions[data["id"]].append(data["version"])
    return versions
