"""The private parts of nats-py that a worker uses still exist and mean the same."""

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
EXPLANATION = "shared/process/nats_wire.py uses this: read what this release of nats-py does instead"


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        (Client._send_unsubscribe, ["self", "sid", "limit"]),
        (Client._send_subscribe, ["self", "sub"]),
        (Client._send_ping, ["self", "future"]),
        (Client._remove_sub, ["self", "sid", "max_msgs"]),
    ],
)
def test_private_methods_have_the_expected_parameters(
    method: Callable[..., Any], parameters: list[str]
) -> None:
    """Every private method that a worker calls exists, with the parameters that the worker passes."""
    assert list(inspect.signature(method).parameters) == parameters, EXPLANATION


async def test_private_attributes_have_the_expected_meaning() -> None:
    """A subscription has its connection, its id, and a queue of pending messages that can be joined."""
    client = Client()
    subscription = Subscription(client, 7, "subject")
    assert subscription._conn is client, EXPLANATION
    assert subscription._id == 7, EXPLANATION
    assert isinstance(subscription._pending_queue, asyncio.Queue), EXPLANATION
    assert client._flush_queue is None, EXPLANATION
    assert client._parse_header_lines(b"One:1\r\nTwo: 2\r\n\r\n") == {"One": "1", "Two": "2"}, EXPLANATION
    assert client.stats["reconnects"] == 0, EXPLANATION


def test_private_parts_of_nats_py_are_used_in_one_module() -> None:
    """That module contains all that a release of nats-py can break."""
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
