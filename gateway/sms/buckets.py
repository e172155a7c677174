"""Open the key-value buckets of JetStream that belong to phone numbers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import BucketNotFoundError
from nats.js.kv import KeyValue

from shared.contract.errors import NotExecuted, OutcomeUnknown

UNREACHABLE = "JetStream does not answer"


class Bucket:
    """A bucket, which its first user creates.

    Args:
        jetstream: of the connection.
        name: of the bucket.
        replicas: in a cluster, how many servers have a copy (`EVENTS_REPLICAS`).
        seconds: how long an entry stays after its last change; None: for ever.
    """

    def __init__(
        self, jetstream: JetStreamContext, name: str, replicas: int, seconds: float | None = None
    ) -> None:
        self._jetstream = jetstream
        self._name, self._replicas, self._seconds = name, replicas, seconds

    @asynccontextmanager
    async def open(self) -> AsyncIterator[KeyValue]:
        """Open the bucket, or create it.

        Raises:
            NotExecuted: JetStream did nothing.
            OutcomeUnknown: JetStream did not answer.
        """
        try:
            try:
                bucket = await self._jetstream.key_value(self._name)
            except BucketNotFoundError:
                bucket = await self._jetstream.create_key_value(
                    bucket=self._name, ttl=self._seconds, replicas=self._replicas
                )
            yield bucket
        except TimeoutError:  # of nats-py too
            raise OutcomeUnknown from None
        except NatsError:
            raise NotExecuted(UNREACHABLE) from None
