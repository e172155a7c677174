"""Cancels, a batch of them: one read of what is booked, and one write that frees it."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from booking_worker.writes import ChangeOutcome, Writes, refusal_of
from shared.contract.deadline import Deadline
from shared.contract.errors import NoSuchAppointment, NotExecuted, OutcomeUnknown
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.changes import Change
from shared.stores.mongo.writes import Written


@dataclass(frozen=True)
class Cancel:
    """A command to cancel the booking with this id."""

    id: str
    deadline: Deadline
    weight: int = 1


class Cancels:
    """Cancels what is booked. A repeat finds it cancelled, which is the same answer."""

    def __init__(self, bookings: BookingStore, writes: Writes) -> None:
        self._bookings = bookings
        self._writes = writes

    async def decide(self, cancels: Sequence[Cancel], deadline: Deadline) -> list[ChangeOutcome]:
        """Decide a batch of cancels by a deadline; one outcome each, in their order.

        Raises:
            NoPrimary, NotExecuted: what is booked could not be read.
        """
        ids = {cancel.id for cancel in cancels}
        rows = await self._bookings.get_many(ids, timeout=deadline.remaining)
        outcomes: dict[str, ChangeOutcome] = {**dict.fromkeys(ids, NoSuchAppointment()), **rows}
        active = [row for row in rows.values() if row.status == "booked"]
        changes = [Change(row, row.cancelled()) for row in active]
        written = await self._writes.change(changes, deadline)
        for change, each in zip(changes, written, strict=True):
            outcomes[change.before.id] = change.after if each is Written.DONE else refusal_of(each)
        unsure = {c.before.id for c, each in zip(changes, written, strict=True) if each is Written.UNSURE}
        outcomes |= await self._look(unsure, deadline)
        return [outcomes[cancel.id] for cancel in cancels]

    async def _look(self, ids: Set[str], deadline: Deadline) -> dict[str, ChangeOutcome]:
        """Of changes some of which did not match: what is cancelled now, and what is not yet."""
        try:
            found = await self._bookings.find(ids=ids, timeout=deadline.remaining)
        except (NotExecuted, OutcomeUnknown):
            return dict.fromkeys(ids, OutcomeUnknown())
        rows = found.by_id.values()
        return {row.id: row if row.status == "cancelled" else None for row in rows}
