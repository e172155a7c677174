"""Remove safeguards of holds and intents in Redis."""

from collections.abc import Sequence
from typing import Any

from booking_worker.bookings.move import Mover
from booking_worker.bookings.move_plan import MovePlan
from shared.contract.deadline import Deadline
from shared.stores.mongo.bulk import WriteResult
from shared.stores.redis.intents import HoldState, IntentStore
from tests.sabotage.scripts import change_script


def no_hold_check() -> None:
    """Book slots that other patients hold."""

    async def pass_all(_store: IntentStore, intents: Any, **_: Any) -> list[HoldState]:
        return [HoldState.FREE for _ in intents]

    IntentStore.register_intents = pass_all  # type: ignore[assignment,method-assign]


def no_intents() -> None:
    """Grant holds without regard to the intents of bookings in flight."""
    change_script("place_holds", "being_booked = 1", "being_booked = 0")


def extension_touches_ttl() -> None:
    """Extend the TTL of granted claims already when the hold is placed again."""
    change_script(
        "place_holds",
        "elseif granted == '' then",
        "elseif granted ~= '' then redis.call('PEXPIRE', KEYS[first + i], ARGV[a + 4] + 60000) else",
    )


def no_release_mark() -> None:
    """Place and grant holds that were asked before the release of their token."""
    for name in ("place_holds", "grant_holds"):
        change_script(name, "<= released[#answers + 1]", "< 0")


def no_claim_limit() -> None:
    """Let a token hold any number of claims."""
    change_script("place_holds", "count_held(token, now) + new > most", "false")


def holds_used_up_first() -> None:
    """Remove the holds that a move uses up before the move is decided."""
    carry_out = Mover._write

    async def use_up(
        moves: Mover, plans: Sequence[MovePlan], deadline: Deadline
    ) -> dict[MovePlan, WriteResult]:
        await moves._intents.use_up_holds([plan.intent for plan in plans])
        return await carry_out(moves, plans, deadline)

    Mover._write = use_up  # type: ignore[assignment,method-assign]
