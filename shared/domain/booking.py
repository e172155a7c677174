"""A booking as it is kept: one document of `appointments`."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from shared.contract.commands import BookAppointment
from shared.contract.replies import Appointment
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.grid import Span


@dataclass(frozen=True)
class Booking:
    """It lies at `slot` for `duration` minutes (None where there is no grid). `key` is the idempotency key
    within its site; `version` counts updates."""

    id: str
    resources: tuple[str, ...]
    slot: datetime
    duration: int | None
    claims: Claims
    patient_name: str
    status: Literal["booked", "cancelled"]
    key: str
    request_hash: str
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def site(self) -> str:
        return self.claims.site

    @classmethod
    def new(cls, command: BookAppointment, span: Span, digests: Digests) -> "Booking":
        """The booking that `command` asks for; it exists once the store has taken it.

        Raises:
            InvalidRequest: it would claim too much.
        """
        now = datetime.now(UTC)
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        return cls(
            id=str(uuid4()),
            resources=command.resources,
            slot=span.slot,
            duration=span.duration,
            claims=Claims.of(command, span),
            patient_name=command.patientName,
            status="booked",
            key=command.idempotencyKey or str(uuid4()),
            request_hash=digests.of_request(command, span),
            version=1,
            created_at=now,
            updated_at=now,
        )

    def to_document(self) -> dict[str, Any]:
        return {
            "_id": self.id,
            "site": self.site,
            "resources": list(self.resources),
            "slot": self.slot,
            "durationMinutes": self.duration,
            "claims": list(self.claims.keys),
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
            resources=tuple(row["resources"]),
            slot=row["slot"],
            duration=row["durationMinutes"],
            claims=Claims(row["site"], tuple(row["claims"])),
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
        return Appointment.model_construct(  # nothing of it has to be checked again
            id=self.id,
            site=self.site,
            resources=self.resources,
            slot=self.slot,
            durationMinutes=self.duration,
            patientName=self.patient_name,
            status=self.status,
            createdAt=self.created_at,
        )
