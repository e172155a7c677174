"""The caller that waits for the answer to a command."""

from typing import Protocol

from .requests import bound_request_id


class Caller(Protocol):
    """A caller of the client."""

    @property
    def request_id(self) -> str | None:
        """The id to send and to log with the command: hexadecimal digits and dashes, or None."""

    async def has_left(self) -> bool:
        """Return whether the caller has left, so that a retry is useless."""


class Program:
    """This program as the caller: it never leaves, and its request id is the one bound to its log context."""

    def __init__(self) -> None:
        self.request_id = bound_request_id()

    async def has_left(self) -> bool:
        return False
