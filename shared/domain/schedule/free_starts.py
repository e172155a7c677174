"""Compute the starts that a schedule offers, why it does not offer a slot, and which starts are free.

Starts are counted from each opening. A booking has to lie within opening hours without a gap; its buffers
may lie outside of them.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import timedelta
from math import inf

from shared.contract.errors import Reason
from shared.domain.grid import MINUTE_MS, Grid
from shared.domain.schedule.opening_hours import OpeningHours, Span, merged
from shared.domain.schedule.services import Need
from shared.domain.schedule.zones import first_instant, local_time


def why_not_offered(hours: OpeningHours | None, slot: int, minutes: int, now: int) -> Reason | None:
    """Return why a schedule does not offer a slot, or None if it offers the slot.

    Args:
        hours: the schedule of the resource; None if it has none.
        slot: the begin of the booking (Unix ms).
        minutes: its duration; 0 on a grid of 0.
        now: the time of the request (Unix ms).
    """
    if hours is None:
        return "unknown_resource"
    end = slot + minutes * MINUTE_MS
    openings = hours.openings(slot, max(end, slot + 1))
    if not is_within(merged(openings), slot, end):
        return "closed"
    if slot < _earliest(hours, now):
        return "too_soon"
    latest = _latest(hours, now)
    if latest is not None and slot >= latest:
        return "too_far"
    step = hours.schedule.stepMinutes * MINUTE_MS
    if not any(begin <= slot < close and (slot - begin) % step == 0 for begin, close in openings):
        return "not_a_start"
    return None


def is_within(openings: Sequence[Span], begin: int, end: int) -> bool:
    """Return whether a booking lies within one of `openings`, which are merged; `end` may equal `begin`."""
    number = bisect_right(openings, (begin, inf)) - 1
    return number >= 0 and begin < openings[number][1] and end <= openings[number][1]


def offered_starts(hours: OpeningHours, span: Span, minutes: int, now: int) -> list[int]:
    """Return the starts in a span (Unix ms) that a schedule offers for bookings of `minutes`, in order."""
    start, end = max(span[0], _earliest(hours, now)), span[1]
    if (latest := _latest(hours, now)) is not None:
        end = min(end, latest)
    if start >= end:
        return []
    duration, step = minutes * MINUTE_MS, hours.schedule.stepMinutes * MINUTE_MS
    openings = hours.openings(start, end + duration)
    joined = iter(merged(openings))
    found: list[int] = []
    begin_of_day = close_of_day = 0
    for begin, close in openings:
        while not begin_of_day <= begin < close_of_day:
            begin_of_day, close_of_day = next(joined)
        first = begin if begin >= start else begin + -(-(start - begin) // step) * step
        found += range(first, min(close, end, close_of_day - duration + 1), step)
    return found


def free_starts(
    starts: Iterable[int], taken: Iterable[Span], need: Need, grid: Grid, *, most: int | None = None
) -> list[int]:
    """Return the first starts, at most `most`, at which no cell of a booking is taken.

    Args:
        starts: starts (Unix ms) in order.
        taken: the booked and held cells of all resources of the booking.
        need: the booking's duration and buffers.
        grid: the grid.
    """
    before, after = need.before * MINUTE_MS, (need.minutes + need.after) * MINUTE_MS
    busy = merged(taken)
    position, free = 0, []
    for at in starts:
        first, end = grid.cells_of(at - before, max(at + after, at + 1))
        while position < len(busy) and busy[position][1] <= first:
            position += 1
        if position == len(busy) or busy[position][0] >= end:
            free.append(at)
            if len(free) == most:
                break
    return free


def common_starts(starts: Sequence[Sequence[int]]) -> list[int]:
    """Return the starts that are in all of the sequences, in order."""
    one, *others = starts
    return sorted(set(one).intersection(*others)) if others else list(one)


def _earliest(hours: OpeningHours, now: int) -> int:
    return now + hours.schedule.leadMinutes * MINUTE_MS


def _latest(hours: OpeningHours, now: int) -> int | None:
    """Return the instant from which on slots are too far ahead: the begin of a local day."""
    if hours.schedule.horizonDays is None:
        return None
    day = local_time(hours.zone, now).date() + timedelta(days=hours.schedule.horizonDays + 1)
    return first_instant(hours.zone, day)
