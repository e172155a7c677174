"""Services: the claims of bookings with buffers, and what a row and a reply keep of a service."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract.commands import BookAppointment, MoveRequest
from shared.contract.errors import InvalidRequest
from shared.contract.schedules import Schedule
from shared.domain.booked_service import BookedService
from shared.domain.booking import Booking
from shared.domain.claim import MOST_CLAIMS, Claims
from shared.domain.digests import Digests
from shared.domain.done_move import DoneMove
from shared.domain.grid import Grid, RequestedPlace
from shared.domain.move import moved
from shared.domain.schedule.opening_hours import OpeningHours
from shared.domain.schedule.services import with_service
from shared.domain.schedule.site import NO_SCHEDULES, SiteSchedules

NINE = datetime(2031, 5, 5, 9, tzinfo=UTC)
MINUTE_MS = 60_000
DIGESTS = Digests(b"secret")
MOVE = DoneMove("move-1", "hash", 1)
VISIT = {"id": "visit", "title": "Visit", "durationMinutes": 45, "bufferAfter": 10, "resources": ["room"]}
CHECK = {"id": "check", "title": "Check", "durationMinutes": 20, "bufferBefore": 5}


def command(**more: Any) -> BookAppointment:
    body = {"slot": NINE, "patientName": "Ada", "resources": ["lee"], "idempotencyKey": "k", **more}
    return BookAppointment.model_validate(body)


def schedules(*services: dict[str, Any]) -> SiteSchedules:
    schedule = Schedule.model_validate(
        {"title": "Lee", "timeZone": "UTC", "weekly": [], "services": list(services)}
    )
    return SiteSchedules({"lee": OpeningHours(schedule)})


def booked(grid: Grid, **more: Any) -> Booking:
    asked = command(**more)
    place, service = with_service(asked, asked.service or "", schedules(VISIT, CHECK).by_resource)
    span = grid.slot_range(place, service)
    return Booking.new(asked, span, Claims.of(place, span), DIGESTS, resources=place.resources)


@given(
    grid=st.sampled_from([1, 2, 5, 15, 60]),
    past_ms=st.integers(0, 120 * MINUTE_MS),
    minutes=st.integers(1, 60),
    before=st.integers(0, 60),
    after=st.integers(0, 60),
)
def test_claims_are_the_cells_that_the_booking_with_its_buffers_touches(
    grid: int, past_ms: int, minutes: int, before: int, after: int
) -> None:
    """A booking claims a cell exactly if its time or one of its buffers overlaps the cell."""
    slot = NINE + timedelta(milliseconds=past_ms)
    place = RequestedPlace("s", ("lee",), slot, minutes)
    span = Grid(grid).slot_range(place, BookedService("visit", before, after))
    at, width = int(slot.timestamp() * 1000), grid * MINUTE_MS
    begin, end = at - before * MINUTE_MS, at + (minutes + after) * MINUTE_MS
    midnight = at - at % 86_400_000
    near = range(midnight - 86_400_000, midnight + 2 * 86_400_000, width)
    touched = {f"lee/{cell}" for cell in near if cell < end and begin < cell + width}
    assert set(Claims.of(place, span).keys) == touched
    assert (span.slot, span.duration) == (slot, minutes)


def test_buffers_count_for_the_most_claims() -> None:
    """Cells of buffers count too, and the refusal names the fields."""
    place = RequestedPlace("s", ("lee",), NINE, 400)
    grid, service = Grid(1), BookedService("visit", 100, 100)
    assert len(Claims.of(place, grid.slot_range(place, service)).keys) == MOST_CLAIMS
    longer = BookedService("visit", 101, 100)
    with pytest.raises(InvalidRequest, match=r"durationMinutes with the buffers of service .* 600 cells"):
        Claims.of(place, grid.slot_range(place, longer))


def test_service_is_refused_without_a_grid() -> None:
    """With SLOT_MINUTES=0 a booking is an instant, which no service fits."""
    asked = command(service="check")
    place, service = with_service(asked, "check", schedules(CHECK).by_resource)
    with pytest.raises(InvalidRequest, match="service is not accepted here"):
        Grid(0).slot_range(place, service)


@pytest.mark.parametrize(
    ("slot", "before", "after"),
    [(datetime(1, 1, 1, 0, 4, tzinfo=UTC), 5, 0), (datetime(9999, 12, 31, 23, 30, tzinfo=UTC), 0, 10)],
)
def test_buffers_stay_within_the_years(slot: datetime, before: int, after: int) -> None:
    """A buffer that no answer could show as an instant is refused."""
    place = RequestedPlace("s", ("lee",), slot, 20)
    Grid(5).slot_range(place, BookedService("visit"))
    with pytest.raises(InvalidRequest, match="slot with the buffers of service"):
        Grid(5).slot_range(place, BookedService("visit", before, after))


def test_row_keeps_the_service_and_its_buffers() -> None:
    """A row with a service is read as it was written, and its replies agree."""
    booking = booked(Grid(5), service="visit")
    row = booking.to_document()
    assert {name: row[name] for name in ("service", "bufferBefore", "bufferAfter", "begin")} == {
        "service": "visit",
        "bufferBefore": 0,
        "bufferAfter": 10,
        "begin": None,
    }
    assert Booking.from_document(row) == booking
    told = booking.to_appointment().model_dump(mode="json", exclude_none=True)
    assert json.loads(booking.to_json()) == told
    assert (told["service"], told["durationMinutes"], told["bufferAfter"]) == ("visit", 45, 10)
    assert "bufferBefore" not in told
    assert told["resources"] == ["lee", "room"]
    change = booking.history[0].to_change().model_dump(exclude_none=True)
    assert (change["service"], change["bufferAfter"]) == ("visit", 10)
    event = json.loads(booking.history[0].to_event(booking.id).body())
    assert (event["service"], event["bufferAfter"], "bufferBefore" in event) == ("visit", 10, False)


def test_row_without_a_service_has_none_of_its_fields() -> None:
    """A booking without a service is stored and answered as by earlier releases."""
    asked = command()
    span = Grid(5).slot_range(asked)
    booking = Booking.new(asked, span, Claims.of(asked, span), DIGESTS)
    for document in (
        booking.to_document(),
        booking.to_document()["history"][0],
        json.loads(booking.to_json()),
    ):
        assert not {"service", "bufferBefore", "bufferAfter", "begin"} & set(document)
    assert Booking.from_document(booking.to_document()) == booking


def test_request_without_a_service_has_the_digest_of_earlier_releases() -> None:
    """Stored keys keep their bookings; a service makes another request of it."""
    asked = json.dumps(["2031-05-05T09:00:00.000Z", None, ["lee"], "Ada"])
    assert DIGESTS.of_request(command()) == DIGESTS._digest("request", asked)
    with_check, with_visit = command(service="check"), command(service="visit")
    assert len({DIGESTS.of_request(each) for each in (command(), with_check, with_visit)}) == 3
    move = MoveRequest(slot=NINE)
    assert DIGESTS.of_move(move) == DIGESTS._digest("move", json.dumps([asked[2:26], None, None]))
    assert DIGESTS.of_move(move) != DIGESTS.of_move(MoveRequest(slot=NINE, service="check"))


def test_move_keeps_service_and_buffers() -> None:
    """A move of slot or duration claims the same buffers at the new place."""
    grid = Grid(5)
    booking = booked(grid, service="check")
    later = moved(booking, MoveRequest(slot=NINE + timedelta(hours=1)), MOVE, grid, NO_SCHEDULES)
    assert (later.service, later.duration) == (BookedService("check", 5, 0), 20)
    assert len(later.claims.keys) == 5
    assert later.to_document()["begin"] == NINE + timedelta(minutes=55)
    longer = moved(booking, MoveRequest(durationMinutes=30), MOVE, grid, NO_SCHEDULES)
    assert (longer.service, longer.duration) == (BookedService("check", 5, 0), 30)
    assert len(longer.claims.keys) == 7
    nothing = moved(booking, MoveRequest(durationMinutes=20), MOVE, grid, NO_SCHEDULES)
    assert nothing.version == booking.version


def test_move_to_another_service_takes_all_of_it() -> None:
    """A move with a service gets its duration, buffers and resources as the schedule has them now."""
    grid = Grid(5)
    booking = booked(grid, service="check")
    now = schedules(VISIT, {**CHECK, "bufferBefore": 15})
    visit = moved(booking, MoveRequest(service="visit"), MOVE, grid, now)
    assert (visit.service, visit.duration) == (BookedService("visit", 0, 10), 45)
    assert visit.resources == ("lee", "room")
    assert visit.to_document()["begin"] is None
    again = moved(booking, MoveRequest(service="check"), MOVE, grid, now)
    assert (again.version, again.service) == (2, BookedService("check", 15, 0))
    with pytest.raises(InvalidRequest, match="durationMinutes must be 45"):
        moved(booking, MoveRequest(service="visit", durationMinutes=30), MOVE, grid, now)
    with pytest.raises(InvalidRequest, match="service must be a service of one of the resources"):
        moved(booking, MoveRequest(service="visit"), MOVE, grid, NO_SCHEDULES)
