"""The use case that reads when the resources of a site are open."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic_core import to_json

from booking_worker.reads.cursors import cursor_after, read_cursor
from booking_worker.schedules.directory import PAGE_SCHEDULES
from shared.contract.instants import EPOCH, unix_milliseconds
from shared.contract.schedule_replies import Opening
from shared.contract.schedules import ListOpenings
from shared.domain.schedule.opening_hours import OpeningHours
from shared.domain.time_range import PagePosition
from shared.stores.mongo.schedules import ScheduleStore, StoredSchedule
from shared.worker.attempts import Attempt

LARGEST_PAGE = 1000
"""Openings after which a page takes no further resource."""


class OpeningReader:
    """Reads the opening hours of resources as instants."""

    def __init__(self, store: ScheduleStore) -> None:
        self._store = store

    async def list(self, attempt: Attempt[ListOpenings]) -> str:
        """Return a page of openings, by resource and time: `OpeningsFound` as JSON.

        Raises:
            InvalidRequest: the cursor is invalid.
            NotExecuted: MongoDB did not answer in time.
        """
        command = attempt.command
        start, end = unix_milliseconds(command.from_), unix_milliseconds(command.to)
        after = read_cursor(command.cursor)
        # Not from a cache: the caller may have changed the schedule just now.
        stored = await self._schedules(attempt, after.name if after else "")
        found: list[Opening] = []
        last = None
        for number, one in enumerate(stored):
            if number == PAGE_SCHEDULES or len(found) >= LARGEST_PAGE:
                last = stored[number - 1].resource
                break
            found += [
                Opening(resource=one.resource, from_=_instant(begin), to=_instant(close))
                for begin, close in OpeningHours(one.schedule).openings(start, end)
            ]
        more = {"next": cursor_after(PagePosition(0, last))} if last else {}
        return to_json({"site": command.site, "open": found, **more}, by_alias=True).decode()

    async def _schedules(self, attempt: Attempt[ListOpenings], after: str) -> Sequence[StoredSchedule]:
        command, timeout = attempt.command, attempt.deadline.remaining
        if command.resource is None:
            return await self._store.page(command.site, after, PAGE_SCHEDULES + 1, timeout=timeout)
        names = [name for name in command.resource if name > after]
        found = await self._store.get_many(command.site, names, timeout=timeout)
        return [one for one in found if one.content is not None]


def _instant(at: int) -> datetime:
    return EPOCH + timedelta(milliseconds=at)
