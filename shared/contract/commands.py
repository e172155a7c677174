"""Commands, as pydantic models. Field names are the names on the wire, the same over HTTP and NATS."""

from datetime import timedelta
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from .fields import (
    AmendId,
    Attendance,
    Contact,
    Cursor,
    DurationMinutes,
    HoldToken,
    IdempotencyKey,
    Instant,
    ListedResources,
    MoveId,
    PatientName,
    Resources,
    Site,
    Version,
)
from .schedule_fields import AskedService
from .strict_json import Repeating

DEFAULT_SITE = "default"
DEFAULT_RESOURCE = "default"
DEFAULT_RESOURCES = (DEFAULT_RESOURCE,)
MOST_DAYS = 32
NOTHING_TO_CHANGE = "Nothing to change: send slot, resources, durationMinutes or service"
NOTHING_TO_AMEND = "Nothing to change: send patientName or attendance"


class Command(BaseModel):
    """A command. Unknown and duplicate fields are refused. A null counts as an absent field."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    required_together: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        if isinstance(body, Repeating):
            raise PydanticCustomError("repeated_field", "{name}", {"name": body.repeated})
        sent = body
        if None in body.values():  # nulls are rare, and copying every body would be slow
            sent = {field: value for field, value in body.items() if value is not None}
        for field in cls.required_together:
            if _is_blank(sent.get(field, "")):
                names = " or ".join(cls.required_together)
                raise PydanticCustomError("missing_fields", "Missing {names}", {"names": names})
        return sent


class SlotRequest(Command):
    """A slot and its patient: the HTTP body of a booking and of a hold.

    The command needs all of `resources` (for example the doctor and the room) in one `site`, or none. With a
    `service`, it needs the resources of the service too.
    """

    required_together: ClassVar[tuple[str, ...]] = ("slot", "patientName")

    slot: Instant
    patientName: PatientName
    contact: Contact | None = None
    site: Site = DEFAULT_SITE
    resources: Resources = DEFAULT_RESOURCES
    durationMinutes: DurationMinutes | None = None
    service: AskedService | None = None
    holdToken: HoldToken | None = None


class BookAppointment(SlotRequest):
    """Book a slot. Of concurrent bookings of it, exactly one succeeds."""

    idempotencyKey: IdempotencyKey | None = None


class PlaceHold(SlotRequest):
    """Hold a slot while its patient checks out, or extend the hold with this `holdToken`."""


class GetAppointment(Command):
    """Read an appointment by its id. No appointment has an id that is not a UUID."""

    id: str = Field(strict=True)


class GetHistory(GetAppointment):
    """Read the changes of an appointment."""


class CancelAppointment(GetAppointment):
    """Cancel an appointment, and free its claims at the same instant."""

    ifVersion: Version | None = None


class MoveRequest(Command):
    """The new place of an appointment: the HTTP body of a move. Absent fields keep their value.

    An appointment keeps its service and its buffers, even with other `resources` or another
    `durationMinutes`. With `service`, it gets the duration, the buffers and the resources that the service
    has now, besides `resources`, or else besides those that the appointment has.
    """

    slot: Instant | None = None
    resources: Resources | None = None
    durationMinutes: DurationMinutes | None = None
    service: AskedService | None = None
    holdToken: HoldToken | None = None

    @model_validator(mode="after")
    def _check_change(self) -> Self:
        if {self.slot, self.resources, self.durationMinutes, self.service} == {None}:
            raise PydanticCustomError("nothing_to_change", NOTHING_TO_CHANGE)
        return self


class MoveAppointment(MoveRequest):
    """Move an appointment. A refused move leaves it where it is.

    `moveId` is the idempotency key of the move: a move with the same id is not executed again.
    """

    id: str = Field(strict=True)
    moveId: MoveId | None = None
    ifVersion: Version | None = None


class AmendRequest(Command):
    """What is to be corrected in an appointment: the HTTP body of an amendment. It stays at its place."""

    patientName: PatientName | None = None
    attendance: Attendance | None = None

    @model_validator(mode="after")
    def _check_change(self) -> Self:
        if self.patientName is None and self.attendance is None:
            raise PydanticCustomError("nothing_to_change", NOTHING_TO_AMEND)
        return self


class AmendAppointment(AmendRequest):
    """Correct the name of an appointment's patient, or note whether the patient came.

    `amendId` is the idempotency key of the amendment: one with the same id is not executed again.
    """

    id: str = Field(strict=True)
    amendId: AmendId | None = None
    ifVersion: Version | None = None


class ReleaseHold(Command):
    """End the hold with this token, on all its claims in the site.

    With a `slot`, only if the token holds that slot at some resource. `resources`, `durationMinutes` and
    `service` are accepted and ignored.
    """

    required_together: ClassVar[tuple[str, ...]] = ("holdToken",)

    holdToken: HoldToken
    site: Site = DEFAULT_SITE
    slot: Instant | None = None
    resources: Resources = DEFAULT_RESOURCES
    durationMinutes: DurationMinutes | None = None
    service: AskedService | None = None


class Window(Command):
    """A time window of a site. `cursor` is `next` of the previous page.

    `resource`: one or several names; absent: all resources of the site.
    """

    model_config = ConfigDict(serialize_by_alias=True)
    required_together: ClassVar[tuple[str, ...]] = ("from", "to")

    site: Site = DEFAULT_SITE
    resource: ListedResources | None = None
    from_: Instant = Field(alias="from")
    to: Instant
    cursor: Cursor | None = None

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        if self.to <= self.from_:
            raise PydanticCustomError("wrong_window", "to must be later than from")
        if self.to - self.from_ > timedelta(days=MOST_DAYS):
            raise PydanticCustomError("wrong_window", f"to must be at most {MOST_DAYS} days after from")
        return self


class ListAppointments(Window):
    """Read the booked appointments that overlap a window, ordered by slot and id."""


class ListSlots(Window):
    """Read the booked and held cells in a window, without names."""


class AskGrid(Command):
    """Read the grid and the limits of one booking."""


class AskReady(Command):
    """Ask a worker whether it is ready."""


CommandT = TypeVar("CommandT", bound=Command)


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip(" \t\r\n")
