"""Replies about schedules: the bodies of 2xx answers."""

from pydantic import BaseModel, ConfigDict

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
