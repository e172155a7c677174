"""The context of a client: connected inside, closed afterwards."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class ConnectionContext(ABC):
    """An asynchronous context manager that connects on entry and closes on exit."""

    @abstractmethod
    async def connect(self) -> None:
        """Connect, and wait until a server is reachable."""

    @abstractmethod
    async def close(self) -> None: ...

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
