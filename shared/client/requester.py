"""The requester that waits for the answer to a command."""

from typing import Protocol

from .request_ids import bound_request_id


class Requester(Protocol):
    """A requester of the client."""

    @property
    def request_id(self) -> str | None:
        """The id to send and to log with the command: hexadecimal digits and dashes, or None."""

    @property
    def caller(self) -> bytes | None:
        """The JSON of the command's `Caller`; None if the deployment has no keys."""

    async def has_left(self) -> bool:
        """Return whether the requester has left, so that a retry is useless."""


class Program:
    """This program as the requester: it never leaves, and its request id is that of its log context."""

    caller = None

    def __init__(self) -> None:
        self.request_id = bound_request_id()

    async def has_left(self) -> bool:
        return False
