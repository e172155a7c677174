"""Commands: what callers ask for. Field names are those on the wire, over HTTP and NATS alike."""

from datetime import timedelta
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from .fields import (
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
from .strict_json import Repeating

DEFAULT_SITE = "default"
DEFAULT_RESOURCE = "default"
DEFAULT_RESOURCES = (DEFAULT_RESOURCE,)
MOST_DAYS = 32
NOTHING_TO_CHANGE = "Nothing to change: send slot, resources or durationMinutes"


class Command(BaseModel):
    """Unknown and repeated fields are refused. A null counts as a field that was not sent."""

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
        if None in body.values():  # which is rare, and a copy of each body would be dear
            sent = {field: value for field, value in body.items() if value is not None}
        for field in cls.required_together:
            if _is_blank(sent.get(field, "")):
                names = " or ".join(cls.required_together)
                raise PydanticCustomError("missing_fields", "Missing {names}", {"names": names})
        return sent


class SlotRequest(Command):
    """A slot and the patient who wants it: the HTTP body of both booking and hold.

    All of `resources`, which lie in one `site`, are wanted: the doctor and the room, both or neither.
    """

    required_together: ClassVar[tuple[str, ...]] = ("slot", "patientName")

    slot: Instant
    patientName: PatientName
    site: Site = DEFAULT_SITE
    resources: Resources = DEFAULT_RESOURCES
    durationMinutes: DurationMinutes | None = None
    holdToken: HoldToken | None = None


class BookAppointment(SlotRequest):
    """Book a slot: of all who ask for it, exactly one gets it."""

    idempotencyKey: IdempotencyKey | None = None


class PlaceHold(SlotRequest):
    """Hold a slot while its patient checks out, or extend the hold that `holdToken` names."""


class GetAppointment(Command):
    """Read an appointment by its id; one that is no UUID is nobody's."""

    id: str = Field(strict=True)


class GetHistory(GetAppointment):
    """Read what became of an appointment."""


class CancelAppointment(GetAppointment):
    """Cancel an appointment; what it claimed is free at that instant."""

    ifVersion: Version | None = None


class MoveRequest(Command):
    """Where an appointment is to lie: the HTTP body of a move. What is not sent stays as it is."""

    slot: Instant | None = None
    resources: Resources | None = None
    durationMinutes: DurationMinutes | None = None
    holdToken: HoldToken | None = None

    @model_validator(mode="after")
    def _check_change(self) -> Self:
        if self.slot is None and self.resources is None and self.durationMinutes is None:
            raise PydanticCustomError("nothing_to_change", NOTHING_TO_CHANGE)
        return self


class MoveAppointment(MoveRequest):
    """Move an appointment; where it is refused, it stays where it was.

    `moveId` is the caller's own, another for each move: what was carried out is not carried out again.
    """

    id: str = Field(strict=True)
    moveId: MoveId | None = None
    ifVersion: Version | None = None


class ReleaseHold(Command):
    """End the hold with this token, on all that it has of its site.

    With a `slot`, only if the token holds that at some resource. `resources` and `durationMinutes` are
    accepted and choose nothing.
    """

    required_together: ClassVar[tuple[str, ...]] = ("holdToken",)

    holdToken: HoldToken
    site: Site = DEFAULT_SITE
    slot: Instant | None = None
    resources: Resources = DEFAULT_RESOURCES
    durationMinutes: DurationMinutes | None = None


class Window(Command):
    """What lies in a site between two instants; `cursor` is what the page before said in `next`.

    `resource` is one or several, else all of the site.
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
    """Read the booked appointments that overlap a window, in the order of their slots and ids."""


class ListSlots(Window):
    """Read what is booked or held in a window, in whole cells and without names."""


class AskGrid(Command):
    """Read where slots may lie, and how long they may be."""


class AskReady(Command):
    """Ask whether the worker that gets this can serve."""


CommandT = TypeVar("CommandT", bound=Command)


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip(" \t\r\n")
