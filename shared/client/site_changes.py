"""Follows a site: events of bookings and hints of holds say where something may have changed.

Both may be lost. A follower knows when to read again at once, and reads again from time to time anyway.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from pydantic import ValidationError

from ..contract.errors import InvalidRequest
from ..contract.events import EventPlace, read_event, subject_of
from ..contract.hints import HoldHint, hint_subject


@dataclass(frozen=True)
class SiteChange:
    """Something changed at one of `places`, or anywhere in the site if there are none.

    `expires_at`: when a new hold there ends.
    """

    places: tuple[EventPlace, ...] = ()
    expires_at: datetime | None = None


class SiteFollower:
    """Calls `on_change` for each event and each hint of a site."""

    def __init__(self, connection: Client, site: str, on_change: Callable[[SiteChange], None]) -> None:
        self._connection = connection
        self._missing = {subject_of(site): _read_event, hint_subject(site): _read_hint}
        self._on_change = on_change
        self._subscriptions: list[Subscription] = []
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Subscribe, unless that was done; without a connection, leave it to the next call.

        A call waits for an earlier one: whichever returns, its caller may read, and misses no later change.
        """
        async with self._starting:
            for subject, read in list(self._missing.items()):
                if not self._connection.is_connected:
                    return

                async def take(message: Msg, read: Callable[[Msg], SiteChange] = read) -> None:
                    self._on_change(read(message))

                try:
                    self._subscriptions.append(await self._connection.subscribe(subject, cb=take))
                except NatsError:
                    return
                del self._missing[subject]  # not before, because the call may be cancelled

    async def stop(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            with suppress(NatsError):
                await subscription.unsubscribe()


def _read_event(message: Msg) -> SiteChange:
    try:
        event = read_event(message.headers or {}, message.data)
    except InvalidRequest:
        return SiteChange()
    return SiteChange((event.place, *([event.previous] if event.previous else [])))


def _read_hint(message: Msg) -> SiteChange:
    try:
        hint = HoldHint.model_validate_json(message.data)
    except ValidationError:
        return SiteChange()
    if hint.resources is None or hint.slot is None:
        return SiteChange()
    place = EventPlace.model_construct(**{name: getattr(hint, name) for name in EventPlace.model_fields})
    return SiteChange((place,), hint.expiresAt)
