"""Remove safeguards of the processes that deliver webhooks."""

import asyncio
from typing import Any

from gateway.webhooks import consumers
from gateway.webhooks.delivery import Sender


def one_delivery_at_a_time() -> None:
    """Make all deliveries of a process one after another, whichever endpoint they are for."""
    send, turn = Sender.send, asyncio.Lock()

    async def send_in_turn(*args: Any, **more: Any) -> Any:
        async with turn:
            return await send(*args, **more)

    Sender.send = send_in_turn  # type: ignore[method-assign]


def redirects_followed() -> None:
    """Follow the redirects of receivers."""
    begin = Sender.__init__

    def begin_following(self: Sender, *args: Any) -> None:
        begin(self, *args)
        self._client.follow_redirects = True

    Sender.__init__ = begin_following  # type: ignore[assignment,method-assign]


def gone_goes_on() -> None:
    """Retry a delivery that was answered 410, like any other failure."""
    vars(consumers)["GONE"] = 0
