"""The private parts of nats-py that a worker stands on are there, and mean what they meant."""

import asyncio
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.subscription import Subscription

ROOT = Path(__file__).parents[2]
PRIVATE_PART = re.compile(r"(?<!\bself)(?<!\bcls)\._[a-z]")
EXPLANATION = "shared/process/nats_wire.py stands on it: read what this release of nats-py does instead"


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        (Client._send_unsubscribe, ["self", "sid", "limit"]),
        (Client._send_subscribe, ["self", "sub"]),
        (Client._send_ping, ["self", "future"]),
        (Client._remove_sub, ["self", "sid", "max_msgs"]),
    ],
)
def test_the_private_methods_take_what_they_took(method: Callable[..., Any], parameters: list[str]) -> None:
    """Each method of the client that a worker calls is there, with the parameters that it had."""
    assert list(inspect.signature(method).parameters) == parameters, EXPLANATION


async def test_the_private_attributes_are_what_they_were() -> None:
    """A subscription knows its connection and its id, and what has come waits in a queue to be joined."""
    client = Client()
    subscription = Subscription(client, 7, "subject")
    assert subscription._conn is client, EXPLANATION
    assert subscription._id == 7, EXPLANATION
    assert isinstance(subscription._pending_queue, asyncio.Queue), EXPLANATION
    assert client._flush_queue is None, EXPLANATION
    assert client._parse_header_lines(b"One:1\r\nTwo: 2\r\n\r\n") == {"One": "1", "Two": "2"}, EXPLANATION
    assert client.stats["reconnects"] == 0, EXPLANATION


def test_private_parts_of_the_client_library_are_used_in_one_module() -> None:
    """Who reads that module has read all that a release of nats-py may break."""
    modules = [
        path
        for package in ("gateway", "booking_worker", "hold_worker", "shared")
        for path in (ROOT / package).rglob("*.py")
    ]
    users = [
        path.relative_to(ROOT)
        for path in modules
        if "nats." in (text := path.read_text()) and PRIVATE_PART.search(text)
    ]
    assert users == [Path("shared/process/nats_wire.py")]
