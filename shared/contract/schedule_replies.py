"""Replies about schedules: the bodies of 2xx answers."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .fields import Instant
from .schedules import Schedule

_BY_ALIAS = ConfigDict(serialize_by_alias=True)


class ResourceSchedule(Schedule):
    """The schedule of a resource. `version` counts its changes."""

    site: str
    resource: str
    version: int


class ScheduleFound(BaseModel):
    model_config = _BY_ALIAS

    schedule: ResourceSchedule


class ScheduleStored(BaseModel):
    model_config = _BY_ALIAS

    message: str = "Schedule stored"
    schedule: ResourceSchedule


class ScheduleDeleted(BaseModel):
    message: str = "Schedule deleted"


class SchedulesFound(BaseModel):
    """A page of schedules. The last page has no `next`."""

    model_config = _BY_ALIAS

    schedules: list[ResourceSchedule]
    next: str | None = None


class Opening(BaseModel):
    """A time at which a resource is open: an interval of its hours on one day."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)

    resource: str
    from_: Instant = Field(alias="from")
    to: Instant


class OpeningsFound(BaseModel):
    """A page of openings, by resource and time. The last page has no `next`."""

    model_config = _BY_ALIAS

    site: str
    open: list[Opening]
    next: str | None = None


class SitesFound(BaseModel):
    """A page of sites. The last page has no `next`."""

    sites: list[str]
    next: str | None = None


class FreeSlot(BaseModel):
    """A start at which `resources` can be booked; if any was asked for, each of them by itself.

    `local` is the slot on the wall clock of the first resource with a schedule, with its offset.
    """

    slot: Instant
    local: str
    durationMinutes: int | None = None
    resources: tuple[str, ...]


class FreeSlotsFound(BaseModel):
    """A page of free slots, by slot. The last page has no `next`.

    `holds` is `unknown` if Redis does not answer: then some of the slots may be held.
    """

    site: str
    free: list[FreeSlot]
    holds: Literal["unknown"] | None = None
    next: str | None = None
