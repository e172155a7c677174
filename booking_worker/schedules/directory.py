"""The use cases that store and read schedules. Independent of the transport."""

from collections.abc import Callable
from dataclasses import replace

from pydantic_core import to_json

from booking_worker.reads.cursors import cursor_after, read_cursor
from shared.contract.errors import Changing, NoSuchSchedule, PreconditionFailed
from shared.contract.schedule_replies import ResourceSchedule, SitesFound
from shared.contract.schedules import DeleteSchedule, GetSchedule, ListSchedules, ListSites, PutSchedule
from shared.domain.schedule.opening_hours import OpeningHours
from shared.domain.time_range import PagePosition
from shared.stores.mongo.schedules import ScheduleStore, StoredSchedule
from shared.worker.attempts import Attempt

MOST_TRIES = 5
PAGE_SCHEDULES = 30
"""Each is at most as large as a request, and a page half as large as the largest NATS message."""
CHANGED = "The schedule was changed or deleted since the version in If-Match (ifVersion)"
PAGE_SITES = 1000
Change = Callable[[StoredSchedule | None], StoredSchedule]


class ScheduleDirectory:
    """Stores and reads the schedules of resources."""

    def __init__(self, store: ScheduleStore) -> None:
        self._store = store

    async def put(self, attempt: Attempt[PutSchedule]) -> ResourceSchedule:
        """Create or replace a schedule. A schedule that is stored already stays as it is.

        Raises:
            InvalidRequest: it names an unknown time zone, country or part of a country.
            PreconditionFailed: the schedule has another version than the command requires.
            NotExecuted, OutcomeUnknown: as `_change`.
        """
        command = attempt.command
        schedule = command.schedule
        OpeningHours(schedule)  # checks the names
        content = schedule.model_dump(mode="json", by_alias=True, exclude_none=True)

        def put(before: StoredSchedule | None) -> StoredSchedule:
            version = before.version if before else 0
            is_stored = before is not None and before.content == content
            if command.ifVersion is not None and command.ifVersion != version:
                if is_stored and command.ifVersion == version - 1:  # a retry
                    return StoredSchedule(command.site, command.resource, version, content)
                raise PreconditionFailed(CHANGED)
            changed = version if is_stored else version + 1
            return StoredSchedule(command.site, command.resource, changed, content)

        return to_reply(await self._change(attempt, put))

    async def delete(self, attempt: Attempt[DeleteSchedule]) -> None:
        """Delete a schedule.

        Raises:
            NoSuchSchedule: the resource has none; for a retry with a version, only if it never had one.
            PreconditionFailed: the schedule has another version than the command requires.
            NotExecuted, OutcomeUnknown: as `_change`.
        """
        required = attempt.command.ifVersion

        def delete(before: StoredSchedule | None) -> StoredSchedule:
            if before is None or (before.content is None and required != before.version - 1):
                raise NoSuchSchedule
            if before.content is None:  # deleted at exactly that version
                return before
            if required not in (None, before.version):
                raise PreconditionFailed(CHANGED)
            return replace(before, version=before.version + 1, content=None)

        await self._change(attempt, delete)

    async def get(self, attempt: Attempt[GetSchedule]) -> ResourceSchedule:
        """Return the schedule of a resource.

        Raises:
            NoSuchSchedule
            NotExecuted: MongoDB did not answer in time.
        """
        command, timeout = attempt.command, attempt.deadline.remaining
        found = await self._store.get_many(command.site, [command.resource], timeout=timeout)
        if not found or found[0].content is None:
            raise NoSuchSchedule
        return to_reply(found[0])

    async def list(self, attempt: Attempt[ListSchedules]) -> str:
        """Return a page of the schedules of a site: `SchedulesFound` as JSON.

        Raises:
            InvalidRequest: the cursor is invalid.
            NotExecuted: MongoDB did not answer in time.
        """
        after = read_cursor(attempt.command.cursor)
        found = await self._store.page(
            attempt.command.site,
            after.name if after else "",
            PAGE_SCHEDULES + 1,
            timeout=attempt.deadline.remaining,
        )
        page = {"schedules": [to_reply(one) for one in found[:PAGE_SCHEDULES]]}
        more = len(found) > PAGE_SCHEDULES
        cursor = {"next": cursor_after(PagePosition(0, found[PAGE_SCHEDULES - 1].resource))} if more else {}
        return to_json({**page, **cursor}, by_alias=True, exclude_none=True).decode()

    async def sites(self, attempt: Attempt[ListSites]) -> SitesFound:
        """Return a page of the sites that have a schedule and that the caller may use.

        Raises:
            InvalidRequest: the cursor is invalid.
            NotExecuted: MongoDB did not answer in time.
        """
        after = read_cursor(attempt.command.cursor)
        found = await self._store.sites(
            after.name if after else "",
            attempt.caller.sites,
            PAGE_SITES + 1,
            timeout=attempt.deadline.remaining,
        )
        more = len(found) > PAGE_SITES
        cursor = cursor_after(PagePosition(0, found[PAGE_SITES - 1])) if more else None
        return SitesFound(sites=found[:PAGE_SITES], next=cursor)

    async def _change(
        self, attempt: Attempt[PutSchedule] | Attempt[DeleteSchedule], change: Change
    ) -> StoredSchedule:
        """Write what `change` makes of the stored document, by compare-and-set.

        Raises:
            NotExecuted: MongoDB did not answer in time, or other commands changed the document.
            OutcomeUnknown: the write may have been executed.
        """
        place, deadline = attempt.command, attempt.deadline
        for _ in range(MOST_TRIES):
            deadline.check()
            before = await self._store.find_latest(place.site, place.resource, timeout=deadline.remaining)
            after = change(before)
            written = await self._store.write(before, after, timeout=deadline.remaining)
            if written is not None:
                return written
        raise Changing


def to_reply(stored: StoredSchedule) -> ResourceSchedule:
    """Return the schedule that callers see."""
    return ResourceSchedule(
        **(stored.content or {}), site=stored.site, resource=stored.resource, version=stored.version
    )
