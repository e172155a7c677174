"""The use case that lists the bookings outside the opening hours of their resource."""

import asyncio

from pydantic_core import to_json

from booking_worker.reads.cursors import cursor_after, read_cursor
from booking_worker.reads.lane import ReadingLane
from shared.contract.asked_at import unix_ms_now
from shared.contract.errors import NoSuchSchedule
from shared.contract.instants import unix_milliseconds
from shared.contract.schedules import ListConflicts
from shared.domain.grid import MINUTE_MS, YEAR_10000_MS
from shared.domain.schedule.free_starts import is_within
from shared.domain.schedule.opening_hours import OpeningHours, merged
from shared.domain.time_range import TimeRange
from shared.stores.mongo.schedules import ScheduleStore
from shared.stores.mongo.windows import WindowStore
from shared.worker.attempts import Attempt

PAGE_ROWS = 500
"""Bookings that one call looks at; as an answer they are at most as large as half of a NATS message."""

CHUNK_ROWS = 50
"""Bookings that are compared before the event loop runs other tasks."""


class ConflictReader:
    """Compares bookings with the schedule of a resource."""

    def __init__(self, store: ScheduleStore, windows: WindowStore) -> None:
        self._store = store
        self._windows = windows
        self._lane = ReadingLane()

    async def list(self, attempt: Attempt[ListConflicts]) -> str:
        """Return a page of bookings outside the opening hours: `AppointmentsFound` as JSON.

        Raises:
            NoSuchSchedule
            InvalidRequest: the cursor is invalid.
            Overloaded, NotExecuted: no turn to read came in time, or no answer of MongoDB.
        """
        command, deadline = attempt.command, attempt.deadline
        # Not from a cache: the caller may have changed the schedule just now.
        stored = await self._store.get_many(command.site, [command.resource], timeout=deadline.remaining)
        if not stored or stored[0].content is None:
            raise NoSuchSchedule
        hours = OpeningHours(stored[0].schedule)
        after = read_cursor(command.cursor)
        start = unix_milliseconds(command.from_) if command.from_ else unix_ms_now()
        time_range = TimeRange(command.site, (command.resource,), start, YEAR_10000_MS)
        async with self._lane.turn(deadline):
            page = await self._windows.appointments(
                time_range, after, limit=PAGE_ROWS, timeout=deadline.remaining
            )
        outside = []
        for number, (mark, row) in enumerate(page.entries, 1):
            end = mark.at + row.get("durationMinutes", 0) * MINUTE_MS
            if not is_within(merged(hours.openings(mark.at, max(end, mark.at + 1))), mark.at, end):
                outside.append(row)
            if number % CHUNK_ROWS == 0:
                await asyncio.sleep(0)
        more = {"next": cursor_after(page.entries[-1][0])} if page.more else {}
        return to_json({"appointments": outside, **more}).decode()
