"""Workers with one safeguard removed: the controls that show that a test can fail.

python -m tests.sabotage SAFEGUARD,... SERVICE     for example: no_index_check booking_worker
"""

import asyncio
import runpy
import sys
from collections.abc import Callable
from typing import Any

from shared.deadline import Deadline
from shared.stores.bookings import BookingStore
from shared.stores.claims import HoldState
from shared.stores.holds import HoldStore
from shared.stores.schema import Schema
from shared.worker import broker


async def _nothing(*_: Any) -> None:
    """In the place of what a safeguard does."""


def no_index_check() -> None:
    """Serve whatever the indexes are."""

    async def believe(schema: Schema) -> None:
        schema.guaranteed, schema.problem = True, None

    Schema._check = believe  # type: ignore[assignment,method-assign]


def no_drain() -> None:
    """Stop without waiting for what is in hand."""
    broker.drain = _nothing  # type: ignore[assignment]


def no_hold_check() -> None:
    """Book whatever is held."""

    async def pass_all(_store: HoldStore, passages: Any, **_: Any) -> list[HoldState | None]:
        return [HoldState.FREE for _ in passages]

    HoldStore.enter_many = pass_all  # type: ignore[assignment,method-assign]


def no_intents() -> None:
    """Grant holds without waiting for the bookings that are under way."""

    async def nobody(*_: Any) -> list[str]:
        return []

    HoldStore.still_under_way = nobody  # type: ignore[assignment,method-assign]


def no_key_lookup() -> None:
    """Answer a refused booking without looking for an earlier one with its key."""

    async def nothing_found(*_: Any, **__: Any) -> dict[Any, Any]:
        return {}

    BookingStore.find_by_keys = nothing_found  # type: ignore[method-assign]


def no_deadline() -> None:
    """Execute a command however late it is."""
    Deadline.check = lambda self: None  # type: ignore[method-assign]
    Deadline.remaining = 5.0  # type: ignore[assignment]


def slow_store() -> None:
    """No safeguard, but a MongoDB that takes two seconds: commands pile up in the worker's hands."""
    book_many = BookingStore.book_many

    async def slow(*args: Any, **more: Any) -> Any:
        await asyncio.sleep(2)
        return await book_many(*args, **more)

    BookingStore.book_many = slow  # type: ignore[method-assign]


SABOTAGES: tuple[Callable[[], None], ...] = (
    no_index_check,
    no_drain,
    no_hold_check,
    no_intents,
    no_key_lookup,
    no_deadline,
    slow_store,
)

if __name__ == "__main__":
    safeguards, service = sys.argv[1:]
    for sabotage in SABOTAGES:
        if sabotage.__name__ in safeguards.split(","):
            sabotage()
    runpy.run_module(service, run_name="__main__")
