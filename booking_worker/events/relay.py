"""Follow the change stream of bookings, and publish an event for each change.

Any number of relays run, and one leads. The resume token is stored only after JetStream has acknowledged the
events before it, so a relay that dies loses no event: the next one publishes the last events again, with the
same ids. Each change contains its history entry, so the relay never reads the row.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import structlog
from prometheus_client import Gauge

from booking_worker.events.lag import Lag
from booking_worker.events.publisher import EventPublisher, Unpublished
from booking_worker.events.reconcile import Reconciliation
from shared.contract.audit import AuditedEvent
from shared.stores.mongo.answered import Unanswered
from shared.stores.mongo.change_stream import ChangeStream, HistoryLost, operation_time, oplog_began
from shared.stores.mongo.connection import Database
from shared.stores.mongo.relay_lease import (
    LEASE_SECONDS,
    RENEW_SECONDS,
    Leadership,
    Progress,
    RelayLease,
)

STANDBY_SECONDS = 0.5
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0
OPLOG_LOOK_SECONDS = 10.0
GATHER_SECONDS, LONGEST_GATHER_SECONDS = 0.002, 0.25
"""The pause before the next read, for each change of a batch: the more bookings, the larger the batches.

A change in a batch of a few costs the relay and MongoDB twice the CPU time of one in a batch of hundreds, and
that time is missing for bookings. A lone change is not delayed.
"""

LEADING = Gauge("booking_relay_leading", "1 while this relay leads, else 0")

log = structlog.get_logger()


class Deposed(Exception):
    """The lease has ended: another relay may lead."""


class StreamDeleted(Exception):
    """JetStream has no stream for the events."""


class Relay:
    """One relay process: it stands by, or leads."""

    def __init__(self, database: Database, publisher: EventPublisher, reconciliation: Reconciliation) -> None:
        self._database = database
        self._publisher = publisher
        self._reconciliation = reconciliation
        self._lease = RelayLease(database)
        self._valid_until = 0.0
        self._progress = Progress()
        self._lag = Lag()
        LEADING.set_function(lambda: self.leads)

    @property
    def leads(self) -> bool:
        return time.monotonic() < self._valid_until

    @property
    def problem(self) -> str | None:
        """Why events are late, or None."""
        return self._lag.problem

    async def run(self) -> None:
        """Stand by and lead in turn, until cancelled. Every failure is retried with backoff."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                leadership = await self._acquire()
                if leadership is None:
                    self._lag.behind_since = self._lag.failure = None
                    await asyncio.sleep(STANDBY_SECONDS)
                    continue
                log.info("relay_leads", epoch=leadership.epoch)
                async with self._leading(leadership):
                    await self._lead(leadership)
            except Deposed:
                log.warning("relay_deposed")
            except (Unanswered, Unpublished) as error:
                self._note_failure(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                continue
            pause = FIRST_PAUSE_SECONDS

    async def _acquire(self) -> Leadership | None:
        began = time.monotonic()
        leadership = await self._lease.acquire()
        if leadership is not None:
            self._valid_until = began + LEASE_SECONDS
            self._progress = leadership.progress
        return leadership

    @asynccontextmanager
    async def _leading(self, leadership: Leadership) -> AsyncIterator[None]:
        """Renew the lease while the context lasts, and give it up at the end."""
        tasks = [
            asyncio.create_task(self._renew_for_ever(leadership)),
            asyncio.create_task(self._watch_oplog()),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for failed in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(failed, Exception):
                    log.error("task_ended", task="relay", exc_info=failed)
            self._valid_until = 0.0
            self._lag.reading_since = self._lag.oplog_from = None
            with suppress(Unanswered):
                await self._lease.renew(leadership, self._progress)
                await self._lease.give_up(leadership)

    async def _renew_for_ever(self, leadership: Leadership) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            began = time.monotonic()
            try:
                kept = await self._lease.renew(leadership, self._progress)
            except Unanswered:
                continue  # the lease lasts for another renewal or two
            if not kept:
                self._valid_until = 0.0
                return
            self._valid_until = began + LEASE_SECONDS

    async def _watch_oplog(self) -> None:
        while True:
            try:
                self._lag.oplog_from = await oplog_began(self._database)
            except Unanswered:
                self._lag.oplog_from = None
            await asyncio.sleep(OPLOG_LOOK_SECONDS)

    async def _lead(self, leadership: Leadership) -> None:
        """Publish the changes since the stored progress, and then each new change.

        Returns if the oplog no longer has what follows, or if the stream is gone. The next call finds the
        missing events in the rows.
        """
        progress = leadership.progress
        start_at = await operation_time(self._database)
        if not await self._publisher.has_stream():
            # Forget the token first: if this relay dies, the next one finds a stream without the old events.
            progress = self._progress = Progress(None, progress.at)
            if not await self._lease.renew(leadership, progress):
                raise Deposed
            await self._publisher.create_stream()
        try:
            if progress.token is None:
                self._lag.behind_since = self._lag.behind_since or progress.at
                await self._reconciliation.publish_missing(progress.at, self._check, start_at)
            stream = await ChangeStream.open(self._database, progress.token, start_at)
            try:
                await self._follow(stream, reconciled=progress.token is None)
            finally:
                await stream.close()
        except HistoryLost:
            log.warning("change_stream_lost", effect="reading the missed changes from the rows")
            self._progress = Progress(None, self._progress.at)
            await asyncio.sleep(LONGEST_PAUSE_SECONDS)  # if the oplog is too short, it is lost again
        except StreamDeleted:
            log.warning("event_stream_deleted", effect="publishing the last events again")

    async def _follow(self, stream: ChangeStream, *, reconciled: bool) -> None:
        while True:
            self._lag.reading_since = datetime.now(UTC)
            batch = await stream.next_batch()
            self._lag.reading_since = None
            if batch.changes:
                self._lag.behind_since = batch.changes[0].entry.at
                await self._publish([change.entry.to_event(change.booking_id) for change in batch.changes])
            self._check()
            self._progress = Progress(batch.token, batch.at or self._progress.at)
            self._lag.behind_since = batch.at if batch.is_full else None
            self._lag.failure = None
            if not reconciled and not batch.is_full:
                # Once it has caught up, so that each booking's events come in order.
                self._lag.behind_since = datetime.now(UTC)
                await self._reconciliation.publish_missing(self._progress.at, self._check)
                self._lag.behind_since = None
                reconciled = True
            elif not batch.is_full:
                await asyncio.sleep(min(GATHER_SECONDS * len(batch.changes), LONGEST_GATHER_SECONDS))

    async def _publish(self, events: Sequence[AuditedEvent]) -> None:
        """Publish events, again and again until JetStream has stored them all.

        Raises:
            Deposed, StreamDeleted
        """
        pause = FIRST_PAUSE_SECONDS
        while True:
            self._check()
            try:
                await self._publisher.publish(events, self._check)
            except Unpublished as error:
                self._note_failure(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                with suppress(Unpublished):
                    if not await self._publisher.has_stream():
                        raise StreamDeleted from None
            else:
                return

    def _check(self) -> None:
        """Go on only as the leader: a relay that was paused finds its lease at its end.

        Raises:
            Deposed
        """
        if not self.leads:
            raise Deposed

    def _note_failure(self, error: Exception) -> None:
        self._lag.note_failure(f"JetStream: {error}" if isinstance(error, Unpublished) else str(error))
