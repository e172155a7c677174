"""Endpoints and their last deliveries, in two key-value buckets of JetStream."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import BucketNotFoundError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue
from pydantic import ValidationError

from gateway.webhooks.endpoints import StoredWebhook
from gateway.webhooks.messages import Delivery
from shared.contract.errors import NoSuchWebhook, NotExecuted, OutcomeUnknown, Refused

ENDPOINTS, DELIVERIES = "webhooks", "webhook_deliveries"
KEPT_DELIVERIES = 100
KEPT_SECONDS = 30 * 24 * 60 * 60.0
READ_SECONDS = 5.0
WATCHER_SECONDS = 10.0
MOST_CHANGES = 10
NOT_SET_UP = "Webhooks need a running process of gateway.webhooks; nothing was done"

log = structlog.get_logger()


class WebhookStore:
    """Reads and writes the buckets. `create_buckets` has been called once, by whichever process.

    Every method raises `NotExecuted` if JetStream did nothing, and `OutcomeUnknown` if it did not answer.
    """

    def __init__(self, jetstream: JetStreamContext) -> None:
        self._jetstream = jetstream

    async def create_buckets(self, replicas: int) -> None:
        """Create the buckets that are missing."""
        for bucket, ttl in ((ENDPOINTS, None), (DELIVERIES, KEPT_SECONDS)):
            async with self._open(bucket, create=(ttl, replicas)):
                pass

    async def revision(self) -> int:
        """Return a number that grows with every change of an endpoint."""
        async with self._open(ENDPOINTS) as bucket:
            return (await bucket.status()).stream_info.state.last_seq

    async def all(self) -> list[StoredWebhook]:
        """Return all endpoints that can be read, the oldest first."""
        async with self._open(ENDPOINTS) as bucket:
            entries = await _entries(bucket, ">")
        found = []
        for entry in entries:
            try:
                found.append(StoredWebhook.model_validate_json(entry.value or b""))
            except ValidationError:
                log.warning("webhook_unreadable", webhook=entry.key)
        return sorted(found, key=lambda webhook: (webhook.createdAt, webhook.id))

    async def get(self, id: str) -> StoredWebhook:
        """Return an endpoint.

        Raises:
            NoSuchWebhook
        """
        async with self._open(ENDPOINTS) as bucket:
            return (await _read(bucket, id))[0]

    async def add(self, webhook: StoredWebhook) -> None:
        """Store a new endpoint."""
        async with self._open(ENDPOINTS) as bucket:
            await bucket.create(webhook.id, _json(webhook))

    async def change(self, id: str, change: Callable[[StoredWebhook], StoredWebhook]) -> StoredWebhook:
        """Change an endpoint by compare-and-set, and return it.

        Raises:
            NoSuchWebhook
        """
        async with self._open(ENDPOINTS) as bucket:
            for _ in range(MOST_CHANGES):
                before, revision = await _read(bucket, id)
                after = change(before)
                try:
                    await bucket.update(id, _json(after), last=revision)
                    return after
                except KeyWrongLastSequenceError:
                    continue
        raise NotExecuted

    async def delete(self, id: str) -> None:
        """Delete an endpoint and its deliveries.

        Raises:
            NoSuchWebhook
        """
        async with self._open(ENDPOINTS) as bucket:
            await bucket.get(id)
            await bucket.purge(id)
        with suppress(Refused):  # the endpoint is deleted; the deliveries expire by themselves
            async with self._open(DELIVERIES):
                await self._jetstream.purge_stream(f"KV_{DELIVERIES}", subject=f"$KV.{DELIVERIES}.{id}.>")

    async def record(self, id: str, place: str, delivery: Delivery) -> None:
        """Store a delivery of an endpoint in the place of an older one."""
        async with self._open(DELIVERIES) as bucket:
            await bucket.put(f"{id}.{place}", delivery.model_dump_json(exclude_none=True).encode())

    async def deliveries(self, id: str) -> list[Delivery]:
        """Return the last deliveries of an endpoint, the latest first."""
        async with self._open(DELIVERIES) as bucket:
            entries = await _entries(bucket, f"{id}.*")
        found = [Delivery.model_validate_json(entry.value or b"") for entry in entries]
        return sorted(found, key=lambda delivery: delivery.at, reverse=True)[:KEPT_DELIVERIES]

    @asynccontextmanager
    async def _open(
        self, name: str, create: tuple[float | None, int] | None = None
    ) -> AsyncIterator[KeyValue]:
        """Open a bucket, or create it with a time to live and a number of replicas."""
        try:
            try:
                bucket = await self._jetstream.key_value(name)
            except BucketNotFoundError:
                if create is None:
                    raise NotExecuted(NOT_SET_UP) from None
                ttl, replicas = create
                bucket = await self._jetstream.create_key_value(bucket=name, ttl=ttl, replicas=replicas)
            yield bucket
        except KeyNotFoundError:
            raise NoSuchWebhook from None
        except TimeoutError:  # of nats-py too
            raise OutcomeUnknown(OutcomeUnknown.of_no_key) from None
        except (NatsError, ValidationError):  # ValidationError: the value of an endpoint is damaged
            raise NotExecuted from None


def _json(webhook: StoredWebhook) -> bytes:
    return webhook.model_dump_json(exclude_none=True).encode()


async def _read(bucket: KeyValue, id: str) -> tuple[StoredWebhook, int]:
    """Return an endpoint, and the revision for a compare-and-set."""
    entry = await bucket.get(id)
    return StoredWebhook.model_validate_json(entry.value or b""), entry.revision or 0


async def _entries(bucket: KeyValue, keys: str) -> list[KeyValue.Entry]:
    """Return the entries of all keys that match a pattern."""
    watcher = await bucket.watch(keys, ignore_deletes=True, inactive_threshold=WATCHER_SECONDS)
    entries: list[KeyValue.Entry] = []
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for entry in watcher:
                if entry is None:
                    break
                entries.append(entry)
    finally:
        await watcher.stop()  # type: ignore[no-untyped-call]
    return entries
