"""Cancel a batch of bookings: one read of the rows, then one bulk of updates that frees their claims."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from booking_worker.bookings.outcomes import ChangeOutcome, refusal_of
from booking_worker.bookings.preconditions import known_versions
from shared.contract.caller import ANYONE, Caller
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    NoSuchAppointment,
    NotExecuted,
    OutcomeUnknown,
    PreconditionFailed,
    Refused,
    TooLateToChange,
)
from shared.domain.booking import Booking
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.schedule_cache import ScheduleCache
from shared.stores.mongo.writes import BookingWrites, CompareAndSet


@dataclass(frozen=True, eq=False)
class CancelRequest:
    """A command to cancel the booking `id` if it has the version `if_version` (None: any).

    `asked_at`: when the caller asked (Unix ms).
    """

    id: str
    deadline: Deadline
    if_version: int | None = None
    caller: Caller = ANYONE
    asked_at: int = 0
    weight: int = 1


class Canceller:
    """Cancels bookings. A retry finds the booking cancelled, and gets the same answer."""

    def __init__(self, bookings: BookingStore, writes: BookingWrites, schedules: ScheduleCache) -> None:
        self._bookings = bookings
        self._writes = writes
        self._schedules = schedules

    async def commit(self, cancels: Sequence[CancelRequest], deadline: Deadline) -> list[ChangeOutcome]:
        """Decide a batch of cancels by a deadline.

        Returns:
            One outcome per cancel, in order. None: another write changed the row, and the cancel did
            nothing, so it joins a later batch.

        Raises:
            NoPrimary, NotExecuted: the rows could not be read.
        """
        rows = await self._bookings.get_many(
            {cancel.id for cancel in cancels}, versions=known_versions(cancels), timeout=deadline.remaining
        )
        refused: dict[CancelRequest, ChangeOutcome] = {
            cancel: refusal for cancel in cancels if (refusal := _refusal(cancel, rows))
        }
        of_patients = [cancel for cancel in cancels if cancel.caller.is_patient and cancel not in refused]
        if of_patients:
            refused |= await self._too_late(of_patients, rows, deadline)
        # By booking, the first cancel: it is the one that makes the change.
        accepted = {cancel.id: cancel for cancel in reversed(cancels) if cancel not in refused}
        results: dict[str, ChangeOutcome] = {row_id: rows[row_id] for row_id in accepted}
        changes = [
            CompareAndSet(row, row.cancelled(accepted[row.id].caller.actor))
            for row in rows.values()
            if row.id in accepted and row.status == "booked"
        ]
        written = await self._writes.guarded(self._writes.change_many, changes, deadline)
        for change, result in zip(changes, written, strict=True):
            results[change.before.id] = change.after if result is WriteResult.DONE else refusal_of(result)
        unsure = {c.before.id for c, w in zip(changes, written, strict=True) if w is WriteResult.UNSURE}
        results |= await self._read_again(unsure, deadline)
        return [
            refused[cancel] if cancel in refused else _outcome(cancel, results[cancel.id])
            for cancel in cancels
        ]

    async def _too_late(
        self, cancels: Sequence[CancelRequest], rows: Mapping[str, Booking], deadline: Deadline
    ) -> dict[CancelRequest, ChangeOutcome]:
        """Return the refusals of patients' cancels after the cut-off of their bookings' schedules.

        An earlier attempt may have been in time by a schedule that has changed since. So the booking enters
        a new epoch before the 409, in which a late write of that attempt fails.
        """
        late: list[CancelRequest] = []
        for cancel in cancels:
            row = rows[cancel.id]
            site = await self._schedules.of_site(row.site, timeout=deadline.remaining)
            if row.status == "booked" and site.is_too_late(row.resources, row.slot, cancel.asked_at):
                late.append(cancel)
        of_late = {cancel.id: rows[cancel.id] for cancel in late}
        fences = [CompareAndSet(row, row.fenced()) for row in of_late.values()]
        written = await self._writes.guarded(self._writes.advance_epochs, fences, deadline)
        results = {fence.before.id: result for fence, result in zip(fences, written, strict=True)}
        return {cancel: _too_late_by(results[cancel.id]) for cancel in late}

    async def _read_again(self, ids: Set[str], deadline: Deadline) -> dict[str, ChangeOutcome]:
        """Read the rows of a bulk that matched too few: those cancelled now, and None for the others."""
        try:
            found = await self._bookings.find(ids=ids, timeout=deadline.remaining)
        except (NotExecuted, OutcomeUnknown):
            return dict.fromkeys(ids, OutcomeUnknown())
        cancelled = {row.id: row for row in found.by_id.values() if row.status == "cancelled"}
        return {row_id: cancelled.get(row_id) for row_id in ids}


def _refusal(cancel: CancelRequest, rows: Mapping[str, Booking]) -> Refused | None:
    """Return why a cancel is refused, or None."""
    row = rows.get(cancel.id)
    if row is None or not cancel.caller.may_use(row.site):
        return NoSuchAppointment()
    if cancel.if_version in (None, row.version_before_cancel()):
        return None
    return PreconditionFailed()


def _too_late_by(fenced: WriteResult) -> ChangeOutcome:
    """Return the outcome of a late cancel; None (decide again) if another write has changed the row."""
    match fenced:
        case WriteResult.DONE:
            return TooLateToChange()
        case WriteResult.UNSURE:
            return None
        case _:
            return refusal_of(fenced)


def _outcome(cancel: CancelRequest, result: ChangeOutcome) -> ChangeOutcome:
    """Check the precondition again: another command may have cancelled a later version of the booking."""
    if isinstance(result, Booking):
        return _refusal(cancel, {cancel.id: result}) or result
    return result
