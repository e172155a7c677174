"""Publishes changes of holds, after their commands were answered."""

from collections.abc import Callable, Iterable
from contextlib import suppress

from nats.aio.client import Client
from nats.errors import Error as NatsError

from shared.contract.hints import HoldHint, hint_subject


class HintPublisher:
    """Publishes hints on a worker's connection; while there is none, hints are dropped."""

    def __init__(self, connection: Callable[[], Client | None]) -> None:
        self._connection = connection

    async def publish(self, hints: Iterable[HoldHint]) -> None:
        """Publish each hint; after a failure, drop the rest."""
        connection = self._connection()
        with suppress(NatsError, OSError):
            for hint in hints:
                if connection is None or not connection.is_connected:
                    return
                await connection.publish(hint_subject(hint.site), hint.body())
