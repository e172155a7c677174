"""iCalendar objects of appointments: valid, without names, and right across a clock change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import ics
import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar, Event

from gateway.calendars import events
from gateway.calendars.events import download_of, subscription_of
from shared.contract.fields import random_uuid
from shared.contract.replies import Appointment
from shared.contract.schedule_replies import ResourceSchedule

ID = "e0d5be10-2c9a-472c-80ee-1a787c88798e"
ZONES = ("Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Antarctica/Troll", "Pacific/Chatham")
BERLIN = ResourceSchedule(
    title="Dr Lee", timeZone="Europe/Berlin", weekly=(), site="harbour", resource="dr-lee", version=1
)
# In each of the zones, the clocks change twice within a year.
YEAR = st.datetimes(datetime(2030, 1, 1), datetime(2031, 1, 1), timezones=st.just(UTC)).map(
    lambda instant: instant.replace(microsecond=0)
)


def appointment(**more: object) -> Appointment:
    fields = {
        "id": ID,
        "site": "harbour",
        "resources": ("dr-lee", "room-2"),
        "slot": datetime(2030, 1, 7, 9, tzinfo=UTC),
        "durationMinutes": 45,
        "patientName": "Zoe-canary",
        "status": "booked",
        "version": 3,
        "createdAt": datetime(2029, 12, 1, 8, 15, 30, tzinfo=UTC),
    }
    return Appointment.model_validate({**fields, **more})


@given(slot=YEAR, minutes=st.integers(1, 1440), zone=st.sampled_from(ZONES))
def test_event_is_at_the_instants_of_its_booking_on_every_day(
    slot: datetime, minutes: int, zone: str
) -> None:
    """Two independent readers find the same begin and end, on both days of a clock change too."""
    booked = appointment(slot=slot, durationMinutes=minutes)
    schedule = BERLIN.model_copy(update={"timeZone": zone})
    content = subscription_of("dr-lee", [booked], {"dr-lee": schedule})
    (event,) = Calendar.from_ical(content).events
    (other,) = ics.Calendar(content.decode()).events
    end = slot + timedelta(minutes=minutes)
    assert (event.start, event.end) == (slot, end)
    assert (other.begin.datetime, other.end.datetime) == (slot, end)
    assert isinstance(event.start, datetime)
    assert event.start.astimezone(ZoneInfo(zone)).utcoffset() == slot.astimezone(ZoneInfo(zone)).utcoffset()
    assert content.count(b"Z\r\n") >= 3


def test_event_is_made_once_for_each_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A calendar that is read again costs little: only what has changed is made anew."""
    first, other = appointment(id=random_uuid()), appointment(id=random_uuid())
    content = subscription_of("dr-lee", [first, other], {})
    assert content.count(b"BEGIN:VEVENT") == 2
    made: list[str] = []
    make = events.event_of

    def counted(of: Appointment, summary: str) -> Event:
        made.append(of.id)
        return make(of, summary)

    monkeypatch.setattr(events, "event_of", counted)
    assert subscription_of("dr-lee", [first, other], {}) == content
    assert not made
    moved = other.model_copy(update={"version": 4, "slot": datetime(2030, 1, 8, 9, tzinfo=UTC)})
    assert subscription_of("dr-lee", [first, moved], {}).count(b"DTSTART:20300108T090000Z") == 1
    assert made == [other.id]


def test_subscription_is_valid_and_has_no_name() -> None:
    """A strict reader finds no error; lines are short and end as RFC 5545 demands; the text is stable."""
    content = subscription_of("dr-lee", [appointment()], {"dr-lee": BERLIN})
    calendar = Calendar.from_ical(content)
    assert isinstance(calendar, Calendar)
    (event,) = calendar.events
    assert not calendar.errors
    assert not event.errors
    assert (event["UID"], event["SEQUENCE"], event["STATUS"]) == (ID, 3, "CONFIRMED")
    assert (calendar["X-WR-CALNAME"], calendar["X-WR-TIMEZONE"]) == ("Dr Lee", "Europe/Berlin")
    assert (calendar["VERSION"], calendar["X-PUBLISHED-TTL"]) == ("2.0", "PT15M")
    assert all(len(line) <= 75 for line in content.split(b"\r\n"))
    assert content.count(b"\n") == content.count(b"\r\n")
    assert b"canary" not in content
    assert content == subscription_of("dr-lee", [appointment()], {"dr-lee": BERLIN})


def test_download_names_the_resources_and_tells_of_a_cancel() -> None:
    """Its summary has the titles of the schedules, a resource's name without one, and never the patient's."""
    (event,) = Calendar.from_ical(download_of(appointment(status="cancelled"), {"dr-lee": BERLIN})).events
    assert (event["SUMMARY"], event["STATUS"]) == ("Dr Lee, room-2", "CANCELLED")
    assert b"canary" not in download_of(appointment(), {"dr-lee": BERLIN})


def test_booking_of_a_service_has_its_title() -> None:
    """In the calendar of the resource it is the summary; a patient reads whose service it is, too."""
    service = {"id": "first-visit", "title": "First visit", "durationMinutes": 45}
    schedule = ResourceSchedule.model_validate({**BERLIN.model_dump(by_alias=True), "services": [service]})
    booked, schedules = appointment(service="first-visit"), {"dr-lee": schedule}
    (event,) = Calendar.from_ical(subscription_of("dr-lee", [booked], schedules)).events
    (own,) = Calendar.from_ical(download_of(booked, schedules)).events
    assert (event["SUMMARY"], own["SUMMARY"]) == ("First visit", "First visit, Dr Lee, room-2")
    (event,) = Calendar.from_ical(subscription_of("dr-lee", [booked], {"dr-lee": BERLIN})).events
    assert event["SUMMARY"] == "Booked"


def test_title_cannot_add_a_property() -> None:
    """A title with a line break or a comma stays one escaped value."""
    schedule = BERLIN.model_copy(update={"title": "Dr\r\nATTENDEE:mailto:x@example.org, Lee; B"})
    (event,) = Calendar.from_ical(download_of(appointment(), {"dr-lee": schedule})).events
    assert "ATTENDEE" not in event
    assert "Lee; B" in str(event["SUMMARY"])


def test_booking_on_a_grid_of_zero_has_no_end() -> None:
    """Such a booking is an instant."""
    (event,) = Calendar.from_ical(subscription_of("dr-lee", [appointment(durationMinutes=None)], {})).events
    assert "DTEND" not in event


def test_control_local_time_would_be_found() -> None:
    """The property can fail: a wall clock without its zone is another instant for the reader."""
    slot = datetime(2030, 3, 31, 1, 30, tzinfo=UTC)  # Berlin's clocks have just changed
    local = slot.astimezone(ZoneInfo("Europe/Berlin")).replace(tzinfo=None)
    content = subscription_of("dr-lee", [appointment(slot=slot)], {}).replace(
        b"DTSTART:20300331T013000Z", f"DTSTART:{local:%Y%m%dT%H%M%S}".encode()
    )
    (event,) = Calendar.from_ical(content).events
    assert event.start != slot
