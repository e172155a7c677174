"""The use cases that find free slots, with one read of bookings and one of holds for a window.

A window with more than `MOST_TAKEN` booked entries takes several reads of bookings.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from booking_worker.reads.cursors import cursor_after, read_cursor
from booking_worker.reads.lane import ReadingLane
from booking_worker.schedules.wants import Want, wants_of
from shared.contract.asked_at import unix_ms_now
from shared.contract.deadline import Deadline
from shared.contract.errors import HoldsUnreachable, Overloaded
from shared.contract.instants import EPOCH, format_instant, unix_milliseconds
from shared.contract.schedules import FindFreeSlots, FindNextFree
from shared.domain.grid import MINUTE_MS, Grid
from shared.domain.schedule.free_starts import free_starts
from shared.domain.schedule.opening_hours import Span
from shared.domain.schedule.zones import DAY_MS
from shared.domain.time_range import Cells, PagePosition, TimeRange
from shared.stores.mongo.schedule_cache import ScheduleCache
from shared.stores.mongo.windows import WindowStore
from shared.stores.redis.hold_index import HoldIndex
from shared.worker.attempts import Attempt

LARGEST_PAGE = 1000
MOST_TAKEN = 4000
"""Booked entries that are read at once."""
MOST_HELD = 100_000
SEARCHED_MS = 31 * DAY_MS
"""The next free slot is searched in windows of this length."""
SEARCHED_WINDOWS = 12
_NAME = "-"  # cursors have a name, which free slots do not need


Holds = Literal["known", "unknown"]
Starts = list[tuple[int, Want]]
"""Free starts (Unix ms), in order."""


class FreeSlotFinder:
    """Finds free slots."""

    def __init__(self, schedules: ScheduleCache, windows: WindowStore, held: HoldIndex, grid: Grid) -> None:
        self._schedules = schedules
        self._windows = windows
        self._held = held
        self._grid = grid
        self._lane, self._held_lane = ReadingLane(), ReadingLane()

    async def free_slots(self, attempt: Attempt[FindFreeSlots]) -> str:
        """Return a page of free slots in a window: `FreeSlotsFound` as JSON.

        Raises:
            NoSuchSchedule: no schedule says when the resources are open.
            InvalidRequest: the service, the duration or the cursor is wrong.
            Overloaded, NotExecuted: no turn to read came in time, or no answer of MongoDB.
        """
        command = attempt.command
        after = read_cursor(command.cursor)
        start, end = unix_milliseconds(command.from_), unix_milliseconds(command.to)
        if after is not None:
            start = max(start, after.at + 1)
        wants = await self._wants(attempt)
        starts, holds = await self._find(
            command.site, wants, (start, end), attempt.deadline, most=LARGEST_PAGE + 1
        )
        entries = _by_slot(starts)
        last = entries[LARGEST_PAGE - 1][0] if len(entries) > LARGEST_PAGE else None
        page = [entry for entry in entries if last is None or entry[0] <= last]
        return _to_json(command.site, page, holds, last)

    async def next_free(self, attempt: Attempt[FindNextFree]) -> str:
        """Return the first free slot, or none: `FreeSlotsFound` as JSON.

        Raises:
            As `free_slots`.
        """
        command, now = attempt.command, unix_ms_now()
        wants = await self._wants(attempt)
        start = max(unix_milliseconds(command.from_), now) if command.from_ else now
        holds: Holds = "known"
        for begin in range(start, start + SEARCHED_WINDOWS * SEARCHED_MS, SEARCHED_MS):
            span = begin, begin + SEARCHED_MS
            starts, holds = await self._find(command.site, wants, span, attempt.deadline, most=1)
            if starts:
                return _to_json(command.site, _by_slot(starts)[:1], holds, None)
        return _to_json(command.site, [], holds, None)

    async def _wants(self, attempt: Attempt[FindFreeSlots] | Attempt[FindNextFree]) -> list[Want]:
        site = await self._schedules.of_site(attempt.command.site, timeout=attempt.deadline.remaining)
        return wants_of(attempt.command, site, self._grid)

    async def _find(
        self, site: str, wants: Sequence[Want], span: Span, deadline: Deadline, *, most: int
    ) -> tuple[Starts, Holds]:
        """Return the first free starts of each want in a span, and whether the holds are known."""
        now = unix_ms_now()
        offered = [want.starts(span, now) for want in wants]
        all_starts = [at for starts in offered for at in starts]
        if not all_starts:
            return [], "known"
        before = max(want.need.before for want in wants) * MINUTE_MS
        after = max(want.need.minutes + want.need.after for want in wants) * MINUTE_MS + 1
        resources = tuple(sorted({name for want in wants for name in want.need.resources}))
        time_range = TimeRange(site, resources, min(all_starts) - before, max(all_starts) + after)
        # Holds first, so that a hold that is used up between the two reads is seen as its booking.
        held, holds = await self._read_held(time_range, deadline)
        spans: dict[str, list[Span]] = {}
        for cells in (*held, *await self._read_booked(time_range, deadline)):
            end = cells.at + ((cells.minutes or 0) * MINUTE_MS or self._grid.cell_ms)
            spans.setdefault(cells.resource, []).append((cells.at, end))
        free: Starts = []
        for starts, want in zip(offered, wants, strict=True):
            taken = [span for name in want.need.resources for span in spans.get(name, ())]
            free += [(at, want) for at in free_starts(starts, taken, want.need, self._grid, most=most)]
        return sorted(free, key=lambda pair: (pair[0], pair[1].need.minutes)), holds

    async def _read_booked(self, time_range: TimeRange, deadline: Deadline) -> list[Cells]:
        booked: list[Cells] = []
        after: PagePosition | None = None
        while True:
            async with self._lane.turn(deadline):
                page = await self._windows.taken(
                    time_range, after, limit=MOST_TAKEN, timeout=deadline.remaining
                )
            booked += [cells for _, cells in page.entries]
            if not page.more:
                return booked
            after = page.entries[-1][0]

    async def _read_held(self, time_range: TimeRange, deadline: Deadline) -> tuple[Sequence[Cells], Holds]:
        try:
            async with self._held_lane.turn(deadline):
                held = await self._held.held(time_range, None, limit=MOST_HELD, deadline=deadline)
        except (HoldsUnreachable, Overloaded):
            return (), "unknown"
        return held, "known"


Entry = tuple[int, int, list[Want]]
"""A slot (Unix ms), minutes, and the wants that are free then."""


def _by_slot(starts: Starts) -> list[Entry]:
    """Join the free starts of one slot and duration."""
    joined: list[Entry] = []
    for at, want in starts:
        if joined and joined[-1][:2] == (at, want.need.minutes):
            joined[-1][2].append(want)
        else:
            joined.append((at, want.need.minutes, [want]))
    return joined


def _to_json(site: str, page: Sequence[Entry], holds: Holds, last: int | None) -> str:
    """Return a page as JSON; the next one begins after `last` (Unix ms), if it is not None.

    The names of sites and resources need no escaping.
    """
    rows = []
    for at, minutes, wants in page:
        slot = EPOCH + timedelta(milliseconds=at)
        local = slot.astimezone(wants[0].zone).isoformat()
        lasting = f'"durationMinutes":{minutes},' if minutes else ""
        names = wants[0].names if len(wants) == 1 else sorted({name for want in wants for name in want.names})
        resources = '","'.join(names)
        rows.append(
            f'{{"slot":"{format_instant(slot)}","local":"{local}",{lasting}"resources":["{resources}"]}}'
        )
    unknown = ',"holds":"unknown"' if holds == "unknown" else ""
    following = "" if last is None else f',"next":"{cursor_after(PagePosition(last, _NAME))}"'
    return f'{{"site":"{site}","free":[{",".join(rows)}]{unknown}{following}}}'
