"""Writes of a batch: sent only where they can be confirmed, and confirmed only where the indexes stood."""

from collections.abc import Awaitable, Callable, Mapping, Sequence, Sized

from shared.contract.deadline import Deadline
from shared.contract.errors import Changing, NoPrimary, NotExecuted, OutcomeUnknown, Refused
from shared.domain.booking import Booking
from shared.stores.mongo.bookings import BookingStore, InSite, Tombstone
from shared.stores.mongo.changes import ChangeStore, CompareAndSet
from shared.stores.mongo.schema import Schema
from shared.stores.mongo.writes import WriteResult

# What was in the way, and is gone when it is looked for, was cancelled, or known to a deposed primary alone.
MOST_ROUNDS = 3

ChangeOutcome = Booking | Refused | None
"""Of a cancel or a move: the booking as it stands; None where it has changed, and is to be judged anew."""


class Writes:
    """Each call has one outcome for each write, in their order."""

    def __init__(self, bookings: BookingStore, changes: ChangeStore, schema: Schema) -> None:
        self._bookings = bookings
        self._changes = changes
        self._schema = schema

    async def insert(self, bookings: Sequence[Booking], deadline: Deadline) -> list[WriteResult]:
        """Insert bookings."""
        return await self._send(self._bookings.insert_many, bookings, deadline)

    async def change(self, changes: Sequence[CompareAndSet], deadline: Deadline) -> list[WriteResult]:
        """Change bookings that stand as they were read."""
        return await self._send(self._changes.change_many, changes, deadline)

    async def advance_epochs(self, changes: Sequence[CompareAndSet], deadline: Deadline) -> list[WriteResult]:
        """Begin a new epoch of bookings that stand as they were read, so that late moves of them fail."""
        return await self._send(self._changes.advance_epochs, changes, deadline)

    async def refuse(self, keys: Mapping[InSite, int], deadline: Deadline) -> list[WriteResult]:
        """Upsert a tombstone per key, with the latest `askedAt` that is refused."""
        return await self._send(self._changes.reserve_keys, keys, deadline)

    async def replace(
        self, replacements: Sequence[tuple[Tombstone, Booking]], deadline: Deadline
    ) -> list[WriteResult]:
        """Replace tombstones by bookings."""
        return await self._send(self._changes.replace_many, replacements, deadline)

    async def _send(
        self, write: Callable[..., Awaitable[list[WriteResult]]], many: Sized, deadline: Deadline
    ) -> list[WriteResult]:
        if not many:
            return []
        try:
            await self._bookings.find_primary(timeout=deadline.remaining)
        except NoPrimary:
            return [WriteResult.NO_PRIMARY] * len(many)
        if deadline.remaining <= 0 or not self._schema.verified:
            return [WriteResult.NOT_EXECUTED] * len(many)
        outcomes = await write(many, timeout=deadline.remaining)
        if not self._schema.verified:  # meanwhile the index may have been gone: nothing is confirmed
            outcomes = [WriteResult.UNKNOWN if each is WriteResult.DONE else each for each in outcomes]
        return outcomes


def refusal_of(written: WriteResult) -> Refused:
    """What is known of a write that is not done; a duplicate is nothing but a reason to look."""
    match written:
        case WriteResult.NO_PRIMARY:
            return NoPrimary()
        case WriteResult.NOT_EXECUTED:
            return NotExecuted()
        case WriteResult.DUPLICATE:
            return Changing()
        case _:
            return OutcomeUnknown()
