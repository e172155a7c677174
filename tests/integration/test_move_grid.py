"""Moves on a grid: slots and durations, and the limits of a booking."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.contract.commands import MoveAppointment
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    InvalidRequest,
)
from tests.integration.test_moves import TEN, booked, free, soon
from tests.integration.use_cases import UseCases


async def test_on_a_grid_slot_and_duration_move_independently(grid_use_cases: UseCases) -> None:
    """Slot and duration move independently, and a booking may move to a span that overlaps its own."""
    body, booking = await booked(grid_use_cases, durationMinutes=45)
    for where, slot, minutes in (
        ({"slot": "2031-05-04T09:15:00Z"}, (9, 15), 45),
        ({"durationMinutes": 60}, (9, 15), 60),
        ({"slot": TEN, "durationMinutes": 15}, (10, 0), 15),
    ):
        moved = await grid_use_cases.bookings.move(
            MoveAppointment.model_validate({"id": booking.id, **where}), soon()
        )
        assert (moved.slot, moved.duration) == (datetime(2031, 5, 4, *slot, tzinfo=UTC), minutes)
        assert len(moved.claims.keys) == minutes // 15
    await grid_use_cases.bookings.book(free(body, durationMinutes=60), soon())


@pytest.mark.parametrize(
    ("where", "field"),
    [
        ({"slot": "9999-12-31T23:45:00Z"}, "slot"),
        ({"durationMinutes": 1440, "resources": [f"r{n}" for n in range(7)]}, "600"),
    ],
    ids=str,
)
async def test_a_move_to_a_span_that_cannot_be_booked_is_refused(
    grid_use_cases: UseCases, where: dict[str, Any], field: str
) -> None:
    """A move has the same limits as a booking, and the error names the field."""
    _, booking = await booked(grid_use_cases)
    with pytest.raises(InvalidRequest, match=field):
        await grid_use_cases.bookings.move(
            MoveAppointment.model_validate({"id": booking.id, **where}), soon()
        )


async def test_without_a_grid_a_move_has_no_duration(use_cases: UseCases) -> None:
    """On a grid of 0 a move with a duration is refused, as is a booking."""
    _, booking = await booked(use_cases)
    with pytest.raises(InvalidRequest, match="durationMinutes"):
        await use_cases.bookings.move(MoveAppointment(id=booking.id, durationMinutes=15), soon())


async def test_moves_of_large_bookings_are_split_into_batches(grid_use_cases: UseCases) -> None:
    """Twelve simultaneous moves of 576 claims, more than one batch takes, all succeed."""
    large = {"durationMinutes": 24 * 60, "resources": [f"r{n}" for n in range(6)]}
    bookings = [(await booked(grid_use_cases, **large))[1] for _ in range(12)]
    moves = [MoveAppointment.model_validate({"id": booking.id, "slot": TEN}) for booking in bookings]
    moved = await asyncio.gather(*(grid_use_cases.bookings.move(move, Deadline.after(20)) for move in moves))
    assert {len(booking.claims.keys) for booking in moved} == {576}
