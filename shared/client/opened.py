"""What is connected while a context lasts."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Opened(ABC):
    """An asynchronous context manager: connects as it is entered, and closes at the end."""

    @abstractmethod
    async def connect(self) -> None:
        """Connect; waits until a server is there."""

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
