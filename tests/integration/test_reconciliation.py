"""The reconciliation of the rows with the stream keeps a bounded number of ids in memory."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from booking_worker.events import reconcile
from booking_worker.events.publisher import EventPublisher
from booking_worker.events.reconcile import Reconciliation
from shared.contract.audit import AuditedEvent
from shared.process.settings import EventSettings
from shared.stores.mongo import connection as mongodb
from tests.integration.event_log import event_log, ids_of
from tests.integration.relay_state import versions_of
from tests.servers import Servers
from tests.slots import fresh

BOOKINGS, MOST = 60, 20
SLOT = "2031-07-01T09:00:00Z"


class _Publisher(EventPublisher):
    """Records the ids that it publishes."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.ids: list[str] = []

    async def publish(self, events: Sequence[AuditedEvent], check: Callable[[], None] = lambda: None) -> None:
        self.ids += [event.event_id for event in events]
        await super().publish(events, check)


class _Reconciliation(Reconciliation):
    """Records how many ids each pass keeps."""

    kept: tuple[int, ...] = ()

    async def _stored_since(self, *args: Any) -> set[str]:
        ids = await super()._stored_since(*args)
        self.kept += (len(ids),)
        return ids


async def reconcile_half(servers: Servers) -> tuple[list[int], list[str], dict[str, list[int]], int]:
    """Book and move, publish all bookings and no move, and reconcile.

    Returns:
        The ids that each pass kept, those that it published, the versions in the stream by booking, and the
        number of its messages.
    """
    async with event_log(servers) as log:
        ids = [(await log.life.booked(fresh()))["id"] for _ in range(BOOKINGS)]
        database = mongodb.connect(log.stack.env["MONGO_URI"])
        try:
            publisher = _Publisher(log.connection, EventSettings())
            await publisher.create_stream()
            since = datetime.now(UTC) - timedelta(hours=1)
            found = _Reconciliation(database, log.connection, publisher, max_age=timedelta(days=1))
            await found.publish_again(since, lambda _: None)
            for id in ids:
                assert (await log.life.move(id, slot=SLOT)).status == 200
            publisher.ids.clear()
            await found.publish_missing(None, lambda: None)
        finally:
            mongodb.close(database)
        events = await log.stored()
        return list(found.kept), publisher.ids, versions_of(events), len(ids_of(events))


async def test_reconciliation_of_many_events_keeps_few_ids(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reconciliation in passes publishes what is missing once, in order, and keeps some ids at a time."""
    monkeypatch.setattr(reconcile, "MOST_IDS", MOST)
    kept, published, versions, count = await reconcile_half(servers)
    assert len(kept) == BOOKINGS / MOST
    assert sum(kept) == BOOKINGS
    assert max(kept) < 2 * MOST
    assert sorted(published) == sorted(f"{id}:2" for id in versions)
    assert set(map(tuple, versions.values())) == {(1, 2)}
    assert (len(versions), count) == (BOOKINGS, 2 * BOOKINGS)


async def test_control_single_pass_keeps_all_ids(servers: Servers) -> None:
    """Without the limit, one pass keeps the ids of all events."""
    kept, published, _, _ = await reconcile_half(servers)
    assert (kept, len(published)) == ([BOOKINGS], BOOKINGS)
