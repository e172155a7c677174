"""Cancels, a batch of them: one read of what is booked, and one write that frees it."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from booking_worker.bookings.outcomes import ChangeOutcome, refusal_of
from booking_worker.bookings.preconditions import known_versions
from shared.contract.deadline import Deadline
from shared.contract.errors import NoSuchAppointment, NotExecuted, OutcomeUnknown, PreconditionFailed, Refused
from shared.domain.booking import Booking
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites, CompareAndSet


@dataclass(frozen=True, eq=False)
class Cancel:
    """A command to cancel the booking with this id, if it has the version `if_version` (None: any)."""

    id: str
    deadline: Deadline
    if_version: int | None = None
    weight: int = 1


class Canceller:
    """Cancels what is booked. A repeat finds it cancelled, which is the same answer."""

    def __init__(self, bookings: BookingStore, writes: BookingWrites) -> None:
        self._bookings = bookings
        self._writes = writes

    async def commit(self, cancels: Sequence[Cancel], deadline: Deadline) -> list[ChangeOutcome]:
        """Decide a batch of cancels by a deadline; one outcome each, in their order.

        Raises:
            NoPrimary, NotExecuted: what is booked could not be read.
        """
        rows = await self._bookings.get_many(
            {cancel.id for cancel in cancels}, versions=known_versions(cancels), timeout=deadline.remaining
        )
        refused = {cancel: refusal for cancel in cancels if (refusal := _refusal(cancel, rows))}
        accepted = {cancel.id for cancel in cancels if cancel not in refused}
        stands: dict[str, ChangeOutcome] = {each: rows[each] for each in accepted}
        changes = [
            CompareAndSet(row, row.cancelled())
            for row in rows.values()
            if row.id in accepted and row.status == "booked"
        ]
        written = await self._writes.guarded(self._writes.change_many, changes, deadline)
        for change, each in zip(changes, written, strict=True):
            stands[change.before.id] = change.after if each is WriteResult.DONE else refusal_of(each)
        unsure = {c.before.id for c, each in zip(changes, written, strict=True) if each is WriteResult.UNSURE}
        stands |= await self._look(unsure, deadline)
        return [refused.get(cancel) or _outcome(cancel, stands[cancel.id]) for cancel in cancels]

    async def _look(self, ids: Set[str], deadline: Deadline) -> dict[str, ChangeOutcome]:
        """Of changes some of which did not match: what is cancelled now, and what is not yet."""
        try:
            found = await self._bookings.find(ids=ids, timeout=deadline.remaining)
        except (NotExecuted, OutcomeUnknown):
            return dict.fromkeys(ids, OutcomeUnknown())
        cancelled = {row.id: row for row in found.by_id.values() if row.status == "cancelled"}
        return {each: cancelled.get(each) for each in ids}


def _refusal(cancel: Cancel, rows: Mapping[str, Booking]) -> Refused | None:
    """Why a cancel is refused, if it is."""
    row = rows.get(cancel.id)
    if row is None:
        return NoSuchAppointment()
    before = row.version - (row.status == "cancelled")
    return None if cancel.if_version in (None, before) else PreconditionFailed()


def _outcome(cancel: Cancel, stands: ChangeOutcome) -> ChangeOutcome:
    """The answer to a cancel of a booking that stands so: another than it read may have cancelled it."""
    if isinstance(stands, Booking):
        return _refusal(cancel, {cancel.id: stands}) or stands
    return stands
