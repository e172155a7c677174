"""A consumer of an endpoint ends when it is stopped, whatever the NATS client does with the cancellation."""

import asyncio
from typing import Any

import pytest
from nats.js.errors import ServiceUnavailableError

from gateway.webhooks.consumers import EndpointConsumer
from gateway.webhooks.endpoints import new_webhook
from gateway.webhooks.messages import CreateWebhook
from gateway.webhooks.sources import sources_of


class _Unconnected:
    def jetstream(self) -> None:
        """Return nothing: no test uses it."""


async def ends(monkeypatch: pytest.MonkeyPatch, *, told: bool) -> bool:
    """Cancel a consumer whose client swallows one cancellation; return whether it ends."""
    waiting = asyncio.Event()

    async def consume(_consumer: EndpointConsumer) -> None:
        waiting.set()
        try:
            await asyncio.Future()
        except asyncio.CancelledError:
            raise ServiceUnavailableError from None

    monkeypatch.setattr(EndpointConsumer, "_consume", consume)
    unused: Any = None
    (source,) = sources_of(new_webhook(CreateWebhook(url="https://example.org/")))
    connection: Any = _Unconnected()
    consumer = EndpointConsumer(source, connection, unused, unused, unused)
    running = asyncio.create_task(consumer.run(1.0))
    await waiting.wait()
    if told:
        consumer.stop(running)
    else:
        running.cancel()
    done, _ = await asyncio.wait({running}, timeout=0.5)
    running.cancel()
    await asyncio.wait({running}, timeout=0.5)
    return bool(done)


async def test_stopped_consumer_ends_though_its_cancellation_is_swallowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stop does not depend on the cancellation alone."""
    assert await ends(monkeypatch, told=True)


async def test_control_cancellation_alone_may_be_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer that is only cancelled goes on to retry."""
    assert not await ends(monkeypatch, told=False)
