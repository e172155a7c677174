"""Workers with one safeguard removed: the controls that show that a test can fail.

python -m tests.sabotage SAFEGUARD SERVICE     for example: no_index_check booking_worker
"""

import runpy
import sys
from collections.abc import Callable
from typing import Any

from shared.stores.holds import HoldState, HoldStore
from shared.stores.schema import Schema
from shared.worker.answering import Desk


async def _nothing(*_: Any) -> None:
    """In the place of what a safeguard does."""


def no_index_check() -> None:
    """Serve whatever the indexes are."""

    async def believe(schema: Schema) -> None:
        schema.guaranteed, schema.problem = True, None

    Schema._check = believe  # type: ignore[assignment,method-assign]


def no_drain() -> None:
    """Stop without waiting for what is in hand."""
    Desk.drain = _nothing  # type: ignore[assignment,method-assign]


def no_hold_check() -> None:
    """Book whatever is held."""

    async def pass_all(_store: HoldStore, passages: Any, **_: Any) -> list[HoldState]:
        return [HoldState.FREE for _ in passages]

    HoldStore.enter_many = pass_all  # type: ignore[assignment,method-assign]


SAFEGUARDS: dict[str, Callable[[], None]] = {
    sabotage.__name__: sabotage for sabotage in (no_index_check, no_drain, no_hold_check)
}

if __name__ == "__main__":
    safeguard, service = sys.argv[1:]
    SAFEGUARDS[safeguard]()
    runpy.run_module(service, run_name="__main__")
