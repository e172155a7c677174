"""The use cases that read bookings. Independent of the transport."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from pydantic_core import to_json

from booking_worker.reads.cursors import cursor_after, read_cursor
from booking_worker.reads.lane import ReadingLane
from shared.contract.commands import AskGrid, GetAppointment, Window
from shared.contract.deadline import Deadline
from shared.contract.errors import HoldsUnreachable, NoSuchAppointment, Overloaded
from shared.contract.fields import DAY_MINUTES, MOST_RESOURCES, is_uuid
from shared.contract.instants import EPOCH, format_instant, unix_milliseconds
from shared.contract.replies import GridFound
from shared.domain.booking import Booking
from shared.domain.claim import MOST_CLAIMS
from shared.domain.grid import Grid
from shared.domain.time_range import Cells, PagePosition, TimeRange
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.windows import WindowStore
from shared.stores.redis.hold_index import HoldIndex
from shared.worker.attempts import Attempt
from shared.worker.batcher import Batcher

LARGEST_PAGE = 1000
LARGEST_PAGE_BYTES = 512 * 1024
"""Half of the largest NATS message."""
CHUNK_ROWS = 100
"""Rows that are serialised before the event loop runs other tasks."""


@dataclass(frozen=True)
class _Read:
    id: str
    deadline: Deadline
    weight: int = 1


class ReadService:
    """Reads majority-committed rows."""

    def __init__(self, bookings: BookingStore, windows: WindowStore, held: HoldIndex, grid: Grid) -> None:
        self._bookings = bookings
        self._windows = windows
        self._held = held
        self._grid = grid
        self._reads = Batcher(self._get_many, "get")
        self._lane, self._held_lane = ReadingLane(), ReadingLane()

    async def get(self, attempts: Sequence[Attempt[GetAppointment]]) -> list[Booking | Exception]:
        """Read bookings by id, in batches together with the attempts of other messages.

        Returns:
            One booking or refusal per attempt, in order: NoSuchAppointment, or NotExecuted or OutcomeUnknown
            if MongoDB did not answer in time.
        """
        outcomes: list[Booking | Exception] = [NoSuchAppointment() for _ in attempts]
        known = [number for number, attempt in enumerate(attempts) if is_uuid(attempt.command.id)]
        reads = [_Read(attempts[number].command.id.lower(), attempts[number].deadline) for number in known]
        for number, found in zip(known, await self._reads.submit(reads), strict=True):
            is_hidden = isinstance(found, Booking) and not attempts[number].caller.may_use(found.site)
            outcomes[number] = outcomes[number] if found is None or is_hidden else found
        return outcomes

    async def list_appointments(self, attempt: Attempt[Window]) -> str:
        """Return a page of the bookings that overlap a window, by slot and id: `AppointmentsFound` as JSON.

        Raises:
            InvalidRequest: the cursor is invalid.
            Overloaded, NotExecuted: no turn to read came in time, or no answer of MongoDB.
        """
        window, deadline = attempt.command, attempt.deadline
        time_range, after = _time_range(window), read_cursor(window.cursor)
        async with self._lane.turn(deadline):
            page = await self._windows.appointments(
                time_range, after, limit=LARGEST_PAGE, timeout=deadline.remaining
            )
            rows, size = list[bytes](), 0
            for _, row in page.entries:
                rows.append(to_json(row))
                size += len(rows[-1]) + 1
                if size > LARGEST_PAGE_BYTES:
                    rows.pop()
                    break
                if len(rows) % CHUNK_ROWS == 0:
                    await asyncio.sleep(0)
            marks = [mark for mark, _ in page.entries[: len(rows)]]
            return _page_json(
                b'{"appointments":[', rows, {"next": _next(marks, page.more or len(rows) < len(page.entries))}
            )

    async def list_slots(self, attempt: Attempt[Window]) -> str:
        """Return a page of booked and held cells in a window, by cell and resource: `SlotsFound` as JSON.

        The page has no names. A cell that is booked and held counts as booked. If Redis does not answer, the
        page has the booked cells only.

        Raises:
            InvalidRequest: the cursor is invalid.
            Overloaded, NotExecuted: no turn to read came in time, or no answer of MongoDB.
        """
        window, deadline = attempt.command, attempt.deadline
        time_range, after = _time_range(window), read_cursor(window.cursor)
        # Holds first, so that a hold that is used up between the two reads appears as its booking.
        held, holds = await self._list_held(time_range, after, deadline)
        async with self._lane.turn(deadline):
            page = await self._windows.taken(
                time_range, after, limit=LARGEST_PAGE, timeout=deadline.remaining
            )
            # Held cells after the last booked cell of this page belong to a later page.
            last = page.entries[-1][0] if page.more else None
            taken = {
                cells.position: (cells, "held") for cells in held if last is None or cells.position <= last
            }
            taken |= {position: (cells, "booked") for position, cells in page.entries}
            marks = sorted(taken)
            rows = list[bytes]()
            for mark in marks[:LARGEST_PAGE]:
                rows.append(_taken_json(*taken[mark]))
                if len(rows) % CHUNK_ROWS == 0:
                    await asyncio.sleep(0)
            more = page.more or len(taken) > LARGEST_PAGE
            asked = window.model_dump_json(include={"site", "from_", "to"}).encode()
            rest = {"holds": holds, "next": _next(marks[:LARGEST_PAGE], more)}
            return _page_json(asked[:-1] + b',"taken":[', rows, rest)

    async def grid(self, _: Attempt[AskGrid]) -> GridFound:
        """Return the width of a cell, and the limits of one booking."""
        return GridFound(
            slotMinutes=self._grid.minutes,
            longestMinutes=DAY_MINUTES if self._grid.minutes else None,
            mostResources=MOST_RESOURCES,
            mostClaims=MOST_CLAIMS,
        )

    async def _list_held(
        self, time_range: TimeRange, after: PagePosition | None, deadline: Deadline
    ) -> tuple[Sequence[Cells], Literal["known", "unknown"]]:
        """Return held cells after a position, one more than a page has, and whether the holds are known."""
        try:
            async with self._held_lane.turn(deadline):
                held = await self._held.held(time_range, after, limit=LARGEST_PAGE + 1, deadline=deadline)
        except (HoldsUnreachable, Overloaded):
            return (), "unknown"
        return held, "known"

    async def _get_many(self, reads: Sequence[_Read], deadline: Deadline) -> list[Booking | None]:
        found = await self._bookings.get_many({read.id for read in reads}, timeout=deadline.remaining)
        return [found.get(read.id) for read in reads]


def _time_range(window: Window) -> TimeRange:
    start, end = unix_milliseconds(window.from_), unix_milliseconds(window.to)
    return TimeRange(window.site, window.resource, start, end)


def _next(marks: Sequence[PagePosition], more: bool) -> str | None:
    """Return the cursor of the next page; None if this is the last."""
    return cursor_after(marks[-1]) if more else None


def _taken_json(cells: Cells, state: str) -> bytes:
    """Return a `TakenSlot` as JSON; the characters of a resource need no escaping."""
    slot = format_instant(EPOCH + timedelta(milliseconds=cells.at))
    duration = "" if cells.minutes is None else f'"durationMinutes":{cells.minutes},'
    return f'{{"resource":"{cells.resource}","slot":"{slot}",{duration}"state":"{state}"}}'.encode()


def _page_json(head: bytes, rows: Sequence[bytes], rest: dict[str, str | None]) -> str:
    """Return a page as JSON; `head` opens the array of its rows, `rest` are the fields after it."""
    fields = {name: value for name, value in rest.items() if value is not None}
    tail = b"," + to_json(fields)[1:] if fields else b"}"
    return (head + b",".join(rows) + b"]" + tail).decode()
