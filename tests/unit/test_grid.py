"""The grid: the cells that a booking touches."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract.commands import SlotRequest
from shared.contract.errors import InvalidRequest
from shared.domain.claim import Claims
from shared.domain.grid import Grid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_800_000
GRIDS = (0, 1, 5, 15, 60)


def request(slot: str | datetime = "2025-12-05T10:00:00Z", minutes: int | None = None) -> SlotRequest:
    return SlotRequest.model_validate({"slot": slot, "patientName": "Ada", "durationMinutes": minutes})


def at(unix_ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=unix_ms)


def test_every_instant_is_a_slot_without_a_grid() -> None:
    """With SLOT_MINUTES=0 a booking covers only its own instant."""
    span = Grid(0).slot_range(request("2025-12-05T10:00:00.001Z"))
    assert (span.duration, list(span.cells)) == (None, [1764928800001])


def test_duration_is_refused_without_a_grid() -> None:
    """With SLOT_MINUTES=0 a duration has no meaning."""
    with pytest.raises(InvalidRequest, match="durationMinutes"):
        Grid(0).slot_range(request(minutes=15))


def test_booking_touches_every_cell_of_its_duration() -> None:
    """45 minutes on a grid of 15 touch three cells, so one insert also decides overlaps."""
    span = Grid(15).slot_range(request(minutes=45))
    assert [at(cell) for cell in span.cells] == [span.slot + timedelta(minutes=15 * n) for n in range(3)]


def test_slot_off_the_grid_touches_the_cells_around_it() -> None:
    """Two minutes from 10:04 on a grid of 5 touch the cells of 10:00 and 10:05; nothing is rounded."""
    span = Grid(5).slot_range(request("2025-12-05T10:04:00Z", minutes=2))
    assert (span.slot.minute, span.duration) == (4, 2)
    assert [at(cell).minute for cell in span.cells] == [0, 5]


def test_whole_number_may_be_written_with_a_point() -> None:
    """30.0 minutes are 30: JSON does not distinguish them, and some writers add the point."""
    sent = {"slot": "2025-12-05T10:00:00Z", "patientName": "Ada", "durationMinutes": 30.0}
    assert repr(SlotRequest.model_validate(sent).durationMinutes) == "30"


def test_default_duration_is_one_cell() -> None:
    """A booking without a duration lasts as long as one cell, wherever it begins."""
    for slot in ("2025-12-05T10:00:00Z", "2025-12-05T10:07:11.013Z"):
        assert Grid(30).slot_range(request(slot)).duration == 30


@given(
    grid=st.sampled_from(GRIDS[1:]),
    begin=st.integers(FIRST_MS, LAST_MS - 1441 * 60_000),
    minutes=st.integers(1, 1440) | st.none(),
)
def test_cells_are_exactly_the_touched_ones(grid: int, begin: int, minutes: int | None) -> None:
    """For any instant, before 1970 too, and any duration, the cells are those that the interval touches."""
    span = Grid(grid).slot_range(request(at(begin), minutes))
    cell, end = grid * 60_000, begin + (minutes or grid) * 60_000
    assert all(touched % cell == 0 for touched in span.cells)
    assert all(touched < end and touched + cell > begin for touched in span.cells)
    assert [*span.cells] == [span.cells[0] + number * cell for number in range(len(span.cells))]
    assert span.cells[0] <= begin < span.cells[0] + cell
    assert span.cells[-1] < end <= span.cells[-1] + cell


@given(
    grid=st.sampled_from(GRIDS),
    offsets=st.tuples(*[st.integers(-3 * 3600_000, 3 * 3600_000)] * 2),
    minutes=st.tuples(*[st.integers(1, 90)] * 2),
)
def test_overlapping_bookings_share_a_claim(
    grid: int, offsets: tuple[int, int], minutes: tuple[int, int]
) -> None:
    """Two bookings whose times overlap share a claim on any grid, around 1970 too."""
    asked = [
        request(at(offset), length if grid else None) for offset, length in zip(offsets, minutes, strict=True)
    ]
    one, other = (set(Claims.of(each, Grid(grid).slot_range(each)).keys) for each in asked)
    lasting = [length * 60_000 if grid else 1 for length in minutes]
    if offsets[0] < offsets[1] + lasting[1] and offsets[1] < offsets[0] + lasting[0]:
        assert one & other
    elif not grid:
        assert not one & other


@pytest.mark.parametrize(
    ("slot", "minutes"), [("9999-12-31T23:55:00Z", 5), ("9999-12-31T00:00:00.001Z", 1440)]
)
def test_booking_must_end_before_the_year_10000(slot: str, minutes: int) -> None:
    """An end in the year 10000 cannot be written: the refusal names both fields."""
    with pytest.raises(InvalidRequest, match="slot plus durationMinutes"):
        Grid(5).slot_range(request(slot, minutes))
    assert Grid(5).slot_range(request(slot, minutes - 1)).duration == minutes - 1
