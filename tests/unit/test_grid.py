"""The grid: which instants a booking covers."""

from datetime import timedelta

import pytest

from shared.contract.commands import SlotRequest
from shared.contract.errors import InvalidRequest
from shared.domain.grid import Grid


def request(slot: str = "2025-12-05T10:00:00Z", minutes: int | None = None) -> SlotRequest:
    return SlotRequest.model_validate({"slot": slot, "patientName": "Ada", "durationMinutes": minutes})


def test_without_a_grid_every_instant_is_a_slot() -> None:
    """With SLOT_MINUTES 0 a booking covers its own instant alone."""
    span = Grid(0).span_of(request("2025-12-05T10:00:00.001Z"))
    assert (span.duration, len(span.instants)) == (None, 1)


def test_without_a_grid_durations_are_refused() -> None:
    """With SLOT_MINUTES 0 there is nothing that a duration could mean."""
    with pytest.raises(InvalidRequest, match="durationMinutes"):
        Grid(0).span_of(request(minutes=15))


def test_a_booking_covers_every_step_it_lasts() -> None:
    """45 minutes on a grid of 15 cover three instants, so that one insert decides overlaps too."""
    span = Grid(15).span_of(request(minutes=45))
    assert span.instants == tuple(span.slot + timedelta(minutes=15 * n) for n in range(3))


def test_a_whole_number_may_be_written_with_a_point() -> None:
    """30.0 minutes are 30: to JSON they are the same number, and some write every number so."""
    sent = {"slot": "2025-12-05T10:00:00Z", "patientName": "Ada", "durationMinutes": 30.0}
    assert repr(SlotRequest.model_validate(sent).durationMinutes) == "30"


def test_one_step_is_the_default() -> None:
    """A booking without a duration lasts one step."""
    assert Grid(30).span_of(request()).duration == 30


@pytest.mark.parametrize(("slot", "minutes"), [("2025-12-05T10:07:00Z", 15), ("2025-12-05T10:00:00Z", 20)])
def test_what_is_off_the_grid_is_refused(slot: str, minutes: int) -> None:
    """Slots lie on the grid, and durations are multiples of its step."""
    with pytest.raises(InvalidRequest, match="slot|durationMinutes"):
        Grid(15).span_of(request(slot, minutes))
