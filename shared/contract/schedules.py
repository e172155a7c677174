"""Schedules: the opening hours, services and booking rules of a resource, as callers send them.

Every refusal names the place in the schedule, for example `weekly[1].to must be later than from`. A worker
also compares names with its data of time zones and public holidays (`shared/domain/schedule`).
"""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Annotated, Self

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from .commands import DEFAULT_SITE, Command, Window
from .fields import (
    Cursor,
    DurationMinutes,
    Instant,
    ListedResources,
    Resource,
    Resources,
    Site,
    Version,
    invalid,
)
from .schedule_fields import (
    AskedMinutes,
    AskedSwitch,
    Buffer,
    Country,
    CutOffMinutes,
    Date,
    Days,
    HorizonDays,
    LeadMinutes,
    ServiceId,
    StepMinutes,
    Subdivision,
    Switch,
    TimeZone,
    Title,
    WallTime,
    at_most,
)

MOST_HOURS, MOST_EXCEPTIONS, MOST_SERVICES = 50, 200, 50
DEFAULT_STEP_MINUTES = 15


class Hours(Command):
    """A time of the day, from `from` to before `to`. The end of the day is 24:00."""

    model_config = ConfigDict(serialize_by_alias=True)

    from_: WallTime = Field(alias="from")
    to: WallTime

    @field_validator("to")
    @classmethod
    def _check_order(cls, to: str, info: ValidationInfo) -> str:
        if to <= info.data.get("from_", ""):  # texts of one length have the order of their times
            raise invalid("must be later than from")
        return to

    @property
    def minutes(self) -> tuple[int, int]:
        """The begin and the end, in minutes of the wall clock."""
        return _minutes(self.from_), _minutes(self.to)


class WeeklyHours(Hours):
    """Opening hours on some days of every week."""

    days: Days


class ScheduleException(Command):
    """The hours of a date, or of a country's public holidays, in place of the weekly hours.

    Without `hours`, the resource is closed. On a public holiday, the exception of the date counts.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    date: Date | None = None
    holidays: Country | None = None
    subdivision: Subdivision | None = None
    hours: Annotated[
        tuple[Hours, ...], BeforeValidator(at_most(MOST_HOURS)), Field(description="The hours of the day.")
    ] = ()

    @field_validator("hours")
    @classmethod
    def _check_hours(cls, hours: tuple[Hours, ...]) -> tuple[Hours, ...]:
        _refuse_overlap(list(enumerate(hours)), "")
        return hours

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if (self.date is None) == (self.holidays is None):
            raise invalid("must have either date or holidays")
        if self.subdivision is not None and self.holidays is None:
            raise invalid("must have holidays if it has subdivision")
        return self


class Service(Command):
    """A kind of appointment: its duration, its buffers, and the resources that it needs besides.

    A booking with the service claims its buffers too: minutes before and after the appointment, which may
    lie outside the opening hours.
    """

    id: ServiceId
    title: Title
    durationMinutes: DurationMinutes
    bufferBefore: Buffer = 0
    bufferAfter: Buffer = 0
    resources: Resources | None = None


class Schedule(Command):
    """The opening hours, services and booking rules of a resource: the HTTP body of `PUT`."""

    model_config = ConfigDict(serialize_by_alias=True)

    title: Title
    timeZone: TimeZone
    weekly: Annotated[tuple[WeeklyHours, ...], BeforeValidator(at_most(MOST_HOURS))]
    exceptions: Annotated[
        tuple[ScheduleException, ...],
        BeforeValidator(at_most(MOST_EXCEPTIONS)),
        Field(description="Days with other hours."),
    ] = ()
    services: Annotated[
        tuple[Service, ...],
        BeforeValidator(at_most(MOST_SERVICES)),
        Field(description="What can be booked."),
    ] = ()
    stepMinutes: StepMinutes = DEFAULT_STEP_MINUTES
    leadMinutes: LeadMinutes = 0
    horizonDays: HorizonDays | None = None
    cutOffMinutes: CutOffMinutes | None = None
    enforced: Switch = False

    @field_validator("weekly")
    @classmethod
    def _check_weekly(cls, weekly: tuple[WeeklyHours, ...]) -> tuple[WeeklyHours, ...]:
        for day in dict.fromkeys(day for hours in weekly for day in hours.days):
            _refuse_overlap([pair for pair in enumerate(weekly) if day in pair[1].days], f" on {day}")
        return weekly

    @field_validator("exceptions")
    @classmethod
    def _check_exceptions(cls, exceptions: tuple[ScheduleException, ...]) -> tuple[ScheduleException, ...]:
        _refuse_twins("the same day", [one.date or (one.holidays, one.subdivision) for one in exceptions])
        return exceptions

    @field_validator("services")
    @classmethod
    def _check_services(cls, services: tuple[Service, ...]) -> tuple[Service, ...]:
        _refuse_twins("the same id", [service.id for service in services])
        return services


class SchedulePlace(Command):
    """The resource of a schedule."""

    site: Site
    resource: Resource


class PutSchedule(Schedule, SchedulePlace):
    """Create or replace the schedule of a resource."""

    ifVersion: Version | None = None

    @property
    def schedule(self) -> Schedule:
        """The schedule without its place and version."""
        return Schedule.model_construct(**{name: getattr(self, name) for name in Schedule.model_fields})


class GetSchedule(SchedulePlace):
    """Read the schedule of a resource."""


class DeleteSchedule(SchedulePlace):
    """Delete the schedule of a resource. Its bookings stay."""

    ifVersion: Version | None = None


class ListSchedules(Command):
    """Read the schedules of a site, by resource."""

    site: Site
    cursor: Cursor | None = None


class ListConflicts(SchedulePlace):
    """Read the bookings of a resource, from an instant on (default: now), that lie outside its hours."""

    model_config = ConfigDict(serialize_by_alias=True)

    from_: Instant | None = Field(default=None, alias="from")
    cursor: Cursor | None = None


class FindFreeSlots(Window):
    """Find starts at which resources can be booked: all of them together, or with `any` one of them."""

    service: ServiceId | None = None
    durationMinutes: AskedMinutes | None = None
    any: AskedSwitch = False


class FindNextFree(Command):
    """Find the first start at which resources can be booked, from an instant on (default: now)."""

    model_config = ConfigDict(serialize_by_alias=True)

    site: Site = DEFAULT_SITE
    resource: ListedResources | None = None
    from_: Instant | None = Field(default=None, alias="from")
    service: ServiceId | None = None
    durationMinutes: AskedMinutes | None = None
    any: AskedSwitch = False


def _minutes(time: str) -> int:
    hours, minutes = time.split(":")
    return int(hours) * 60 + int(minutes)


def _refuse_overlap(numbered: Iterable[tuple[int, Hours]], where: str) -> None:
    for (first, one), (second, other) in combinations(numbered, 2):
        if one.from_ < other.to and other.from_ < one.to:
            raise invalid(f"must not overlap, as [{first}] and [{second}] do{where}")


def _refuse_twins(what: str, keys: Sequence[object]) -> None:
    for number, key in enumerate(keys):
        if (first := keys.index(key)) < number:
            raise invalid(f"must be different, but [{first}] and [{number}] have {what}")
