"""Which notices follow from the events of a booking, and when one is no longer true."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.notify.notices import LEADS, Kind, Notice, notices_of, suppressed_by
from shared.contract.events import BookingEvent, EventPlace, EventType
from shared.contract.replies import Appointment, Change

ID = "e0d5be10-2c9a-472c-80ee-1a787c88798e"
NOW = datetime(2030, 1, 7, 9, tzinfo=UTC)
LONG_AGO = datetime(2029, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def event(
    slot: datetime, *, type: EventType = "booked", at: datetime = NOW, version: int = 1
) -> BookingEvent:
    place = EventPlace(resources=("dr-lee",), slot=slot, durationMinutes=30)
    return BookingEvent(type=type, at=at, id=ID, version=version, site="harbour", place=place)


def kinds(event: BookingEvent, *, now: datetime = NOW, began: datetime = LONG_AGO) -> list[Kind]:
    return [notice.kind for notice in notices_of(event, now=now, began=began)]


@pytest.mark.parametrize(
    ("ahead", "wanted"),
    [
        (3 * DAY, [Kind.BOOKED, Kind.DAY, Kind.HOURS]),
        (DAY, [Kind.BOOKED, Kind.HOURS]),
        (2 * HOUR, [Kind.BOOKED]),
        (-HOUR, []),
    ],
)
def test_booking_has_the_reminders_that_are_not_due_yet(ahead: timedelta, wanted: list[Kind]) -> None:
    """Its confirmation stands for a reminder whose time was over when it was made; the past is not told."""
    assert kinds(event(NOW + ahead)) == wanted


def test_cancel_has_no_reminders() -> None:
    """It is told at once, and nothing later."""
    assert kinds(event(NOW + 3 * DAY, type="cancelled", version=2)) == [Kind.CANCELLED]


def test_change_of_before_the_first_start_is_only_reminded() -> None:
    """The first process of a deployment confirms no old booking; nor does one after days of outage."""
    reminders = [Kind.DAY, Kind.HOURS]
    assert kinds(event(NOW + 3 * DAY, at=NOW - HOUR), began=NOW) == reminders
    assert kinds(event(NOW + 3 * DAY, at=NOW - 2 * DAY)) == reminders


def test_change_without_a_message_has_no_notice() -> None:
    """An erasure tells nobody anything."""
    assert kinds(event(NOW + DAY, type="erased", version=2)) == []


@given(st.datetimes(datetime(2030, 1, 9), datetime(2032, 1, 1)))
def test_reminder_has_one_key_for_a_slot(naive: datetime) -> None:
    """Whichever version of a booking leads to a slot, its reminder is one notice; keys differ by kind."""
    slot = naive.replace(tzinfo=UTC, microsecond=0)
    first, again = (
        [notice.key for notice in notices_of(event(slot, version=version), now=NOW, began=LONG_AGO)]
        for version in (1, 3)
    )
    assert first[0] != again[0]
    assert first[1:] == again[1:]
    assert len({*first}) == 3


def appointment(**more: Any) -> Appointment:
    fields = {"id": ID, "site": "harbour", "resources": ("dr-lee",), "slot": NOW + 3 * DAY, "version": 2}
    return Appointment.model_validate({**fields, "status": "booked", "createdAt": NOW, **more})


def change(version: int, type: str) -> Change:
    return Change.model_validate(
        {"version": version, "type": type, "at": NOW, "slot": NOW + 3 * DAY, "resources": ("dr-lee",)}
    )


def test_change_is_told_unless_a_later_one_is() -> None:
    """A move replaces the confirmation before it; an erasure replaces nothing."""
    told = Notice(Kind.BOOKED, ID, 1, NOW)
    assert told.is_true_of(appointment(), [change(1, "booked"), change(2, "erased")], NOW)
    assert not told.is_true_of(appointment(), [change(1, "booked"), change(2, "moved")], NOW)
    assert not told.is_true_of(appointment(), [change(1, "booked")], NOW + 3 * DAY)


def test_reminder_is_told_if_its_slot_is_still_booked() -> None:
    """Not after a cancel or a move, and not once the next reminder is due."""
    _, day, _ = notices_of(event(NOW + 3 * DAY), now=NOW, began=LONG_AGO)
    due = NOW + 2 * DAY
    assert day.is_true_of(appointment(), [], due)
    assert not day.is_true_of(appointment(status="cancelled"), [], due)
    assert not day.is_true_of(appointment(slot=NOW + 3 * DAY + HOUR), [], due)
    assert not day.is_true_of(appointment(), [], NOW + 3 * DAY - LEADS[Kind.HOURS])


@pytest.mark.parametrize(
    ("permission", "actor", "kind"),
    [
        ("book", "sms", Kind.BOOKED),
        ("move", "sms", Kind.MOVED),
        ("cancel", "sms", Kind.CANCELLED),
        ("cancel", "patient", Kind.CANCELLED),
        ("move", "patient", None),
        ("cancel", "b0f877814e8d", None),
        ("erase", "sms", None),
    ],
)
def test_patient_knows_what_it_has_done(permission: str, actor: str, kind: Kind | None) -> None:
    """The suppressed notice has the key of the one that the event leads to."""
    found = suppressed_by(f"audit.v1.harbour.{permission}", ID, 4, NOW, actor)
    assert (found and found.kind) == kind
    if found is not None and kind is not None:
        types: dict[Kind, EventType] = {
            Kind.BOOKED: "booked",
            Kind.MOVED: "moved",
            Kind.CANCELLED: "cancelled",
        }
        (told, *_) = notices_of(event(NOW + DAY, type=types[kind], version=4), now=NOW, began=LONG_AGO)
        assert found.key == told.key
