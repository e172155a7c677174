"""Notices that are due or will be, and marks of those that were sent, in two key-value buckets of JetStream.

A stored time says when a notice is looked at next: when it is due, after a pause, or after the lease of the
process that sends it now. A process takes a notice by a compare-and-set of that time, so two never send it at
once; if it dies, another process sends it after the lease. The mark is written after the send: an event that
comes again sends nothing.

The keys begin with the notice's day, so that a look at what is due reads the notices of three days, not all
reminders of the year.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from nats.js import JetStreamContext
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue
from pydantic import BaseModel, ValidationError

from gateway.notify.notices import Kind, Notice, day_of
from gateway.sms.buckets import Bucket
from shared.contract.fields import Instant

PENDING, SENT = "notices", "notices_sent"
DAYS_BACK = 2
"""A notice is sent, or given up, within two days: the days of its key that are read."""
SWEPT_DAYS = 40
MARK_SECONDS = 7 * 24 * 60 * 60.0
"""Much longer than the time after which an event may come again and still be told."""
LEASE = timedelta(seconds=90)
"""Longer than one attempt of a provider."""
WATCHER_SECONDS = 10.0


class _State(BaseModel):
    next: Instant
    tries: int = 0


@dataclass(frozen=True)
class Pending:
    """A stored notice, which is looked at `next`; `tries` is the number of the attempts to send it."""

    notice: Notice
    next: datetime
    tries: int
    revision: int


class NoticeStore:
    """Reads and writes the buckets. Every method raises what `Bucket.open` raises."""

    def __init__(self, jetstream: JetStreamContext, replicas: int) -> None:
        self._jetstream = jetstream
        self._pending = Bucket(jetstream, PENDING, replicas)
        self._sent = Bucket(jetstream, SENT, replicas, MARK_SECONDS)

    async def began(self) -> datetime:
        """Return when the bucket was created: when the first process of this deployment started."""
        async with self._pending.open():
            info = await self._jetstream.stream_info(f"KV_{PENDING}")
        created: datetime | None = info.created
        return datetime.now(UTC) if created is None else created

    async def sweep(self, now: datetime) -> None:
        """Remove old notices that no process was there to send: `due` does not read their days."""
        async with self._pending.open():
            for days in range(DAYS_BACK + 1, SWEPT_DAYS):
                keys = f"{day_of(now - timedelta(days=days))}.>"
                await self._jetstream.purge_stream(f"KV_{PENDING}", subject=f"$KV.{PENDING}.{keys}")

    async def add(self, notice: Notice) -> None:
        """Store a notice, unless it is there or was sent."""
        if await self.was_sent(notice):
            return
        async with self._pending.open() as bucket:
            try:
                await bucket.create(notice.key, _value(notice.at, 0))
            except KeyWrongLastSequenceError:
                return

    async def due(self, now: datetime) -> tuple[list[Pending], datetime | None]:
        """Return the notices that are due, the oldest first, and when the next one is."""
        found: list[Pending] = []
        async with self._pending.open() as bucket:
            for days in range(DAYS_BACK, -2, -1):  # tomorrow's too: one may be due just after midnight
                found += await _read(bucket, f"{day_of(now - timedelta(days=days))}.>")
        due = sorted((each for each in found if each.next <= now), key=lambda each: each.next)
        return due, min((each.next for each in found if each.next > now), default=None)

    async def take(self, pending: Pending, now: datetime) -> Pending | None:
        """Take a notice to send it; None if another process has taken it."""
        return await self._update(replace(pending, next=now + LEASE, tries=pending.tries + 1))

    async def postpone(self, pending: Pending, until: datetime, *, tries: int) -> None:
        """Look at a notice again later."""
        await self._update(replace(pending, next=until, tries=tries))

    async def forget(self, notice: Notice) -> None:
        """Remove a notice, and leave no trace of its key."""
        async with self._pending.open():
            await self._jetstream.purge_stream(f"KV_{PENDING}", subject=f"$KV.{PENDING}.{notice.key}")

    async def mark(self, notice: Notice) -> None:
        """Remember that a notice was sent, or is not to be sent."""
        async with self._sent.open() as bucket:
            await bucket.put(notice.key, b"1")

    async def was_sent(self, notice: Notice) -> bool:
        """Return whether a notice was sent, or is not to be sent."""
        async with self._sent.open() as bucket:
            try:
                await bucket.get(notice.key)
            except KeyNotFoundError:
                return False
            return True

    async def _update(self, pending: Pending) -> Pending | None:
        async with self._pending.open() as bucket:
            try:
                value = _value(pending.next, pending.tries)
                revision = await bucket.update(pending.notice.key, value, last=pending.revision)
            except KeyWrongLastSequenceError:
                return None
        return replace(pending, revision=revision)


def _value(next: datetime, tries: int) -> bytes:
    return _State(next=next.replace(microsecond=0), tries=tries).model_dump_json().encode()


async def _read(bucket: KeyValue, keys: str) -> list[Pending]:
    watcher = await bucket.watch(keys, ignore_deletes=True, inactive_threshold=WATCHER_SECONDS)
    found: list[Pending] = []
    try:
        async for entry in watcher:
            if entry is None:
                break
            found += _pending(entry)
    finally:
        await watcher.stop()  # type: ignore[no-untyped-call]
    return found


def _pending(entry: KeyValue.Entry) -> Iterator[Pending]:
    """Yield the notice of an entry; none if it is of another release."""
    try:
        day, kind, booking, reference = entry.key.split(".")
        at = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
        state = _State.model_validate_json(entry.value or b"")
        notice = Notice(Kind(kind), booking, int(reference), at)
    except (ValueError, ValidationError):
        return
    yield Pending(notice, state.next, state.tries, entry.revision or 0)
