"""A delivery reaches its receiver although name servers hang, or some of its addresses are silent."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from starlette.types import Receive, Scope, Send

from gateway.webhooks.delivery import Sender
from gateway.webhooks.endpoints import StoredWebhook, new_webhook
from gateway.webhooks.messages import CreateWebhook, Delivery
from shared.process.gateway_settings import WebhookSettings
from tests.asgi_server import read_body, serve

HERE, SILENT = "127.0.0.1", "127.0.0.2"
HANGING = "hanging.example"
TIMEOUT_SECONDS = 4.0


async def answer(_scope: Scope, receive: Receive, send: Send) -> None:
    await read_body(receive)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def sender() -> AsyncIterator[Sender]:
    settings = WebhookSettings(webhooks_allow_private=True, webhooks_timeout_seconds=TIMEOUT_SECONDS)
    found = Sender(settings)
    try:
        yield found
    finally:
        await found.close()


def webhook(url: str) -> StoredWebhook:
    return new_webhook(CreateWebhook(url=url))


async def deliver(sender: Sender, url: str) -> Delivery:
    return await sender.send(webhook(url), id="1", event_type="webhook.test", body="{}", attempt=1)


@contextmanager
def silent(port: int) -> Iterator[None]:
    """Let an address swallow all attempts to connect: its backlog is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind((SILENT, port))
        listener.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex((SILENT, port))
        yield


@pytest.mark.parametrize("hosts", [[SILENT, HERE], [HERE, SILENT]])
async def test_silent_address_leaves_time_for_the_next(
    monkeypatch: pytest.MonkeyPatch, hosts: list[str]
) -> None:
    """A host of which some addresses swallow packets gets the delivery at one that answers."""

    def look_up(_host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, str(n), (host, port)) for n, host in enumerate(hosts)]

    async with serve(answer) as url, sender() as sending:
        port = int(url.rpartition(":")[2])
        with silent(port):
            monkeypatch.setattr(socket, "getaddrinfo", look_up)
            delivery = await deliver(sending, f"http://several.example:{port}/")

    assert (delivery.status, delivery.error) == (204, None)


async def test_host_whose_only_address_is_silent_takes_the_time_of_an_attempt() -> None:
    """A single address has the whole time to answer."""
    async with serve(answer) as url, sender() as sending:
        port = int(url.rpartition(":")[2])
        with silent(port):
            delivery = await deliver(sending, f"http://{SILENT}:{port}/")

    assert delivery.error == "TimeoutError"
    assert delivery.ms >= TIMEOUT_SECONDS * 1000


async def test_hanging_name_server_delays_no_other_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a hundred lookups of a host hang, another host gets its delivery, and they share one thread."""
    hang, ask, asked = threading.Event(), socket.getaddrinfo, []

    def look_up(host: str, *args: object, **more: object) -> object:
        asked.append(host)
        if host == HANGING:
            hang.wait()
        return ask("127.0.0.1", *args, **more)  # type: ignore[arg-type]

    async with serve(answer) as url, sender() as sending:
        port = url.rpartition(":")[2]
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        waiting = [
            asyncio.create_task(deliver(sending, f"http://{HANGING}:{port}/{number}"))
            for number in range(100)
        ]
        other = await deliver(sending, f"http://other.example:{port}/")
        for task in waiting[1:]:
            task.cancel()
        hang.set()
        first = await waiting[0]
        again = await deliver(sending, f"http://{HANGING}:{port}/")

    assert (other.status, first.status, again.status) == (204, 204, 204)
    assert sorted(asked) == [HANGING, HANGING, "other.example"]
