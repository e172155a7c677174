"""The phone numbers that want no messages, by their HMACs."""

from nats.js import JetStreamContext
from nats.js.errors import KeyNotFoundError

from gateway.sms.buckets import Bucket
from gateway.sms.numbers import NumberDigests

OPT_OUTS = "sms_opt_out"


class OptOuts:
    """Remembers opt-outs without end: a text STOP adds one, a text START removes it.

    Every method raises `NotExecuted` if JetStream did nothing, and `OutcomeUnknown` if it did not answer.

    Args:
        jetstream: of the connection.
        digests: of the numbers.
        replicas: in a cluster, how many servers have a copy (`EVENTS_REPLICAS`).
    """

    def __init__(self, jetstream: JetStreamContext, digests: NumberDigests, replicas: int = 1) -> None:
        self._bucket = Bucket(jetstream, OPT_OUTS, replicas)
        self._digests = digests

    async def has(self, number: str) -> bool:
        """Return whether a number, in E.164, wants no messages."""
        async with self._bucket.open() as bucket:
            try:
                await bucket.get(self._digests.of(number))
            except KeyNotFoundError:
                return False
            return True

    async def add(self, number: str) -> None:
        """Send no more messages to a number."""
        async with self._bucket.open() as bucket:
            await bucket.put(self._digests.of(number), b"1")

    async def remove(self, number: str) -> None:
        """Send messages to a number again."""
        async with self._bucket.open() as bucket:
            await bucket.purge(self._digests.of(number))
