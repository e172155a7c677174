"""Amend a batch of bookings: correct names, note attendances. A booking keeps its place and its claims."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from booking_worker.bookings.outcomes import ChangeOutcome, refusal_of
from shared.contract.caller import ANYONE, Caller
from shared.contract.commands import AmendAppointment
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    AppointmentCancelled,
    NameErased,
    NoSuchAppointment,
    NotExecuted,
    OutcomeUnknown,
    PreconditionFailed,
    Refused,
)
from shared.domain.booking import Booking
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites, CompareAndSet


@dataclass(frozen=True, eq=False)
class AmendRequest:
    """A command to amend the booking `id` if it has the version `if_version` (None: any).

    `mark`: what the history keeps of the amendment once it is done.
    """

    id: str
    command: AmendAppointment
    mark: str
    deadline: Deadline
    if_version: int | None = None
    caller: Caller = ANYONE
    weight: int = 1

    def amended(self, row: Booking) -> Booking:
        """Return the booking after the amendment; the same booking if it is as asked already."""
        name, attendance = self.command.patientName, self.command.attendance
        return row.amended(name, attendance, self.mark, self.caller.actor)


class Amender:
    """Amends bookings. A retry finds its mark in the history, and changes nothing."""

    def __init__(self, bookings: BookingStore, writes: BookingWrites) -> None:
        self._bookings = bookings
        self._writes = writes

    async def commit(self, requests: Sequence[AmendRequest], deadline: Deadline) -> list[ChangeOutcome]:
        """Decide a batch of amendments by a deadline.

        The rows are read behind the read barrier: an answer that nothing is to change must not come from a
        row that another command has changed meanwhile.

        Returns:
            One outcome per request, in order. None: another command changed the row, and this one did
            nothing, so it joins a later batch.

        Raises:
            NoPrimary, NotExecuted: the rows could not be read.
        """
        try:
            rows = await self._read(requests, deadline)
        except OutcomeUnknown:
            raise NotExecuted("The booking could not be read") from None
        outcomes: dict[AmendRequest, ChangeOutcome] = {}
        changes: dict[str, tuple[AmendRequest, CompareAndSet]] = {}
        for request in requests:
            decided = _decided(request, rows.get(request.id))
            if isinstance(decided, CompareAndSet):
                changes.setdefault(request.id, (request, decided))  # one change of a booking at a time
            else:
                outcomes[request] = decided
        writes = list(changes.values())
        results = await self._writes.guarded(
            self._writes.change_many, [change for _, change in writes], deadline
        )
        unsure: list[AmendRequest] = []
        for (request, change), result in zip(writes, results, strict=True):
            if result is WriteResult.UNSURE:
                unsure.append(request)
            outcomes[request] = change.after if result is WriteResult.DONE else refusal_of(result)
        outcomes |= await self._read_again(unsure, deadline)
        return [outcomes.get(request) for request in requests]

    async def _read_again(
        self, unsure: Sequence[AmendRequest], deadline: Deadline
    ) -> dict[AmendRequest, ChangeOutcome]:
        """Read the rows of a bulk that matched too few: those that were amended, and None for the others."""
        try:
            rows = await self._read(unsure, deadline)
        except (NotExecuted, OutcomeUnknown):
            return dict.fromkeys(unsure, OutcomeUnknown())
        return {
            request: row if (row := rows.get(request.id)) and row.has_amendment(request.mark) else None
            for request in unsure
        }

    async def _read(self, requests: Sequence[AmendRequest], deadline: Deadline) -> Mapping[str, Booking]:
        found = await self._bookings.find(
            ids={request.id for request in requests}, timeout=deadline.remaining
        )
        return found.by_id


def _decided(request: AmendRequest, row: Booking | None) -> CompareAndSet | Booking | Refused:
    """Return the change that a request needs; the booking if it needs none; or its refusal."""
    if row is None or not request.caller.may_use(row.site):
        return NoSuchAppointment()
    if row.status == "cancelled":
        return AppointmentCancelled(appointment=row.to_appointment())
    if row.has_amendment(request.mark):
        return row
    if request.command.patientName is not None and row.patient_name is None:
        return NameErased()
    after = request.amended(row)
    if request.if_version not in (None, row.version):
        return row if after is row and _follows(request, row) else PreconditionFailed()
    return row if after is row else CompareAndSet(row, after)


def _follows(request: AmendRequest, row: Booking) -> bool:
    """Return whether the last change is an amendment of the version that the caller requires.

    A caller that repeats a whole request has no key for it, so its first request counts as done.
    """
    last = row.history[-1]
    return last.mark is not None and last.version - 1 == request.if_version
