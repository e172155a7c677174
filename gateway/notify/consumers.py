"""Follow the events of bookings, and store the notices that follow from them.

Two durable consumers, which all processes share: of the events, and of the audit, which names the caller of a
change. The audit suppresses a notice of what the patient has just done; if its record comes late, the patient
is told what it knows.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig, DeliverPolicy
from pydantic import ValidationError

from gateway.notify.notices import notices_of, suppressed_by
from gateway.notify.store import NoticeStore
from shared.client.events import read_events
from shared.contract import audit
from shared.contract.audit import AuditRecords
from shared.contract.errors import Refused
from shared.contract.events import FollowEvents
from shared.contract.instants import EPOCH

CONSUMER = "notify"
FETCH_SECONDS, FETCHED_AT_ONCE = 5.0, 64
ACK_SECONDS = 30.0
RETRY_SECONDS = 1.0

log = structlog.get_logger()


class Followers:
    """Follow both streams, for ever.

    Args:
        connection: to NATS.
        store: of the notices.
        clock: the time.
        wake: called if a stored notice is due soon.
    """

    def __init__(
        self,
        connection: Client,
        store: NoticeStore,
        clock: Callable[[], datetime],
        wake: Callable[[datetime], None],
    ) -> None:
        self._connection, self._store, self._clock, self._wake = connection, store, clock, wake

    async def follow_events(self) -> None:
        """Store the notices of each event, those of before the first start too: reminders are due later.

        Raises:
            Refused: JetStream does not answer; the event comes again.
        """
        began = await self._store.began()
        await self._store.sweep(self._clock())
        wanted = FollowEvents(since=EPOCH, durable=CONSUMER)
        async with aclosing(read_events(self._connection, wanted)) as events:
            async for event in events:
                for notice in notices_of(event, now=self._clock(), began=began):
                    await self._store.add(notice)
                    self._wake(notice.at)

    async def follow_audit(self) -> None:
        """Suppress the notices of what patients have done themselves.

        Raises:
            Refused, NatsError, TimeoutError: JetStream does not answer.
        """
        config = ConsumerConfig(deliver_policy=DeliverPolicy.NEW, ack_wait=ACK_SECONDS)
        subscription = await self._connection.jetstream().pull_subscribe(
            audit.SUBJECTS, durable=CONSUMER, stream=audit.STREAM, config=config
        )
        try:
            while True:
                try:
                    messages = await subscription.fetch(FETCHED_AT_ONCE, FETCH_SECONDS)
                except TimeoutError:
                    await subscription.consumer_info()  # raises if the consumer is gone
                    continue
                for message in messages:
                    await self._suppress(message)
                    await message.ack()
        finally:
            await subscription.unsubscribe()

    async def _suppress(self, message: Msg) -> None:
        try:
            records = AuditRecords.model_validate_json(message.data).records
        except ValidationError:
            return  # of a later release
        for record in records:
            notice = suppressed_by(message.subject, record.id, record.version, record.at, record.actor)
            if notice is not None:
                await self._store.mark(notice)


async def for_ever(follow: Callable[[], object], what: str) -> None:
    """Run a follower again after each failure of JetStream."""
    waits = False
    while True:
        try:
            await follow()  # type: ignore[misc]
        except (NatsError, TimeoutError, Refused) as error:
            if not waits:
                log.warning("notify_waits", what=what, reason=type(error).__name__)
            waits = True
            await asyncio.sleep(RETRY_SECONDS)
