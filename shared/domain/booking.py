"""Represent a booking as it is stored: one document of `appointments`."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from pydantic_core import to_json

from shared.contract.commands import BookAppointment
from shared.contract.fields import AttendanceName, random_uuid
from shared.contract.instants import format_instant
from shared.contract.replies import Appointment
from shared.domain.booked_service import BookedService, fields_of
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.done_move import DoneMove, remember
from shared.domain.grid import SlotRange
from shared.domain.history import ChangeType, Entry, History, Position, extended

MOST_REFUSED_MOVES = 32
_KINDS: dict[str, Any] = {
    "_id": str,
    "resources": list,
    "slot": datetime,
    "durationMinutes": int | None,
    "patientName": str | None,
    "version": int,
    "createdAt": datetime,
}
"""The types of a row's fields that callers see."""
PERSONAL = {"patient_name": "patientName", "contact": "contact", "request_hash": "requestHash"}
"""The fields that an erasure sets to None, with their names in a row."""


@dataclass(frozen=True)
class Booking:
    """A booking that starts at `slot` and lasts `duration` minutes (None on a grid of 0).

    Its claims are cells of a grid of `slot_minutes`, and cover the buffers of its `service` too. `key` is the
    idempotency key within its site. `version` counts changes, each with an entry in `history`. An erased
    booking has no `patient_name`, no `contact` and no `request_hash`.

    `epoch` counts the writes that decide a move (None: there was no such write); it invalidates late writes
    that leave `version` as it is. `move_asked_at` is the latest moment (Unix ms) at which a caller asked for
    a move that is done or finally refused. `refused_moves` are the ids of the refused moves that were asked
    for at that moment. `attendance` is None while the patient is expected.
    """

    id: str
    resources: tuple[str, ...]
    slot: datetime
    duration: int | None
    slot_minutes: int
    claims: Claims
    patient_name: str | None
    status: Literal["booked", "cancelled"]
    key: str
    request_hash: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    history: History
    epoch: int | None = None
    moves: tuple[DoneMove, ...] = ()
    move_asked_at: int | None = None
    refused_moves: tuple[str, ...] = ()
    contact: str | None = None
    attendance: Literal["arrived", "missed"] | None = None
    service: BookedService | None = None

    @property
    def site(self) -> str:
        return self.claims.site

    @property
    def is_erased(self) -> bool:
        """Whether the booking has no data of a person left, apart from its place and its key."""
        return all(getattr(self, field) is None for field in PERSONAL)

    @property
    def position(self) -> Position:
        return Position(self.slot, self.duration, self.resources, self.service)

    @classmethod
    def new(
        cls,
        command: BookAppointment,
        slot_range: SlotRange,
        claims: Claims,
        digests: Digests,
        actor: str | None = None,
        *,
        resources: tuple[str, ...] = (),
    ) -> "Booking":
        """Create the booking that `command` asks for. It exists once the store has acknowledged it.

        `resources` are those of the command and of its service, if it has one. `actor` is the id of the
        caller, here and in the changes below; None if the caller has no key.
        """
        now, resources = _now(), resources or command.resources
        return cls(
            id=random_uuid(),
            resources=resources,
            slot=slot_range.slot,
            duration=slot_range.duration,
            slot_minutes=slot_range.slot_minutes,
            claims=claims,
            patient_name=command.patientName,
            contact=command.contact,
            status="booked",
            key=command.idempotencyKey or random_uuid(),
            request_hash=digests.of_request(command),
            version=1,
            created_at=now,
            updated_at=now,
            history=(
                Entry(
                    1,
                    "booked",
                    now,
                    command.site,
                    Position(slot_range.slot, slot_range.duration, resources, slot_range.service),
                    actor=actor,
                ),
            ),
            service=slot_range.service,
        )

    def moved(
        self,
        resources: tuple[str, ...],
        slot_range: SlotRange,
        claims: Claims,
        move: DoneMove,
        actor: str | None = None,
    ) -> "Booking":
        """Return the booking after a move; if it is at that place already, only the move is recorded.

        Slot, duration, resources and service are compared, not claims: a move within its own cells is a
        change. At another slot the patient is expected again.
        """
        moves = remember(self.moves, move)
        target = Position(slot_range.slot, slot_range.duration, resources, slot_range.service)
        if target == self.position:
            return self._next_epoch(move.asked_at, moves=moves)
        return self._next_epoch(
            move.asked_at,
            moves=moves,
            resources=resources,
            slot=slot_range.slot,
            duration=slot_range.duration,
            slot_minutes=slot_range.slot_minutes,
            claims=claims,
            service=slot_range.service,
            attendance=self.attendance if slot_range.slot == self.slot else None,
            **self._change("moved", actor, target, move.id, previous=self.position),
        )

    def refusing(self, move_id: str, asked_at: int) -> "Booking":
        """Return the booking in an epoch in which every attempt of this move is refused.

        It keeps at most `MOST_REFUSED_MOVES` ids of one moment. The next refusal then refuses every move that
        was asked for at that moment.
        """
        refused = self._next_epoch(asked_at)
        if len(refused.refused_moves) >= MOST_REFUSED_MOVES:
            return replace(refused, move_asked_at=asked_at + 1, refused_moves=())
        return replace(refused, refused_moves=(*refused.refused_moves, move_id))

    def amended(
        self, name: str | None, attendance: AttendanceName | None, mark: str, actor: str | None = None
    ) -> Self:
        """Return the booking with another name or attendance; the same booking if nothing is to change.

        None keeps the value. `mark` identifies the amendment in the history.
        """
        name = self.patient_name if name is None else name
        new = self.attendance
        if attendance is not None:
            new = None if attendance == "expected" else attendance
        renamed = name != self.patient_name
        if not renamed and new == self.attendance:
            return self
        change = self._change(
            "renamed" if renamed else "attendance",
            actor,
            self.position,
            attendance=None if new == self.attendance else attendance,
            mark=mark,
        )
        return replace(self, patient_name=name, attendance=new, **change)

    def has_amendment(self, mark: str) -> bool:
        """Return whether an amendment was carried out."""
        return any(entry.mark == mark for entry in self.history)

    def cancelled(self, actor: str | None = None) -> "Booking":
        """Return the booking cancelled. It keeps its claims, which the index no longer counts."""
        return replace(self, status="cancelled", **self._change("cancelled", actor, self.position))

    def erased(self, actor: str | None = None) -> "Booking":
        """Return the booking without the data of its person. It keeps its key, so that a retry finds it."""
        blank: dict[str, Any] = dict.fromkeys(PERSONAL)
        return replace(self, **blank, **self._change("erased", actor, self.position))

    def fenced(self) -> "Booking":
        """Return the booking in an epoch in which every change of an earlier read fails."""
        return replace(self, epoch=(self.epoch or 0) + 1)

    def version_before_cancel(self) -> int:
        """Return the version that the cancel of a cancelled booking changed; else the current version."""
        if self.status != "cancelled":
            return self.version
        cancels = (entry.version for entry in reversed(self.history) if entry.type == "cancelled")
        return next(cancels, self.version) - 1

    def done_move(self, move_id: str) -> DoneMove | None:
        """Return the move with this id if it was carried out."""
        return next((move for move in self.moves if move.id == move_id), None)

    def refuses(self, move_id: str, asked_at: int) -> bool:
        """Return whether a move is too late: it is refused, or a move that was asked for later is decided."""
        if self.move_asked_at is None or asked_at > self.move_asked_at:
            return False
        return asked_at < self.move_asked_at or move_id in self.refused_moves

    def _next_epoch(self, asked_at: int, **more: Any) -> "Booking":
        """Return the booking in its next epoch, after a move asked for no earlier than any before."""
        refused = self.refused_moves if asked_at == self.move_asked_at else ()
        epoch = (self.epoch or 0) + 1
        return replace(self, epoch=epoch, move_asked_at=asked_at, refused_moves=refused, **more)

    def _change(
        self,
        type: ChangeType,
        actor: str | None,
        position: Position,
        move_id: str | None = None,
        previous: Position | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Return the fields that every change sets; after this one the booking is at `position`.

        `more`: fields of the entry of an amendment.
        """
        now, version = _now(), self.version + 1
        entry = Entry(version, type, now, self.site, position, move_id, previous, actor, **more)
        return {"version": version, "updated_at": now, "history": extended(self.history, entry)}

    def to_document(self) -> dict[str, Any]:
        """Return the row. `begin` is the begin of the buffer before the slot, by which windows are read."""
        row = {
            "_id": self.id,
            "site": self.site,
            "resources": list(self.resources),
            "slot": self.slot,
            "durationMinutes": self.duration,
            "slotMinutes": self.slot_minutes,
            "claims": list(self.claims.keys),
            "patientName": self.patient_name,
            "status": self.status,
            "idempotencyKey": self.key,
            "requestHash": self.request_hash,
            "version": self.version,
            "history": [entry.to_document() for entry in self.history],
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
        }
        if self.contact is not None:
            row["contact"] = self.contact
        if self.attendance is not None:
            row["attendance"] = self.attendance
        if self.service is None:
            return row
        before = timedelta(minutes=self.service.before)
        return row | self.service.to_document() | {"begin": self.slot - before if before else None}

    @classmethod
    def from_document(cls, row: dict[str, Any]) -> "Booking":
        """Create the booking of a row. Claims and history are empty if the row was read without them.

        Raises:
            KeyError, TypeError: the row is of another program: a field is absent or has another type.
        """
        for field, kinds in _KINDS.items():
            if not isinstance(row[field], kinds):
                raise TypeError(field)
        for field in ("contact", "attendance"):
            if not isinstance(row.get(field), str | None):
                raise TypeError(field)
        return cls(
            id=row["_id"],
            resources=tuple(row["resources"]),
            slot=row["slot"],
            duration=row["durationMinutes"],
            slot_minutes=row["slotMinutes"],
            claims=Claims(row["site"], tuple(row.get("claims", ()))),
            patient_name=row["patientName"],
            status=row["status"],
            key=row["idempotencyKey"],
            request_hash=row["requestHash"],
            version=row["version"],
            created_at=row["createdAt"],
            updated_at=row["updatedAt"],
            history=tuple(Entry.from_document(entry) for entry in row.get("history", ())),
            epoch=row.get("epoch"),
            moves=tuple(DoneMove.from_document(move) for move in row.get("moves", ())),
            move_asked_at=row.get("moveAskedAt"),
            refused_moves=tuple(row.get("refusedMoves", ())),
            contact=row.get("contact"),
            attendance=row.get("attendance"),
            service=BookedService.from_document(row),
        )

    def to_appointment(self) -> Appointment:
        """Return the appointment that callers see."""
        return Appointment.model_construct(  # the fields are valid already
            id=self.id,
            site=self.site,
            resources=self.resources,
            slot=self.slot,
            durationMinutes=self.duration,
            patientName=self.patient_name,
            contact=self.contact,
            attendance=self.attendance,
            status=self.status,
            version=self.version,
            createdAt=self.created_at,
            **fields_of(self.service),
        )

    def to_json(self) -> str:
        """Return the JSON of `to_appointment`. Only the name and the contact may need escapes."""
        served = "" if self.service is None else to_json(fields_of(self.service)).decode()[1:-1] + ","
        name = "" if self.patient_name is None else f'"patientName":{to_json(self.patient_name).decode()},'
        contact = "" if self.contact is None else f'"contact":{to_json(self.contact).decode()},'
        attendance = "" if self.attendance is None else f'"attendance":"{self.attendance}",'
        lasting = "" if self.duration is None else f'"durationMinutes":{self.duration},'
        resources = '","'.join(self.resources)
        return (
            f'{{"id":"{self.id}","site":"{self.site}","resources":["{resources}"],'
            f'"slot":"{format_instant(self.slot)}",{lasting}{name}{contact}{attendance}{served}'
            f'"status":"{self.status}","version":{self.version},"createdAt":"{format_instant(self.created_at)}"}}'
        )


def _now() -> datetime:
    """Return the current time in whole milliseconds, as MongoDB stores it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
