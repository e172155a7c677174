"""Make iCalendar objects (RFC 5545) of appointments. They have no name of a patient.

All times are UTC instants (`Z`), so they are right in every zone and across every clock change, and need no
`VTIMEZONE`. `X-WR-TIMEZONE` tells a calendar program in which zone to show a calendar.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from icalendar import Calendar, Event

from shared.contract.replies import Appointment
from shared.contract.schedule_replies import ResourceSchedule

MEDIA_TYPE = "text/calendar; charset=utf-8"
PRODUCT = "-//slotkeeper//calendar//EN"
BOOKED = "Booked"
"""The summary of a booking without a service in the calendar of its resource."""
REFRESH, REFRESH_TEXT = timedelta(minutes=15), "PT15M"
"""How often a calendar program is asked to read a calendar again."""
MOST_REMEMBERED = 20_000
"""Events of subscriptions that are kept, of some 500 bytes each."""
Schedules = Mapping[str, ResourceSchedule]
"""Schedules by resource; a resource may have none."""


def event_of(appointment: Appointment, summary: str, *, at: datetime | None = None) -> Event:
    """Make the VEVENT of an appointment: its UID is the id, its SEQUENCE the version.

    Args:
        appointment: booked or cancelled.
        summary: the title that a calendar program shows.
        at: when the object is made; by default the time of the booking, so that the same version is the same
            bytes. `SEQUENCE` is what orders the versions.
    """
    event = Event()
    event.add("uid", appointment.id)
    event.add("sequence", appointment.version)
    event.add("dtstamp", at or appointment.createdAt)
    event.add("dtstart", appointment.slot)
    if appointment.durationMinutes is not None:
        event.add("dtend", appointment.slot + timedelta(minutes=appointment.durationMinutes))
    event.add("summary", summary)
    event.add("status", "CANCELLED" if appointment.status == "cancelled" else "CONFIRMED")
    return event


def title_of(appointment: Appointment, schedules: Schedules) -> str:
    """Return the titles of an appointment's service, if it has one, and of its resources."""
    resources = [title_of_resource(name, schedules) for name in appointment.resources]
    service = title_of_service(appointment, schedules)
    return ", ".join([service, *resources] if service else resources)


def title_of_service(appointment: Appointment, schedules: Schedules) -> str | None:
    """Return the title of an appointment's service; None if no schedule has the service any more."""
    offered = (service for schedule in schedules.values() for service in schedule.services)
    return next((service.title for service in offered if service.id == appointment.service), None)


def title_of_resource(resource: str, schedules: Schedules) -> str:
    """Return the title in the schedule of a resource, or its name."""
    schedule = schedules.get(resource)
    return schedule.title or resource if schedule else resource


def zone_of(schedules: Schedules) -> str | None:
    """Return the time zone of the first schedule; None if no resource has one."""
    return next((schedule.timeZone for schedule in schedules.values()), None)


def calendar_of(events: Iterable[Event], zone: str | None) -> Calendar:
    """Make a calendar of events; `zone` is the IANA zone in which to show it."""
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    if zone is not None:
        calendar.add("x-wr-timezone", zone)
    for event in events:
        calendar.add_component(event)
    return calendar


def subscription_of(resource: str, appointments: Iterable[Appointment], schedules: Schedules) -> bytes:
    """Make the calendar of a resource, to which calendar programs subscribe."""
    calendar = calendar_of([], zone_of(schedules))
    calendar.add("x-wr-calname", title_of_resource(resource, schedules))
    calendar.add("refresh-interval", REFRESH, parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", REFRESH_TEXT)
    begin, end, rest = bytes(calendar.to_ical()).partition(b"END:VCALENDAR")
    events = (
        _remembered_event(appointment, title_of_service(appointment, schedules) or BOOKED)
        for appointment in appointments
    )
    return b"".join([begin, *events, end, rest])


_remembered: dict[tuple[object, ...], bytes] = {}


def _remembered_event(appointment: Appointment, summary: str) -> bytes:
    """Return the event of a version of an appointment, which calendar programs ask for again and again.

    To make it takes as long as ten bookings.
    """
    # A change of the grid may set a duration under the same version.
    key = appointment.id, appointment.version, appointment.slot, appointment.durationMinutes, summary
    event = _remembered.get(key)
    if event is None:
        if len(_remembered) >= MOST_REMEMBERED:
            _remembered.clear()
        event = _remembered[key] = bytes(event_of(appointment, summary).to_ical())
    return event


def download_of(appointment: Appointment, schedules: Schedules) -> bytes:
    """Make a calendar of one appointment, for its patient."""
    event = event_of(appointment, title_of(appointment, schedules))
    return bytes(calendar_of([event], zone_of(schedules)).to_ical())
