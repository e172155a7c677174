"""Keep the schedules of sites in the memory of a worker, for at most a second after they were read."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog

from shared.contract.errors import NotExecuted, Refused
from shared.domain.schedule.opening_hours import OpeningHours
from shared.domain.schedule.site import SiteSchedules
from shared.stores.mongo.schedules import ScheduleStore

FRESH_SECONDS, LOOK_SECONDS = 1.0, 0.5
"""A change is in force within 2 s: both, and the reads."""
MOST_SITES = 1000

log = structlog.get_logger()


@dataclass(frozen=True)
class _Entry:
    read_at: float
    versions: Mapping[str, int]
    schedules: SiteSchedules


class ScheduleCache:
    """Reads the schedules of a site again once they are older than `FRESH_SECONDS`.

    It reads their versions, and then only the schedules that have changed.
    """

    def __init__(self, store: ScheduleStore) -> None:
        self._store = store
        self._entries: dict[str, _Entry] = {}
        self._reads: dict[str, asyncio.Task[_Entry]] = {}
        self.any_enforced = True
        """Whether any site may have an enforced schedule, so that bookings of all sites have to look."""

    async def of_site(self, site: str, *, timeout: float) -> SiteSchedules:
        """Return the schedules of a site. Concurrent callers share a read.

        Raises:
            NoPrimary, NotExecuted: MongoDB did not answer in time.
        """
        entry = self._entries.get(site)
        if entry is not None and self._now() - entry.read_at < FRESH_SECONDS:
            return entry.schedules
        read = self._reads.get(site)
        if read is None:
            read = self._reads[site] = asyncio.create_task(self._read(site, entry, timeout))
            read.add_done_callback(lambda done: self._finish(site, done))
        return (await asyncio.shield(read)).schedules

    async def of_commands(
        self, sites: Collection[str], with_service: Collection[str], *, timeout: float
    ) -> dict[str, SiteSchedules]:
        """Return the schedules by which commands are judged. Most commands need none.

        Args:
            sites: the sites of all commands. If any schedule is enforced, their schedules are read.
            with_service: the sites of the commands with a service, whose schedules are always read.
            timeout: in seconds.

        Raises:
            NoPrimary, NotExecuted: MongoDB did not answer in time.
        """
        wanted = sites if self.any_enforced else with_service
        return {site: await self.of_site(site, timeout=timeout) for site in wanted}

    async def watch(self) -> None:
        """Keep `any_enforced` up to date; while MongoDB does not answer, it keeps its value."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Read whether any schedule is enforced."""
        with suppress(NotExecuted):
            self.any_enforced = await self._store.has_enforced(timeout=FRESH_SECONDS)

    async def _read(self, site: str, before: _Entry | None, timeout: float) -> _Entry:
        read_at = self._now()  # before the read, so that a change after it is not overlooked for longer
        versions = await self._store.versions(site, timeout=timeout)
        if before is not None and versions == before.versions:
            return _Entry(read_at, versions, before.schedules)
        known = dict(before.schedules.by_resource) if before else {}
        old = before.versions if before else {}
        changed = [name for name, version in versions.items() if old.get(name) != version]
        for stored in await self._store.get_many(site, changed, timeout=timeout):
            versions[stored.resource] = stored.version
            known.pop(stored.resource, None)
            if stored.content is not None:
                try:
                    known[stored.resource] = OpeningHours(stored.schedule)
                except (Refused, ValueError):
                    log.warning("schedule_unreadable", site=site, resource=stored.resource)
        return _Entry(read_at, versions, SiteSchedules(known))

    def _finish(self, site: str, read: "asyncio.Task[_Entry]") -> None:
        del self._reads[site]
        if not read.cancelled() and read.exception() is None:
            self._entries.pop(site, None)
            self._entries[site] = read.result()  # at the end: the oldest are first
            if len(self._entries) > MOST_SITES:
                del self._entries[next(iter(self._entries))]

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
