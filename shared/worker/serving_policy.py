"""Decide which operations a worker can serve now. It leaves the queue groups of all other operations."""

from collections.abc import Callable
from typing import Any

from shared.contract.operation import Operation
from shared.contract.operations import BOOK, CANCEL, GET, HISTORY, LIST, LIST_SLOTS, MOVE, PLACE, RELEASE
from shared.contract.schedule_operations import SCHEDULE_OPERATIONS
from shared.process.health import AskReadiness
from shared.stores.mongo.schema import Schema
from shared.stores.redis.watch import RedisWatch

NEEDS_INDEXES: tuple[Operation[Any, Any], ...] = (BOOK, CANCEL, MOVE, PLACE)
"""Confirmed only while the unique indexes are verified."""
NEEDS_REDIS: tuple[Operation[Any, Any], ...] = (PLACE, RELEASE)
"""Impossible without Redis. Bookings go on without it."""
NEEDS_MONGODB: tuple[Operation[Any, Any], ...] = (GET, HISTORY, LIST, LIST_SLOTS, *SCHEDULE_OPERATIONS)
"""Impossible without MongoDB."""


class ServingPolicy:
    """Decides by the state of MongoDB, of Redis, and of this host's clock.

    A worker whose clock is wrong serves commands only while no other worker is ready. A wrong clock shifts
    deadlines, but does not affect which booking wins.
    """

    def __init__(self, schema: Schema, redis: RedisWatch, readiness: AskReadiness) -> None:
        self._schema = schema
        self._redis = redis
        self.readiness = readiness
        self.peer_is_ready = False
        """Whether another worker is ready; kept up to date only while the clock is wrong."""

    @property
    def clock_is_wrong(self) -> bool:
        return self._schema.clock_problem is not None

    def serves(self, operation: Operation[Any, Any]) -> bool:
        """Return whether this worker can execute commands of an operation now."""
        if operation in NEEDS_REDIS and not self._redis.answers:
            return False
        if operation in NEEDS_INDEXES:
            return self._schema.can_confirm and not (self.clock_is_wrong and self.peer_is_ready)
        return operation not in NEEDS_MONGODB or self._schema.answers

    def on_change(self, call: Callable[[], None]) -> None:
        """Register a callback that runs whenever the state of a store may have changed."""
        self._schema.on_change = self._redis.on_change = call
