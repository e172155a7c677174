"""Which operations a worker can serve at the moment. It leaves the queue groups of the others."""

from collections.abc import Callable
from typing import Any

from shared.contract.operation import Operation
from shared.contract.operations import BOOK, CANCEL, GET, HISTORY, LIST, LIST_SLOTS, MOVE, PLACE, RELEASE
from shared.process.health import AskReadiness
from shared.stores.mongo.schema import Schema
from shared.stores.redis.watch import RedisWatch

CONFIRMED: tuple[Operation[Any, Any], ...] = (BOOK, CANCEL, MOVE, PLACE)
"""What is confirmed only while the indexes are known to be there."""
HOLDS: tuple[Operation[Any, Any], ...] = (PLACE, RELEASE)
"""What Redis alone can keep; bookings go on without it."""
READING: tuple[Operation[Any, Any], ...] = (GET, HISTORY, LIST, LIST_SLOTS)
"""What reads MongoDB."""


class Duty:
    """Judges by what the watches of MongoDB and of Redis see.

    A worker whose clock is wrong serves commands only while no other worker that is ready answers: a wrong
    clock spoils deadlines, and no promise of who gets a slot.
    """

    def __init__(self, schema: Schema, redis: RedisWatch, readiness: AskReadiness) -> None:
        self._schema = schema
        self._redis = redis
        self.readiness = readiness
        self.others_are_ready = False
        """Whether another worker says that it is ready; of interest while the clock is wrong."""

    @property
    def clock_is_wrong(self) -> bool:
        return self._schema.clock_problem is not None

    def serves(self, operation: Operation[Any, Any]) -> bool:
        """Whether commands of an operation can be carried out here."""
        if operation in HOLDS and not self._redis.answers:
            return False
        if operation in CONFIRMED:
            return self._schema.can_confirm and not (self.clock_is_wrong and self.others_are_ready)
        return operation not in READING or self._schema.answers

    def on_change(self, call: Callable[[], None]) -> None:
        """Have `call` called whenever what the stores allow may have changed."""
        self._schema.on_change = self._redis.on_change = call
