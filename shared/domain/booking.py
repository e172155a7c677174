"""A booking as it is kept: one document of `appointments`."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from shared.contract.commands import BookAppointment
from shared.contract.instants import format_instant
from shared.contract.replies import Appointment
from shared.domain.grid import Span


@dataclass(frozen=True)
class Booking:
    """`span` is where it lies, `key` the idempotency key within its resource; `version` counts updates."""

    id: str
    resource: str
    span: Span
    patient_name: str
    status: Literal["booked", "cancelled"]
    key: str
    request_hash: str
    version: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def new(cls, command: BookAppointment, span: Span) -> "Booking":
        """The booking that `command` asks for; it exists once the store has taken it."""
        now = datetime.now(UTC)
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        return cls(
            id=str(uuid4()),
            resource=command.resource,
            span=span,
            patient_name=command.patientName,
            status="booked",
            key=command.idempotencyKey or str(uuid4()),
            request_hash=_hash_request(command, span),
            version=1,
            created_at=now,
            updated_at=now,
        )

    def to_document(self) -> dict[str, Any]:
        return {
            "_id": self.id,
            "resource": self.resource,
            "slot": self.span.slot,
            "durationMinutes": self.span.duration,
            "occupies": list(self.span.occupies),
            "patientName": self.patient_name,
            "status": self.status,
            "idempotencyKey": self.key,
            "requestHash": self.request_hash,
            "version": self.version,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
        }

    @classmethod
    def from_document(cls, row: dict[str, Any]) -> "Booking":
        return cls(
            id=row["_id"],
            resource=row["resource"],
            span=Span(row["slot"], row["durationMinutes"], tuple(row["occupies"])),
            patient_name=row["patientName"],
            status=row["status"],
            key=row["idempotencyKey"],
            request_hash=row["requestHash"],
            version=row["version"],
            created_at=row["createdAt"],
            updated_at=row["updatedAt"],
        )

    def to_appointment(self) -> Appointment:
        """What callers see of it."""
        return Appointment(
            id=self.id,
            resource=self.resource,
            slot=self.span.slot,
            durationMinutes=self.span.duration,
            patientName=self.patient_name,
            status=self.status,
            createdAt=self.created_at,
        )


def _hash_request(command: BookAppointment, span: Span) -> str:
    """Tells a repeat from another request under the same key; equal for equal instants and names."""
    asked = [format_instant(span.slot), span.duration, command.patientName]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()
