"""Writes of a batch: sent only where they can be confirmed, and confirmed only where the indexes stood."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from shared.contract.deadline import Deadline
from shared.contract.errors import NoPrimary, NotExecuted, OutcomeUnknown, Refused
from shared.domain.booking import Booking
from shared.stores.mongo.bookings import BookingStore, InSite, Refusal
from shared.stores.mongo.changes import Change, ChangeStore
from shared.stores.mongo.schema import Schema
from shared.stores.mongo.writes import Written

CHANGING = "What was in the way is gone again, or has changed; nothing was done"
# What was in the way, and is gone when it is looked for, was cancelled, or known to a deposed primary alone.
MOST_ROUNDS = 3


class Writes:
    """Each call has one outcome for each write, in their order."""

    def __init__(self, bookings: BookingStore, changes: ChangeStore, schema: Schema) -> None:
        self._bookings = bookings
        self._changes = changes
        self._schema = schema

    async def insert(self, bookings: Sequence[Booking], deadline: Deadline) -> list[Written]:
        """Insert bookings."""
        return await self._send(
            len(bookings), deadline, lambda seconds: self._bookings.insert_many(bookings, timeout=seconds)
        )

    async def change(self, changes: Sequence[Change], deadline: Deadline) -> list[Written]:
        """Change bookings that stand as they were read."""
        return await self._send(
            len(changes), deadline, lambda seconds: self._changes.change_many(changes, timeout=seconds)
        )

    async def fence(self, bookings: Sequence[Booking], deadline: Deadline) -> list[Written]:
        """Keep earlier attempts out of bookings that stand as they were read."""
        return await self._send(
            len(bookings), deadline, lambda seconds: self._changes.fence_many(bookings, timeout=seconds)
        )

    async def refuse(self, keys: Mapping[InSite, datetime], deadline: Deadline) -> list[Written]:
        """Take keys, so that attempts with them come too late that came before those which are refused."""
        return await self._send(
            len(keys), deadline, lambda seconds: self._changes.refuse_many(keys, timeout=seconds)
        )

    async def replace(
        self, replacements: Sequence[tuple[Refusal, Booking]], deadline: Deadline
    ) -> list[Written]:
        """Make refused rows bookings."""
        return await self._send(
            len(replacements),
            deadline,
            lambda seconds: self._changes.replace_many(replacements, timeout=seconds),
        )

    async def _send(
        self, count: int, deadline: Deadline, send: Callable[[float], Awaitable[list[Written]]]
    ) -> list[Written]:
        if not count:
            return []
        try:
            await self._bookings.find_primary(timeout=deadline.remaining)
        except NoPrimary:
            return [Written.NO_PRIMARY] * count
        if deadline.remaining <= 0 or not self._schema.verified:
            return [Written.NOT_EXECUTED] * count
        outcomes = await send(deadline.remaining)
        if not self._schema.verified:  # meanwhile the index may have been gone: nothing is confirmed
            outcomes = [Written.UNKNOWN if each is Written.DONE else each for each in outcomes]
        return outcomes


def refusal_of(written: Written) -> Refused:
    """What is known of a write that is not done; a duplicate is nothing but a reason to look."""
    match written:
        case Written.NO_PRIMARY:
            return NoPrimary()
        case Written.NOT_EXECUTED:
            return NotExecuted()
        case Written.DUPLICATE:
            return NotExecuted(CHANGING)
        case _:
            return OutcomeUnknown()
