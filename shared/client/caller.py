"""Who waits for the answer to a command."""

from typing import Protocol

from .requests import bound_request_id


class Caller(Protocol):
    """A caller whose command is sent."""

    @property
    def request_id(self) -> str | None:
        """The id that is sent with the command and logged: hexadecimal digits and dashes, or None."""

    async def has_left(self) -> bool:
        """Whether the caller has gone, so that a repeat is of no use to anybody."""


class Program:
    """The program that calls the client. It stays; its request id is the one that it has bound to its log."""

    def __init__(self) -> None:
        self.request_id = bound_request_id()

    async def has_left(self) -> bool:
        return False
