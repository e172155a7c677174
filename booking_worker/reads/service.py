"""Use cases of bookings that only read. Knows no transport."""

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
"""Half of what one message of NATS carries."""
CHUNK_ROWS = 100
"""After so many rows, others have their turn."""


@dataclass(frozen=True)
class _Read:
    id: str
    deadline: Deadline
    weight: int = 1


class ReadService:
    """Reads what a majority has."""

    def __init__(self, bookings: BookingStore, windows: WindowStore, held: HoldIndex, grid: Grid) -> None:
        self._bookings = bookings
        self._windows = windows
        self._held = held
        self._grid = grid
        self._reads = Batcher(self._get_many, "get")
        self._lane, self._held_lane = ReadingLane(), ReadingLane()

    async def get(self, attempts: Sequence[Attempt[GetAppointment]]) -> list[Booking | Exception]:
        """Read bookings, together with all that are asked for at once; one outcome each.

        Refusals: NoSuchAppointment, NotExecuted, OutcomeUnknown: the last two where no answer came in time.
        """
        outcomes: list[Booking | Exception] = [NoSuchAppointment() for _ in attempts]
        known = [number for number, each in enumerate(attempts) if is_uuid(each.command.id)]
        reads = [_Read(attempts[number].command.id.lower(), attempts[number].deadline) for number in known]
        for number, found in zip(known, await self._reads.submit(reads), strict=True):
            outcomes[number] = outcomes[number] if found is None else found
        return outcomes

    async def list_appointments(self, attempt: Attempt[Window]) -> str:
        """A page of the bookings that overlap a window, by slot and id: `AppointmentsFound`, as JSON.

        Raises:
            InvalidRequest: the cursor is none.
            Overloaded, NotExecuted: there was no turn, or no answer, in time.
        """
        window, deadline = attempt.command, attempt.deadline
        time_range, after = _stretch(window), read_cursor(window.cursor)
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
        """A page of what is booked or held in a window, in whole cells, by cell and resource, without names.

        `SlotsFound`, as JSON. What is both is booked. Where Redis does not answer, it has what is booked.

        Raises:
            InvalidRequest: the cursor is none.
            Overloaded, NotExecuted: there was no turn, or no answer, in time.
        """
        window, deadline = attempt.command, attempt.deadline
        time_range, after = _stretch(window), read_cursor(window.cursor)
        # Holds first: one that is used up between the reads is seen as the booking that it became.
        held, holds = await self._list_held(time_range, after, deadline)
        async with self._lane.turn(deadline):
            page = await self._windows.taken(
                time_range, after, limit=LARGEST_PAGE, timeout=deadline.remaining
            )
            # Of what is held, no more than lies before what is not read yet of what is booked.
            reach = page.entries[-1][0] if page.more else None
            taken = {
                each.position: (each, "held") for each in held if reach is None or each.position <= reach
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
        """How wide a cell is, and how much one booking may claim."""
        return GridFound(
            slotMinutes=self._grid.minutes,
            longestMinutes=DAY_MINUTES if self._grid.minutes else None,
            mostResources=MOST_RESOURCES,
            mostClaims=MOST_CLAIMS,
        )

    async def _list_held(
        self, time_range: TimeRange, after: PagePosition | None, deadline: Deadline
    ) -> tuple[Sequence[Cells], Literal["known", "unknown"]]:
        """The first of what is held after a mark, as many as reach beyond a page; and whether it is known."""
        try:
            async with self._held_lane.turn(deadline):
                held = await self._held.held(time_range, after, limit=LARGEST_PAGE + 1, deadline=deadline)
        except (HoldsUnreachable, Overloaded):
            return (), "unknown"
        return held, "known"

    async def _get_many(self, asked: Sequence[_Read], deadline: Deadline) -> list[Booking | None]:
        found = await self._bookings.get_many({each.id for each in asked}, timeout=deadline.remaining)
        return [found.get(each.id) for each in asked]


def _stretch(window: Window) -> TimeRange:
    start, end = unix_milliseconds(window.from_), unix_milliseconds(window.to)
    return TimeRange(window.site, window.resource, start, end)


def _next(marks: Sequence[PagePosition], more: bool) -> str | None:
    """The cursor of the page after this one."""
    return cursor_after(marks[-1]) if more else None


def _taken_json(cells: Cells, state: str) -> bytes:
    """A `TakenSlot`; a resource needs no escapes."""
    slot = format_instant(EPOCH + timedelta(milliseconds=cells.at))
    lasting = "" if cells.minutes is None else f'"durationMinutes":{cells.minutes},'
    return f'{{"resource":"{cells.resource}","slot":"{slot}",{lasting}"state":"{state}"}}'.encode()


def _page_json(head: bytes, rows: Sequence[bytes], rest: dict[str, str | None]) -> str:
    """The JSON of a page, whose `head` opens the array of its rows."""
    said = {name: value for name, value in rest.items() if value is not None}
    tail = b"," + to_json(said)[1:] if said else b"}"
    return (head + b",".join(rows) + b"]" + tail).decode()
