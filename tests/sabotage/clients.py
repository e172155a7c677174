"""Remove safeguards of the client, which gateways use."""

from typing import Any

from gateway.http.connection import ClientConnection
from shared.client import attempts
from shared.client import command_client as client
from shared.contract.errors import Conflict


def late_refusal_ends() -> None:
    """End a request with the late refusal of an earlier attempt, though a later attempt is in flight."""
    settle = attempts.Attempts._settle

    def end(self: Any, answer: Any) -> Any:
        outcome = settle(self, answer)
        if isinstance(outcome, Conflict):
            raise outcome
        return outcome

    attempts.Attempts._settle = end  # type: ignore[method-assign]


def no_look_at_callers() -> None:
    """Retry also for callers who have closed their connection."""

    async def stays(_connection: ClientConnection) -> bool:
        return False

    ClientConnection.has_left = stays  # type: ignore[assignment,method-assign]


def no_repeats() -> None:
    """Send a command once, without retries."""
    attempts.ATTEMPTS = 1


def no_buffer_limit() -> None:
    """Buffer commands while NATS is down, and send them once it is back, as nats-py does by default."""

    class Unaware:
        is_connected = True

        def __init__(self, connection: Any) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

    async def connect(self: client.CommandClient) -> None:
        await self._connection.connect(**self._nats.connect)
        self._connection = Unaware(self._connection)  # type: ignore[assignment]
        for batches in self._batches.values():
            batches._connection = self._connection

    client.CommandClient.connect = connect  # type: ignore[method-assign]
